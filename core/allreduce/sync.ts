// How the members of a generation agree where they stand, and how one that is behind gets the state. Decides the step T
// at which all go on (the largest), who gives the state (the lowest rank at T) and when it is complete and right, and who
// gives what compression left of a shard that has moved; loading a state that nobody has is the caller's.
//
// Every member repeats its hello until it has heard all. A hello says whom its sender has heard, so that one who hears
// from somebody still deaf to it answers at once, also long after its own sync has ended. Steps told never change within
// a round: nobody can pass the open step without every member, hence without every hello answered and everything fetched.

import { createDeferred, type Deferred } from '../deferred.ts';
import { digest64 } from '../digest.ts';
import { FleetError } from '../errors.ts';
import { encodeWords, type Header, NO_DIGEST, wordsOf } from './message.ts';
import { decodeInventory, encodeInventory, type Residual } from './residuals.ts';
import { createFetch, createProvider, type Fetch, type Subject, type Vectors } from './state-transfer.ts';
import type { State, Wire } from './wire.ts';

/** Where all members go on. */
export interface Synced {
  readonly step: number;
  /** When this member was behind: the state of that step, in shared memory. */
  readonly state?: State;
  /** Shards of this member whose compression residual nobody has any more: it begins again at zero. */
  readonly residualsLost?: readonly number[];
}

export interface Sync {
  run(mine: { readonly step: number; readonly digest: string }): Promise<Synced>;
  take(header: Header, data: Uint8Array): void;
  /** Repeats what may be lost. */
  tick(): void;
  fail(error: FleetError): void;
}

/** Where one member stands. Rounds count its calls of sync in this generation. */
interface Standing {
  readonly round: number;
  readonly step: number;
  readonly digest: string;
  /** What it can give of shards. */
  readonly inventory: readonly Omit<Residual, 'values'>[];
}

const HELLO_MS_MIN = 50;
const HELLO_MS_MAX = 500;

export function createSync(options: {
  readonly wire: Wire;
  readonly provideState: () => State | Promise<State>;
  /** What this member has of shards, from earlier generations and steps. */
  readonly residuals: () => readonly Residual[];
  /** Shards whose residuals it needs; none without int8. */
  readonly needed: readonly number[];
  /** Called for each needed residual before sync ends; without values nobody has it. */
  readonly onResidual: (shard: number, values: Float32Array | undefined) => void;
  /** Whether the state at `step` is still what the provider holds. */
  readonly holds: (step: number) => boolean;
  /** T is known: contributions to it may arrive from now on. */
  readonly onAgreed: (step: number) => void;
}): Sync {
  const { wire } = options;
  const standings = new Map<number, Standing>();
  const provider = createProvider(wire, vectorsOf);
  let provided: { readonly step: number; readonly state: Promise<Vectors> } | undefined;
  let mine: Standing | undefined;
  let agreed: Deferred<number> | undefined;
  let fetch: Fetch | undefined;
  let helloAt = 0;
  let helloMs = HELLO_MS_MIN;
  let failure: FleetError | undefined;

  async function run(standing: { readonly step: number; readonly digest: string }): Promise<Synced> {
    if (failure !== undefined) throw failure;
    mine = { ...standing, round: (mine?.round ?? 0) + 1, inventory: options.residuals() };
    if (wire.ranks === 1) return alone(standing.step);
    const agreement = createDeferred<number>();
    agreed = agreement;
    helloMs = HELLO_MS_MIN;
    sayHello();
    agreeIfComplete();
    const step = await agreement.promise;
    if (step < 0) return { step };
    const state = step === standing.step ? undefined : await fetchState(step);
    const residualsLost = await collectResiduals(step);
    return { step, ...(state && { state }), ...(residualsLost.length > 0 && { residualsLost }) };
  }

  async function alone(step: number): Promise<Synced> {
    if (step < 0) return { step };
    options.onAgreed(step);
    const residualsLost = await collectResiduals(step);
    return { step, ...(residualsLost.length > 0 && { residualsLost }) };
  }

  /** Words: how many members were heard, which, then what this one has of shards. */
  function sayHello(to?: number): void {
    const { round, step, digest } = mine!;
    const heard = [...standings].filter(([, other]) => other.round >= round).map(([rank]) => rank);
    const header = wire.header('hello', step, { chunk: round, digest });
    const data = encodeWords([heard.length, ...heard, ...encodeInventory(options.residuals())]);
    if (to === undefined) {
      helloAt = wire.now();
      for (let rank = 0; rank < wire.ranks; rank++)
        if (rank !== wire.rank && !heard.includes(rank)) wire.asked(rank);
      wire.sendAll(header, data);
    } else wire.sendTo(to, header, data);
  }

  function takeHello({ source, step, digest, chunk: round }: Header, data: Uint8Array): void {
    const [count = 0, ...words] = wordsOf(data);
    const known = standings.get(source);
    if (known === undefined || round > known.round)
      standings.set(source, { round, step, digest, inventory: decodeInventory(words.slice(count)) });
    // Loading a state may take this member long, during which the others are to know that it is there.
    if (mine === undefined || round > mine.round) wire.sendTo(source, wire.header('here', step));
    if (mine === undefined) return;
    agreeIfComplete();
    if (round <= mine.round && !words.slice(0, count).includes(wire.rank)) sayHello(source);
  }

  function agreeIfComplete(): void {
    if (mine === undefined || agreed === undefined || standings.size < wire.ranks - 1) return;
    const { round } = mine;
    const others = [...standings];
    if (others.some(([, other]) => other.round < round)) return;
    // Who is a round further found this one ended without anybody having a state.
    const ahead = others.some(([, other]) => other.round > round);
    const all: [number, Standing][] = [[wire.rank, mine], ...others];
    all.sort(([a], [b]) => a - b);
    const pending = agreed;
    agreed = undefined;
    if (ahead) {
      pending.resolve(-1);
      return;
    }
    const differing = differingReplicas(all);
    if (differing !== undefined) {
      const error = differenceError(differing, wire);
      pending.reject(error);
      wire.stop(error);
      return;
    }
    const step = Math.max(...all.map(([, { step }]) => step));
    if (step >= 0) options.onAgreed(step);
    pending.resolve(step);
  }

  async function fetchState(step: number): Promise<State> {
    const [rank, standing] = [...standings]
      .sort(([a], [b]) => a - b)
      .find(([, other]) => other.step === step)!;
    const [weights, momentum, running] = await fetchFrom(rank, step, { kind: 'state' });
    if (weights === undefined || momentum === undefined || running === undefined)
      throw new FleetError('dataLoss', `${wire.nameOf(rank)} gave less than a state`);
    const digest = digest64(weights);
    if (digest === standing.digest) return { weights, momentum, running };
    const error = new FleetError(
      'dataLoss',
      `${wire.nameOf(rank)} gave weights ${digest} as the state of step ${step}, and had announced ${standing.digest}`,
      { details: { step, rank, digest, announced: standing.digest } },
    );
    wire.stop(error);
    throw error;
  }

  /** From here, from whoever has it, or from nobody. Returns the shards of the last kind. */
  async function collectResiduals(step: number): Promise<number[]> {
    const own = options.residuals();
    const lost: number[] = [];
    for (const shard of options.needed) {
      const matches = (item: Omit<Residual, 'values'>): boolean => item.shard === shard && item.step === step;
      let values = own.find(matches)?.values;
      const giver = [...standings].find(([, { inventory }]) => inventory.some(matches));
      if (values === undefined && giver !== undefined)
        [values] = await fetchFrom(giver[0], step, { kind: 'residual', shard });
      if (values === undefined) lost.push(shard);
      options.onResidual(shard, values);
    }
    return lost;
  }

  async function fetchFrom(rank: number, step: number, subject: Subject): Promise<Vectors> {
    fetch = createFetch({ wire, step, provider: rank, subject });
    try {
      return await fetch.vectors;
    } finally {
      fetch = undefined;
    }
  }

  /** For others: what they ask for, while it is what they think it is. */
  async function vectorsOf(subject: Subject, step: number): Promise<Vectors | undefined> {
    if (mine === undefined || !options.holds(step)) return undefined;
    if (subject.kind === 'residual') {
      const found = options.residuals().find((item) => item.shard === subject.shard && item.step === step);
      return found && residualVectors(found);
    }
    if (mine.step !== step) return undefined;
    if (provided?.step !== step) {
      const asked = { step, state: stateVectors() };
      provided = asked;
      // Not remembered: the asker asks again, and then so does this.
      asked.state.catch(() => {
        if (provided === asked) provided = undefined;
      });
    }
    const vectors = await provided.state;
    if (options.holds(step)) return vectors;
    provided = undefined;
    return undefined;
  }

  async function stateVectors(): Promise<Vectors> {
    const { weights, momentum, running } = await options.provideState();
    return [weights, momentum, running];
  }

  /** One array for one residual, so that its digest is computed once. */
  const wrapped = new WeakMap<Float32Array, Vectors>();
  function residualVectors({ values }: Residual): Vectors {
    const known = wrapped.get(values) ?? [values];
    wrapped.set(values, known);
    return known;
  }

  return {
    run,
    take(header, data) {
      if (header.kind === 'hello') takeHello(header, data);
      else if (header.kind === 'state') fetch?.take(header, data);
      else
        provider.answer(header, data).catch((caught: unknown) => {
          // The asker asks again; what went wrong here is the run's own affair and shows there.
          void caught;
        });
    },
    tick() {
      fetch?.tick();
      if (agreed === undefined || wire.now() - helloAt < helloMs) return;
      helloMs = Math.min(HELLO_MS_MAX, helloMs * 2);
      sayHello();
    },
    fail(error) {
      failure = error;
      agreed?.reject(error);
      agreed = undefined;
      fetch?.fail(error);
    },
  };
}

type Differing = readonly [readonly [number, Standing], readonly [number, Standing]];

/** The first two members at one step whose weights differ. */
function differingReplicas(all: readonly (readonly [number, Standing])[]): Differing | undefined {
  for (const first of all) {
    const second = all.find(
      ([, other]) => other.step === first[1].step && other.step >= 0 && other.digest !== first[1].digest,
    );
    if (second !== undefined) return [first, second];
  }
  return undefined;
}

function differenceError([[rankA, a], [rankB, b]]: Differing, wire: Wire): FleetError {
  return new FleetError(
    'dataLoss',
    `replicas differ at step ${a.step}: ${wire.nameOf(rankA)} has weights ${a.digest}, ${wire.nameOf(rankB)} has ${b.digest}`,
    { details: { step: a.step, ranks: [rankA, rankB], digests: [a.digest, b.digest] } },
  );
}

/** What a member without state says of its weights. */
export const WITHOUT_STATE = { step: -1, digest: NO_DIGEST } as const;
