// One member's part in one generation of a gang: agreeing where to go on (sync) and summing vectors over all shards, step
// by step (reduce), over core NATS, which may lose anything. Decides what goes to which part of it and what is kept between steps and
// generations; the protocols are sync.ts' and reduction.ts', which steps are worked on steps.ts', how it ends for all ending.ts', its
// time listening.ts', its patience pace.ts', the network channel.ts', membership the coordinator's, and what the sums mean the caller's. A worker
// runs it in a thread of its own (plane.ts).
//
// Guarantee: `reduce` gives every member the same bits, those of the canonical tree over the V shards, for any placement.
// The open step cannot be completed without every member, therefore a member is at most one step ahead of another and
// results of two steps are all that may ever be asked for.

import type { Clock } from '../clock.ts';
import { digest64 } from '../digest.ts';
import { FleetError, toFleetError } from '../errors.ts';
import type { DataConnection } from '../net/data-connection.ts';
import { letGoOfShared } from '../shared-memory.ts';
import { createChannel } from './channel.ts';
import { createEnding } from './ending.ts';
import { createListening } from './exchange-time.ts';
import type { SharedMemory } from './kernels.ts';
import { createExchangeMemory } from './memory.ts';
import type { Header } from './message.ts';
import { createOwnVectors } from './own-vectors.ts';
import { createPace } from './pace.ts';
import { type Compression, type Member, planOf } from './plan.ts';
import { createReduction } from './reduction.ts';
import { createResidualStore, type ResidualStore, residualsLeft } from './residuals.ts';
import { createSteps } from './steps.ts';
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
  /** Shards whose residual is in memory rather than in the store. */
  const residualsLive = new Set<number>();
  const watch = createWatch({
    ranks,
    rank,
    store: options.habits ?? createHabitStore(),
    now: () => listening.now(),
    onChange: (suspects) => options.onSuspects?.(suspects),
  });
  const pace = createPace({
    clock,
    stallMsMin: options.stallMs ?? STALL_MS,
    onStep: (ms) => watch.stepTook(ms),
  });

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
    onBroken: (error) => ending.fail(error),
  });
  const wire: Wire = {
    rank,
    ranks,
    stats,
    get stallMs() {
      return pace.stallMs();
    },
    now: () => listening.now(),
    asked: (other) => watch.asked(other),
    header: channel.header,
    sendTo: channel.sendTo,
    sendAll: channel.sendAll,
    nameOf: (other) => `rank ${other} (${members[other]?.workerId ?? 'unknown'})`,
    stop: (error) => ending.stop(error),
  };
  const steps = createSteps(() => createReduction({ plan, wire, memory, vectors, rooms }));
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
    holds: (step) => steps.open() === undefined || steps.open() === step,
    onAgreed: (step) => {
      steps.agree(step);
      watch.pardon();
    },
  });
  const ending = createEnding({
    clock,
    tell: (reason) => wire.sendAll(wire.header('stop', 0), reason),
    quietMs: pace.stallMs,
    onStopped: (error) => log.error({ runId, generation, details: error.details }, error.message),
    onFailed(error) {
      sync.fail(error);
      steps.fail(error);
    },
  });
  const listening = createListening({
    clock,
    signal: closing.signal,
    onTick: lookAfterMissing,
    onFailed: (caught) => ending.fail(toFleetError(caught, 'repairing the exchange')),
  });

  /** Data of sums goes where it belongs, all other data is small and has memory of its own. */
  function place(header: Header): Place {
    watch.heard(header.source);
    if (header.kind !== 'contribution' && header.kind !== 'result') return 'own';
    // Who goes on talking after a stop is answered; see route.
    if (ending.failure() !== undefined) return 'own';
    const { kind, step } = header;
    // Old steps answer requests; contributions are also taken, from members that are ahead, for the next.
    const reduction = kind === 'contribution' ? steps.forContribution(step) : steps.find(step);
    if (reduction !== undefined) return reduction.place(header);
    stats.refused++;
    return 'skip';
  }

  function route(header: Header, data: Uint8Array): void {
    const { kind, step } = header;
    if (kind === 'stop') ending.take(header, data);
    else if (ending.failure() !== undefined) ending.tellAgain();
    else if (kind === 'hello' || kind === 'ask-state' || kind === 'state') sync.take(header, data);
    else if (kind === 'here') return;
    else {
      const reduction = steps.find(step);
      reduction?.take(header, data);
      // Who asks for what is not there yet, or not any more, is only early or late.
      if (reduction === undefined && kind === 'missing')
        wire.sendTo(header.source, wire.header('here', step));
    }
  }

  function lookAfterMissing(): void {
    if (connection.isClosed()) throw new FleetError('unavailable', 'the connection to the broker is closed');
    sync.tick();
    const openStep = steps.open();
    const open = openStep === undefined ? undefined : steps.find(openStep);
    open?.askMissing();
    if (connection.isUp()) watch.judge((other) => (pace.isUsual() ? open?.waitedFor(other) : undefined));
    else watch.pardon();
  }

  async function whilePending<T>(work: () => Promise<T>): Promise<T> {
    checkGoingOn();
    // One member alone misses nothing.
    return ranks > 1 ? listening.whilePending(work) : work();
  }

  function checkGoingOn(): void {
    const failure = ending.failure();
    if (failure !== undefined) throw failure;
  }

  async function reduce(
    step: number,
    given: ReadonlyMap<number, Float32Array>,
    { digest, fresh = false }: ReduceOptions = {},
  ): Promise<Float32Array<SharedArrayBuffer>> {
    checkVectors(options, given);
    const openStep = steps.open();
    if (step !== openStep)
      throw new FleetError(
        'failedPrecondition',
        openStep === undefined
          ? `step ${step} cannot be summed before sync has agreed where to go on`
          : `step ${step} cannot be summed, step ${openStep} is open`,
      );
    const startedAt = clock.monotonic();
    pace.begin(fresh);
    fillVectors(memory, options, given);
    const weightsDigest = digest ?? (ranks === 1 ? '' : digest64((await options.provideState()).weights));
    checkGoingOn();
    const reduction = steps.current();
    const { duplicates } = stats;
    vectors.start(fresh);
    reduction.start(weightsDigest);
    await reduction.sum();
    vectors.finish();
    store.replace([]);
    steps.advance();
    pace.summed(stats.duplicates > duplicates);
    watch.pardon();
    stats.reduces++;
    stats.reduceSeconds += (clock.monotonic() - startedAt) / 1000;
    return memory.floats(memory.layout.sum, plan.elements);
  }

  function close(): void {
    if (closing.signal.aborted) return;
    options.signal?.removeEventListener('abort', close);
    closing.abort();
    if (listening.isPending()) pace.giveUp();
    watch.pardon();
    ending.fail(new FleetError('cancelled', `generation ${generation} of run ${runId} was left`));
    channel.close();
    const step = steps.open() ?? -1;
    const left = residualsLeft({
      shards: residualsLive,
      step,
      complete: steps.find(step)?.hasGivenAll() === true,
      of: (shard, when) => vectors.residual(shard, when)!,
    });
    store.replace([...store.all(), ...left]);
    steps.clear();
    letGoOfShared(memory.shared.buffer.byteLength);
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

const createStats = (): ExchangeStats => Object.fromEntries(STATS.map((name) => [name, 0])) as ExchangeStats;
