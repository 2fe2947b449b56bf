// How the members of a generation agree where they stand, and how one that is behind gets the state. Decides the step T
// at which all go on (the largest), who gives the state (the lowest rank at T) and when it is complete and right;
// loading a state that nobody has is the caller's.
//
// Every member repeats its hello until it has heard all. A hello says whom its sender has heard, so that one who hears
// from somebody still deaf to it answers at once, also long after its own sync has ended. Steps told never change within
// a round: nobody can pass the open step without every member, hence without every hello answered and every state fetched.

import { createDeferred, type Deferred } from '../deferred.ts';
import { digest64 } from '../digest.ts';
import { FleetError } from '../errors.ts';
import { encodeWords, type Message, NO_DIGEST, wordsOf } from './message.ts';
import { createFetch, createProvider, type Fetch } from './state-transfer.ts';
import type { State, Wire } from './wire.ts';

/** Where all members go on; with the state when this one was behind. */
export interface Synced {
  readonly step: number;
  readonly state?: State;
}

export interface Sync {
  run(mine: { step: number; digest: string }): Promise<Synced>;
  take(message: Message): void;
  /** Repeats what may be lost. */
  tick(): void;
  fail(error: FleetError): void;
}

/** Where one member stands. Rounds count its calls of sync in this generation. */
interface Standing {
  readonly round: number;
  readonly step: number;
  readonly digest: string;
}

const HELLO_MS_MIN = 50;
const HELLO_MS_MAX = 500;

export function createSync(options: {
  wire: Wire;
  provideState: () => State;
  /** Whether the state at `step` is still what the provider holds. */
  holds: (step: number) => boolean;
  /** T is known: contributions to it may arrive from now on. */
  onAgreed: (step: number) => void;
}): Sync {
  const { wire } = options;
  const standings = new Map<number, Standing>();
  const provider = createProvider(wire, options.provideState);
  let mine: Standing | undefined;
  let agreed: Deferred<number> | undefined;
  let fetch: Fetch | undefined;
  let helloAt = 0;
  let helloMs = HELLO_MS_MIN;
  let failure: FleetError | undefined;

  async function run(standing: { step: number; digest: string }): Promise<Synced> {
    if (failure !== undefined) throw failure;
    mine = { ...standing, round: (mine?.round ?? 0) + 1 };
    const agreement = createDeferred<number>();
    agreed = agreement;
    helloMs = HELLO_MS_MIN;
    sayHello();
    agreeIfComplete();
    const step = await agreement.promise;
    if (step === standing.step) return { step };
    return { step, state: await fetchState(step) };
  }

  function sayHello(to?: number): void {
    const { round, step, digest } = mine!;
    const heard = [...standings].filter(([, other]) => other.round >= round).map(([rank]) => rank);
    const payload = encodeWords(wire.header('hello', step, { chunk: round, digest }), heard);
    if (to === undefined) {
      helloAt = wire.now();
      wire.sendAll('hello', step, round, payload);
    } else wire.sendTo(to, 'hello', step, round, payload);
  }

  function takeHello(message: Message): void {
    const { source, step, digest, chunk: round } = message;
    const known = standings.get(source);
    if (known === undefined || round > known.round) standings.set(source, { round, step, digest });
    if (mine === undefined) return;
    agreeIfComplete();
    if (round <= mine.round && !wordsOf(message).includes(wire.rank)) sayHello(source);
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
    options.onAgreed(step);
    pending.resolve(step);
  }

  async function fetchState(step: number): Promise<State> {
    const [rank, standing] = [...standings]
      .sort(([a], [b]) => a - b)
      .find(([, other]) => other.step === step)!;
    fetch = createFetch({ wire, step, provider: rank });
    try {
      const state = await fetch.state;
      const digest = digest64(state.weights);
      if (digest === standing.digest) return state;
      const error = new FleetError(
        'dataLoss',
        `${wire.nameOf(rank)} gave weights ${digest} as the state of step ${step}, and had announced ${standing.digest}`,
        { details: { step, rank, digest, announced: standing.digest } },
      );
      wire.stop(error);
      throw error;
    } finally {
      fetch = undefined;
    }
  }

  return {
    run,
    take(message) {
      if (message.kind === 'hello') takeHello(message);
      else if (message.kind === 'state') fetch?.take(message);
      else if (
        mine !== undefined &&
        mine.step >= 0 &&
        mine.step === message.step &&
        options.holds(message.step)
      )
        provider.answer(message);
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
