// One member's part in one generation of a gang: agreeing where to go on (sync) and summing vectors over all shards, step
// by step (reduce), over core NATS, which may lose anything. Decides which step is open, what is kept for repair and how a
// failure ends it for all; the protocols are sync.ts' and reduction.ts', the network is channel.ts', membership the
// coordinator's, and what the sums mean the caller's.
//
// Guarantee: `reduce` gives every member the same bits, those of the canonical tree over the V shards, for any placement.
// The open step cannot be completed without every member, therefore a member is at most one step ahead of another and
// results of two steps are all that may ever be asked for.

import type { NatsConnection } from '@nats-io/transport-node';
import type { Clock } from '../clock.ts';
import { digest64 } from '../digest.ts';
import { CODES, type Code, FleetError, toFleetError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { createChannel } from './channel.ts';
import { encodeJson, jsonOf, type Message } from './message.ts';
import { type Member, planOf } from './plan.ts';
import { type Scratch, sumTree } from './reduce.ts';
import { createReduction, type Reduction } from './reduction.ts';
import { createSync, type Synced } from './sync.ts';
import type { ExchangeStats, Faults, State, Wire } from './wire.ts';

export type { Member } from './plan.ts';
export type { Synced } from './sync.ts';
export type { ExchangeStats, Faults, State } from './wire.ts';

export interface ExchangeOptions {
  /** Several exchanges may share one; with `noEcho` results are not delivered back to their owner. */
  readonly connection: NatsConnection;
  readonly runId: string;
  readonly generation: number;
  /** This member's place in `members`. */
  readonly rank: number;
  readonly members: readonly Member[];
  /** V. */
  readonly shards: number;
  /** Length of every vector. */
  readonly elements: number;
  /** The replica's state at the open step. Called while others fetch it; it must not change before that step's sum is there. */
  readonly provideState: () => State;
  readonly log: Logger;
  readonly clock: Clock;
  /** Aborting it is `close()`. */
  readonly signal?: AbortSignal;
  /** Loses or repeats messages in tests. */
  readonly faults?: Faults;
  /** Quiet time after which missing messages are asked for; about four round trips and some scheduling, milliseconds. */
  readonly stallMs?: number;
}

export interface Exchange {
  /**
   * Agrees with all members on the step at which all go on: the largest that anybody has. `digest` is digest64 of the
   * weights. A member that is behind gets the state of that step. Without state: `WITHOUT_STATE`; when nobody has
   * one the answer is step -1, and everybody loads the state and calls again.
   */
  sync(mine: { readonly step: number; readonly digest: string }): Promise<Synced>;
  /**
   * Sum of the vectors of all shards (not divided), the receiver's own to change. `vectors` has one for each shard of this
   * member and must not change before the sum is there. `digest`: of the weights at the start of the step, if at hand.
   */
  reduce(step: number, vectors: ReadonlyMap<number, Float32Array>, digest?: string): Promise<Float32Array>;
  stats(): Readonly<ExchangeStats>;
  /** Until then requests of slower members are answered, also after the last step. Pending calls reject with `cancelled`. */
  close(): void;
}

const STALL_MS = 250;
const STALL_MS_MAX = 1000;
const TICK_MS = 25;

export function createExchange(options: ExchangeOptions): Exchange {
  const { connection, runId, generation, rank, members, clock, log } = options;
  const plan = planOf(options);
  const ranks = members.length;
  const stats: ExchangeStats = {
    bytesSent: 0,
    bytesReceived: 0,
    nacks: 0,
    resends: 0,
    duplicates: 0,
    refused: 0,
    reduces: 0,
    reduceSeconds: 0,
  };
  if (members[rank] === undefined)
    throw new FleetError('invalidArgument', `rank ${rank} is not among ${ranks} members`);

  const closing = new AbortController();
  const scratch: Scratch = [];
  const reductions = new Map<number, Reduction>();
  /** The step that is summed next; undefined before sync has agreed on one. */
  let openStep: number | undefined;
  let failure: FleetError | undefined;
  /** Set when this member or another stopped the run: told again to whoever goes on talking. */
  let stopped: Uint8Array | undefined;
  let stopToldAt = Number.NEGATIVE_INFINITY;
  let pending = 0;
  let ticking = false;
  /**
   * Milliseconds in which something could have arrived: a tick that comes late counts as one tick, because what came
   * while this thread was busy waits unread in the socket, and asking for it again would only double it.
   */
  let listenedMs = 0;
  const stallMsMin = options.stallMs ?? STALL_MS;
  let stallMs = stallMsMin;

  const channel = createChannel({
    connection,
    runId,
    generation,
    rank,
    ranks,
    stats,
    faults: options.faults,
    onMessage: route,
    onRefused: (error) =>
      log.warn({ runId, generation, reason: error.message }, 'refused a message of the gang'),
    onBroken: fail,
  });
  const wire: Wire = {
    rank,
    ranks,
    stats,
    get stallMs() {
      return stallMs;
    },
    now: () => listenedMs,
    header: channel.header,
    sendTo: channel.sendTo,
    sendAll: channel.sendAll,
    nameOf: (other) => `rank ${other} (${members[other]?.workerId ?? 'unknown'})`,
    stop(error) {
      if (failure !== undefined) return;
      log.error({ runId, generation, details: error.details }, error.message);
      stopped = encodeJson(wire.header('stop', 0), { code: error.code, message: error.message });
      wire.sendAll('stop', 0, 0, stopped);
      fail(error);
    },
  };
  const sync = createSync({
    wire,
    provideState: options.provideState,
    holds: (step) => openStep === undefined || openStep === step,
    onAgreed: (step) => {
      if (step < 0) return;
      openStep = step;
      for (const other of reductions.keys()) if (other !== step) reductions.delete(other);
    },
  });

  function route(message: Message): void {
    if (message.kind === 'stop') takeStop(message);
    else if (failure !== undefined) tellStopAgain();
    else if (message.kind === 'hello' || message.kind === 'ask-state' || message.kind === 'state')
      sync.take(message);
    else {
      const reduction = reductionFor(message);
      if (reduction !== undefined) reduction.take(message);
      // Who asks for what is not there yet, or not any more, is only early or late.
      else if (message.kind !== 'missing') stats.refused++;
    }
  }

  /** Old steps answer requests; contributions are taken for the open step and, from members that are ahead, for the next. */
  function reductionFor({ step, kind }: Message): Reduction | undefined {
    const known = reductions.get(step);
    if (known !== undefined || kind !== 'contribution') return known;
    // A member that has heard all may contribute before this one has: to the step that all will agree on, no other.
    const expected =
      openStep === undefined ? reductions.size === 0 : step === openStep || step === openStep + 1;
    return expected ? addReduction(step) : undefined;
  }

  function addReduction(step: number): Reduction {
    const reduction = createReduction({ plan, step, wire, scratch });
    reductions.set(step, reduction);
    return reduction;
  }

  function takeStop(message: Message): void {
    const { code, message: reason } = jsonOf(message) as { code?: unknown; message?: unknown };
    const known = typeof code === 'string' && code in CODES ? (code as Code) : 'aborted';
    if (failure === undefined) {
      stopped = encodeJson(wire.header('stop', 0), { code: known, message: reason });
      fail(new FleetError(known, String(reason), { details: { toldBy: message.source } }));
    }
  }

  function tellStopAgain(): void {
    if (stopped === undefined || clock.monotonic() - stopToldAt < wire.stallMs) return;
    stopToldAt = clock.monotonic();
    wire.sendAll('stop', 0, 0, stopped);
  }

  function fail(error: FleetError): void {
    failure ??= error;
    sync.fail(failure);
    for (const reduction of reductions.values()) reduction.fail(failure);
  }

  /** Runs while a call is pending: after that only others can miss something, and they ask. */
  async function tick(): Promise<void> {
    if (ticking) return;
    ticking = true;
    try {
      while (pending > 0) {
        const sleptAt = clock.monotonic();
        await clock.sleep(TICK_MS, closing.signal);
        listenedMs += Math.min(2 * TICK_MS, clock.monotonic() - sleptAt);
        if (connection.isClosed())
          throw new FleetError('unavailable', 'the connection to the broker is closed');
        sync.tick();
        if (openStep !== undefined) reductions.get(openStep)?.askMissing();
      }
    } catch (caught) {
      if (!closing.signal.aborted) fail(toFleetError(caught, 'repairing the exchange'));
    } finally {
      ticking = false;
    }
  }

  async function whilePending<T>(work: () => Promise<T>): Promise<T> {
    if (failure !== undefined) throw failure;
    pending++;
    if (ranks > 1) void tick();
    try {
      return await work();
    } finally {
      pending--;
    }
  }

  async function reduce(
    step: number,
    vectors: ReadonlyMap<number, Float32Array>,
    digest?: string,
  ): Promise<Float32Array> {
    checkVectors(options, vectors);
    const startedAt = clock.monotonic();
    const sum = ranks === 1 ? sumAlone(vectors) : await reduceWithGang(step, vectors, digest);
    stats.reduces++;
    stats.reduceSeconds += (clock.monotonic() - startedAt) / 1000;
    return sum;
  }

  function sumAlone(vectors: ReadonlyMap<number, Float32Array>): Float32Array {
    const sum = new Float32Array(plan.elements);
    for (const { offset, count } of plan.chunks[0]!) {
      const partials = [...vectors].map(([first, vector]) => ({
        node: { first, size: 1 },
        values: vector.subarray(offset, offset + count),
      }));
      sumTree({ partials, shards: plan.shards, into: sum.subarray(offset, offset + count), scratch });
    }
    return sum;
  }

  async function reduceWithGang(
    step: number,
    vectors: ReadonlyMap<number, Float32Array>,
    digest = digest64(options.provideState().weights),
  ): Promise<Float32Array> {
    if (step !== openStep)
      throw new FleetError(
        'failedPrecondition',
        openStep === undefined
          ? `step ${step} cannot be summed before sync has agreed where to go on`
          : `step ${step} cannot be summed, step ${openStep} is open`,
      );
    const reduction = reductions.get(step) ?? addReduction(step);
    const { duplicates } = stats;
    reduction.start(vectors, digest);
    const sum = await reduction.sum;
    // What arrived twice was not lost but slow: be more patient, and less again when that has passed.
    if (stats.duplicates > duplicates) stallMs = Math.min(STALL_MS_MAX, stallMs * 1.5);
    else stallMs = Math.max(stallMsMin, stallMs * 0.9);
    openStep = step + 1;
    reductions.delete(step - 1);
    return sum;
  }

  function close(): void {
    if (closing.signal.aborted) return;
    options.signal?.removeEventListener('abort', close);
    closing.abort();
    fail(new FleetError('cancelled', `generation ${generation} of run ${runId} was left`));
    channel.close();
    reductions.clear();
  }
  options.signal?.addEventListener('abort', close, { once: true });
  if (options.signal?.aborted) close();

  return {
    sync: (mine) => whilePending(async () => (ranks === 1 ? { step: mine.step } : sync.run(mine))),
    reduce: (step, vectors, digest) => whilePending(() => reduce(step, vectors, digest)),
    stats: () => stats,
    close,
  };
}

function checkVectors(
  { members, rank, elements }: ExchangeOptions,
  vectors: ReadonlyMap<number, Float32Array>,
): void {
  const { shardFirst, shardCount } = members[rank]!;
  if (vectors.size > shardCount)
    throw new FleetError('internal', `${vectors.size} vectors were given for ${shardCount} shards`);
  for (let shard = shardFirst; shard < shardFirst + shardCount; shard++) {
    const length = vectors.get(shard)?.length;
    if (length !== elements)
      throw new FleetError(
        'internal',
        length === undefined
          ? `shard ${shard} has no vector`
          : `the vector of shard ${shard} has ${length} elements instead of ${elements}`,
      );
  }
}
