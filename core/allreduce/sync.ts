// The agreement of a generation: hellos until every member has heard all, then what a member lacks from those
// who have it. Decides when what is sent and repeated. What follows from the standings is decided in
// agreement.ts.
//
//   rank 0 (step 7)            rank 1 (step 6)
//     │── hello 7, heard {} ──► ✗ lost                 to all, repeated after 50, 100, ... 500 ms
//     │◄─ hello 6, heard {} ──────│
//     │   has heard all: T = 7    │
//     │── hello 7, heard {1} ────►│                    the answer to a hello that does not name rank 0 as heard
//     │                           │   has heard all: T = 7
//     │◄─ ask-state 7 ────────────│                    from the lowest rank at T
//     │── state ... ─────────────►│
//     │                           │   checks the digest that rank 0 announced
//
// There is no acknowledgement and no leader: a hello names whom its sender has heard, which is an
// acknowledgement for all of them at once, and T follows from the hellos alone. A member that has agreed may
// go on at once and contribute to step T while others still agree.
//
// Invariants:
//  * Within a round a member announces one step. It can pass the open step only with every member's
//    contribution, hence after every member has agreed and fetched what it needed; so a state that was announced
//    is there until nobody needs it (`holds`).
//  * A hello is answered as long as the exchange exists, also after this member's own sync: an earlier answer may
//    have been lost.

import { createDeferred, type Deferred } from '../deferred.ts';
import { FleetError } from '../errors.ts';
import {
  agreementOf,
  answerToHello,
  heardIn,
  helloPauseMs,
  partsOfHello,
  type Standing,
  wordsOfHello,
} from './agreement.ts';
import { createCatchUp } from './catch-up.ts';
import { encodeWords, type Header, NO_DIGEST, wordsOf } from './message.ts';
import { decodeInventory, encodeInventory, type Residual } from './residuals.ts';
import { createStateGiver } from './state-giver.ts';
import { createProvider } from './state-transfer.ts';
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
  agree(mine: { readonly step: number; readonly digest: string }): Promise<Synced>;
  /** A hello, a request for state, or a piece of it. */
  acceptSync(header: Header, data: Uint8Array): void;
  /** Sends again what may have been lost. */
  repeatUnanswered(): void;
  failSync(error: FleetError): void;
}

export interface SyncOptions {
  readonly wire: Wire;
  readonly provideState: () => State | Promise<State>;
  /** The vectors of a state, in the order in which they are sent. */
  readonly stateNames: readonly string[];
  /** No vector of a state is longer, nor is the one that is summed. */
  readonly elements: number;
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
}

export function createSync(options: SyncOptions): Sync {
  const { wire } = options;
  const standings = new Map<number, Standing>();
  const provider = createProvider(
    wire,
    createStateGiver(options, () => mine?.step),
  );
  const catchUp = createCatchUp({ ...options, standings });
  let mine: Standing | undefined;
  let agreed: Deferred<number> | undefined;
  let helloAt = 0;
  let helloMs = helloPauseMs(undefined);
  let failure: FleetError | undefined;

  async function agree(standing: { readonly step: number; readonly digest: string }): Promise<Synced> {
    if (failure !== undefined) throw failure;
    mine = { ...standing, round: (mine?.round ?? 0) + 1, inventory: options.residuals() };
    if (wire.ranks === 1) return agreeAlone(standing.step);
    const agreement = createDeferred<number>();
    agreed = agreement;
    helloMs = helloPauseMs(undefined);
    sendHelloToAll();
    agreeIfComplete();
    const step = await agreement.promise;
    if (step < 0) return { step };
    const state = step === standing.step ? undefined : await catchUp.fetchState(step);
    return { step, ...(state && { state }), ...(await catchUp.collectResiduals(step)) };
  }

  async function agreeAlone(step: number): Promise<Synced> {
    if (step < 0) return { step };
    options.onAgreed(step);
    return { step, ...(await catchUp.collectResiduals(step)) };
  }

  function sendHelloToAll(): void {
    const heard = heardIn(standings, mine!.round);
    const [header, data] = helloOf(options, mine!, heard);
    helloAt = wire.now();
    for (let rank = 0; rank < wire.ranks; rank++)
      if (rank !== wire.rank && !heard.includes(rank)) wire.noteQuestion(rank);
    wire.sendAll(header, data);
  }

  function acceptHello({ source, step, digest, chunk: round }: Header, data: Uint8Array): void {
    const { heard, inventory } = partsOfHello(wordsOf(data));
    const known = standings.get(source);
    if (known === undefined || round > known.round)
      standings.set(source, { round, step, digest, inventory: decodeInventory(inventory) });
    const answer = answerToHello(mine && { rank: wire.rank, round: mine.round }, { round, heard });
    if (answer.here) wire.sendTo(source, wire.header('here', step));
    agreeIfComplete();
    if (answer.hello) wire.sendTo(source, ...helloOf(options, mine!, heardIn(standings, mine!.round)));
  }

  function agreeIfComplete(): void {
    if (mine === undefined || agreed === undefined) return;
    const agreement = agreementOf({ rank: wire.rank, standing: mine }, standings, wire.ranks);
    if (agreement.kind === 'incomplete') return;
    const pending = agreed;
    agreed = undefined;
    if (agreement.kind === 'overtaken') pending.resolve(-1);
    else if (agreement.kind === 'differ') {
      const { first, second } = agreement;
      const standingOf = (rank: number): Standing => (rank === wire.rank ? mine! : standings.get(rank)!);
      const error = differenceError([first, standingOf(first)], [second, standingOf(second)], wire);
      pending.reject(error);
      wire.stop(error);
    } else {
      if (agreement.step >= 0) options.onAgreed(agreement.step);
      pending.resolve(agreement.step);
    }
  }

  return {
    agree,
    acceptSync(header, data) {
      if (header.kind === 'hello') acceptHello(header, data);
      else if (header.kind === 'state') catchUp.acceptPiece(header, data);
      // The asker asks again; what went wrong here concerns this member's own run and shows there.
      else provider.answerRequest(header, data).catch(() => {});
    },
    repeatUnanswered() {
      catchUp.repeatRequest();
      if (agreed === undefined || wire.now() - helloAt < helloMs) return;
      helloMs = helloPauseMs(helloMs);
      sendHelloToAll();
    },
    failSync(error) {
      failure = error;
      agreed?.reject(error);
      agreed = undefined;
      catchUp.failFetch(error);
    },
  };
}

function helloOf(
  { wire, residuals }: Pick<SyncOptions, 'wire' | 'residuals'>,
  { step, round, digest }: Standing,
  heard: readonly number[],
): readonly [Header, Uint8Array] {
  const header = wire.header('hello', step, { chunk: round, digest });
  return [header, encodeWords(wordsOfHello(heard, encodeInventory(residuals())))];
}

function differenceError(
  [rankA, a]: readonly [number, Standing],
  [rankB, b]: readonly [number, Standing],
  wire: Wire,
): FleetError {
  return new FleetError(
    'dataLoss',
    `replicas differ at step ${a.step}: ${wire.nameOf(rankA)} has weights ${a.digest}, ${wire.nameOf(rankB)} has ${b.digest}`,
    { details: { step: a.step, ranks: [rankA, rankB], digests: [a.digest, b.digest] } },
  );
}

/** The standing of a member without state. */
export const WITHOUT_STATE = { step: -1, digest: NO_DIGEST } as const;
