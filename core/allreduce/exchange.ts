// One member's part in one generation of a gang: agreeing where to go on (sync) and summing vectors over all shards, step
// by step (reduce), over core NATS, which may lose anything. Decides which step is open, what is kept for repair and how a
// failure ends it for all; the protocols are sync.ts' and reduction.ts', the network is channel.ts', membership the
// coordinator's, and what the sums mean the caller's. A worker runs it in a thread of its own (plane.ts).
//
// Guarantee: `reduce` gives every member the same bits, those of the canonical tree over the V shards, for any placement.
// The open step cannot be completed without every member, therefore a member is at most one step ahead of another and
// results of two steps are all that may ever be asked for.

import type { Clock } from '../clock.ts';
import { digest64 } from '../digest.ts';
import { CODES, type Code, FleetError, toFleetError } from '../errors.ts';
import type { DataConnection } from '../net/data-connection.ts';
import { letGoOfShared } from '../shared-memory.ts';
import { createChannel } from './channel.ts';
import type { SharedMemory } from './kernels.ts';
import { createExchangeMemory } from './memory.ts';
import { encodeJson, type Header, jsonOf } from './message.ts';
import { createOwnVectors } from './own-vectors.ts';
import { type Compression, type Member, planOf } from './plan.ts';
import { createReduction, type Reduction } from './reduction.ts';
import { createResidualStore, type Residual, type ResidualStore } from './residuals.ts';
import { createSync, type Synced } from './sync.ts';
import { checkVectors, fillVectors, vectorView } from './vectors.ts';
import { createHabitStore, createWatch, type HabitStore, type Suspect } from './watch.ts';
import { type ExchangeStats, type Faults, type Place, STATS, type State, type Wire } from './wire.ts';

export type { Compression, Member } from './plan.ts';
export type { Synced } from './sync.ts';
export type { Suspect } from './watch.ts';
export type { ExchangeStats, Faults, State } from './wire.ts';

/** What a gang agrees on; plain data. */
export interface ExchangePlan {
  readonly runId: string;
  readonly generation: number;
  /** This member's place in `members`. */
  readonly rank: number;
  readonly members: readonly Member[];
  /** V. */
  readonly shards: number;
  /** Length of every vector. */
  readonly elements: number;
  /** Default: none. */
  readonly compression?: Compression;
  /** Every element of the sum is multiplied by it; 1/V, a power of two, makes the sum a mean. Default: 1. */
  readonly factor?: number;
  /** Quiet time after which missing messages are asked for; about four round trips and some scheduling, milliseconds. */
  readonly stallMs?: number;
}

export interface ExchangeOptions extends ExchangePlan {
  /** Several exchanges may share one; with `noEcho` results are not delivered back to their owner. */
  readonly connection: DataConnection;
  /** The replica's state at the open step. Called while others fetch it; it must not change before that step's sum is there. */
  readonly provideState: () => State | Promise<State>;
  readonly log: {
    warn(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
  readonly clock: Clock;
  /** Aborting it is `close()`. */
  readonly signal?: AbortSignal;
  /** Loses or repeats messages in tests. */
  readonly faults?: Faults;
  /** Memory that another thread has made for the same plan. */
  readonly memory?: SharedMemory;
  /** Counters that another thread reads. */
  readonly stats?: ExchangeStats;
  /** Carries what int8 leaves from one generation of the run to the next. */
  readonly residuals?: ResidualStore;
  /** Carries what was seen of step times from one generation of the run to the next. */
  readonly habits?: HabitStore;
  /** Called with all members that do not do their part (patience.ts), each time that these are others; empty: nobody. */
  readonly onSuspects?: (suspects: readonly Suspect[]) => void;
}

export interface ReduceOptions {
  /** digest64 of the weights at the start of the step, if at hand. */
  readonly digest?: string;
  /** With int8: what earlier steps left is forgotten. All members say the same; a step after a checkpoint is one. */
  readonly fresh?: boolean;
}

export interface Exchange {
  /**
   * Agrees with all members on the step at which all go on: the largest that anybody has. `digest` is digest64 of the
   * weights. A member that is behind gets the state of that step. Without state: `WITHOUT_STATE`; when nobody has
   * one the answer is step -1, and everybody loads the state and calls again.
   */
  sync(mine: { readonly step: number; readonly digest: string }): Promise<Synced>;
  /**
   * Where a shard's vector of the next step may be computed into, so that `reduce` need not copy it. Free between the result of
   * one reduce and the call of the next.
   */
  vector(shard: number): Float32Array<SharedArrayBuffer>;
  /**
   * Sum of the vectors of all shards times `factor`, in shared memory, to be read until the next call and never changed: slower members
   * may still get it from there. `vectors` has one for each shard of this member, which are overwritten if they are those
   * that `vector` gave.
   */
  reduce(
    step: number,
    vectors: ReadonlyMap<number, Float32Array>,
    options?: ReduceOptions,
  ): Promise<Float32Array<SharedArrayBuffer>>;
  stats(): Readonly<ExchangeStats>;
  /** Until then requests of slower members are answered, also after the last step. Pending calls reject with `cancelled`. */
  close(): void;
}

const STALL_MS = 250;
const STALL_MS_MAX = 1000;
const TICK_MS = 25;

export function createExchange(options: ExchangeOptions): Exchange {
  const { connection, runId, generation, rank, members, clock, log } = options;
  if (members[rank] === undefined)
    throw new FleetError('invalidArgument', `rank ${rank} is not among ${members.length} members`);
  const plan = planOf(options);
  const ranks = members.length;
  const stats = options.stats ?? createStats();
  const memory = createExchangeMemory(plan, rank, options.memory);
  const vectors = createOwnVectors({ plan, rank, memory, factor: options.factor ?? 1 });
  const store = options.residuals ?? createResidualStore();
  const { shardFirst, shardCount } = members[rank]!;
  const ownShards = Array.from({ length: shardCount }, (_, i) => shardFirst + i);

  const rooms = [...memory.layout.rooms];
  const closing = new AbortController();
  const reductions = new Map<number, Reduction>();
  /** Of steps that are over. */
  const spare: Reduction[] = [];
  /** The step that is summed next; undefined before sync has agreed on one. */
  let openStep: number | undefined;
  /** Shards whose residual is in memory rather than in the store. */
  const residualsLive = new Set<number>();
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
  /** When the last step was summed, in this generation. */
  let summedAt: number | undefined;
  /** The open step begins a stage. */
  let openIsFresh = false;
  const watch = createWatch({
    ranks,
    rank,
    store: options.habits ?? createHabitStore(),
    now: () => listenedMs,
    onChange: (suspects) => options.onSuspects?.(suspects),
  });
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
    place,
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
    asked: (other) => watch.asked(other),
    header: channel.header,
    sendTo: channel.sendTo,
    sendAll: channel.sendAll,
    nameOf: (other) => `rank ${other} (${members[other]?.workerId ?? 'unknown'})`,
    stop(error) {
      if (failure !== undefined) return;
      log.error({ runId, generation, details: error.details }, error.message);
      stopped = encodeJson({ code: error.code, message: error.message });
      wire.sendAll(wire.header('stop', 0), stopped);
      fail(error);
    },
  };
  const sync = createSync({
    wire,
    provideState: options.provideState,
    residuals: () => store.all(),
    needed: plan.compression === 'int8' ? ownShards : [],
    onResidual(shard, values) {
      residualsLive.add(shard);
      const residual = vectors.residual(shard, 'open')!;
      if (values === undefined) residual.fill(0);
      else residual.set(values);
    },
    holds: (step) => openStep === undefined || openStep === step,
    onAgreed: (step) => {
      openStep = step;
      watch.pardon();
      for (const [other, reduction] of reductions) {
        if (other !== step) endReduction(other, reduction);
      }
    },
  });

  /** Data of sums goes where it belongs, all other data is small and has memory of its own. */
  function place(header: Header): Place {
    watch.heard(header.source);
    if (header.kind !== 'contribution' && header.kind !== 'result') return 'own';
    // Who goes on talking after a stop is answered; see route.
    if (failure !== undefined) return 'own';
    const reduction = reductionFor(header);
    if (reduction !== undefined) return reduction.place(header);
    stats.refused++;
    return 'skip';
  }

  function route(header: Header, data: Uint8Array): void {
    const { kind, step } = header;
    if (kind === 'stop') takeStop(header, data);
    else if (failure !== undefined) tellStopAgain();
    else if (kind === 'hello' || kind === 'ask-state' || kind === 'state') sync.take(header, data);
    else if (kind === 'here') return;
    else {
      const reduction = reductions.get(step);
      reduction?.take(header, data);
      // Who asks for what is not there yet, or not any more, is only early or late.
      if (reduction === undefined && kind === 'missing')
        wire.sendTo(header.source, wire.header('here', step));
    }
  }

  /** Old steps answer requests; contributions are taken for the open step and, from members that are ahead, for the next. */
  function reductionFor({ step, kind }: Header): Reduction | undefined {
    const known = reductions.get(step);
    if (known !== undefined || kind !== 'contribution') return known;
    // A member that has heard all may contribute before this one has: to the step that all will agree on, no other.
    if (openStep === undefined) return reductions.size === 0 ? addReduction(step) : undefined;
    if (step === openStep) return addReduction(step);
    // Nobody can be a step ahead before everything is given from here; until then the memory is in use.
    const ahead = step === openStep + 1 && reductions.get(openStep)?.hasGivenAll() === true;
    return ahead ? addReduction(step) : undefined;
  }

  function addReduction(step: number): Reduction {
    const reduction = spare.pop() ?? createReduction({ plan, wire, memory, vectors, rooms });
    reduction.open(step);
    reductions.set(step, reduction);
    return reduction;
  }

  function endReduction(step: number, reduction: Reduction): void {
    reductions.delete(step);
    reduction.end();
    spare.push(reduction);
  }

  function takeStop({ source }: Header, data: Uint8Array): void {
    const { code, message: reason } = jsonOf(data) as {
      code?: unknown;
      message?: unknown;
    };
    const known = typeof code === 'string' && code in CODES ? (code as Code) : 'aborted';
    if (failure === undefined) {
      stopped = encodeJson({ code: known, message: reason });
      fail(new FleetError(known, String(reason), { details: { toldBy: source } }));
    }
  }

  function tellStopAgain(): void {
    if (stopped === undefined || clock.monotonic() - stopToldAt < wire.stallMs) return;
    stopToldAt = clock.monotonic();
    wire.sendAll(wire.header('stop', 0), stopped);
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
        const open = openStep === undefined ? undefined : reductions.get(openStep);
        open?.askMissing();
        // The first step of a member compiles, and that of a stage waits for others.
        const isUsual = summedAt !== undefined && !openIsFresh;
        if (connection.isUp()) watch.judge((other) => (isUsual ? open?.waitedFor(other) : undefined));
        else watch.pardon();
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
    given: ReadonlyMap<number, Float32Array>,
    { digest, fresh = false }: ReduceOptions = {},
  ): Promise<Float32Array<SharedArrayBuffer>> {
    checkVectors(options, given);
    if (step !== openStep)
      throw new FleetError(
        'failedPrecondition',
        openStep === undefined
          ? `step ${step} cannot be summed before sync has agreed where to go on`
          : `step ${step} cannot be summed, step ${openStep} is open`,
      );
    const startedAt = clock.monotonic();
    openIsFresh = fresh;
    fillVectors(memory, options, given);
    const weightsDigest = digest ?? (ranks === 1 ? '' : digest64((await options.provideState()).weights));
    if (failure !== undefined) throw failure;
    const reduction = reductions.get(step) ?? addReduction(step);
    const { duplicates } = stats;
    vectors.start(fresh);
    reduction.start(weightsDigest);
    await reduction.sum();
    // What arrived twice was not lost but slow: be more patient, and less again when that has passed.
    if (stats.duplicates > duplicates) stallMs = Math.min(STALL_MS_MAX, stallMs * 1.5);
    else stallMs = Math.max(stallMsMin, stallMs * 0.9);
    vectors.finish();
    store.replace([]);
    openStep = step + 1;
    const last = reductions.get(step - 1);
    if (last !== undefined) endReduction(step - 1, last);
    const now = clock.monotonic();
    if (summedAt !== undefined && !fresh) watch.stepTook(now - summedAt);
    summedAt = now;
    watch.pardon();
    stats.reduces++;
    stats.reduceSeconds += (now - startedAt) / 1000;
    return memory.floats(memory.layout.sum, plan.elements);
  }

  function close(): void {
    if (closing.signal.aborted) return;
    options.signal?.removeEventListener('abort', close);
    closing.abort();
    // A wait that somebody ended was a slow step too: whoever was only slow is given more time the next time.
    if (pending > 0 && summedAt !== undefined && !openIsFresh) watch.stepTook(clock.monotonic() - summedAt);
    watch.pardon();
    fail(new FleetError('cancelled', `generation ${generation} of run ${runId} was left`));
    channel.close();
    store.replace([...store.all(), ...liveResiduals()]);
    reductions.clear();
    letGoOfShared(memory.shared.buffer.byteLength);
  }

  /** Copies, for the next generation. The open step may yet turn out complete elsewhere: then what it left here counts. */
  function liveResiduals(): Residual[] {
    const step = openStep ?? -1;
    const complete = reductions.get(step)?.hasGivenAll() === true;
    return [...residualsLive].flatMap((shard) => {
      const copy = (when: 'open' | 'next'): Float32Array => Float32Array.from(vectors.residual(shard, when)!);
      const open = { shard, step, values: copy('open') };
      return complete ? [open, { shard, step: step + 1, values: copy('next') }] : [open];
    });
  }

  options.signal?.addEventListener('abort', close, { once: true });
  if (options.signal?.aborted) close();

  return {
    sync: (mine) => whilePending(() => sync.run(mine)),
    vector: (shard) => vectorView(memory, options, shard),
    reduce: (step, given, reduceOptions) => whilePending(() => reduce(step, given, reduceOptions)),
    stats: () => stats,
    close,
  };
}

export const createStats = (): ExchangeStats =>
  Object.fromEntries(STATS.map((name) => [name, 0])) as ExchangeStats;
