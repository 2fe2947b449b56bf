// One member's part in one generation of a gang: agreeing where to go on (sync) and summing vectors over all
// shards, step by step (reduce), over core NATS, which may lose anything. Decides when a call may be made,
// what a sum costs and leaves, and what is kept when the exchange is closed. docs/exchange.md describes the
// messages and the repair.
//
// Life of a generation at one member:
//
//   created ── sync ──► agreed at T ── reduce T ──► reduce T + 1 ── ... ──► close
//      │                                                                     ▲
//      └── sync gives -1: all load a state and call sync again               └── or the first failure, at any time
//
// Guarantee: `reduce` gives every member the same bits, those of the canonical tree over the V shards, for
// any placement. The open step cannot be completed without every member, therefore a member is at most one
// step ahead of another, and results of two steps are all that may ever be asked for.

import { FleetError } from '../errors.ts';
import { letGoOfShared } from '../shared-memory.ts';
import { stepDigest } from '../step-digest.ts';
import type { ExchangeOptions } from './exchange-options.ts';
import { createParts, type Parts } from './exchange-parts.ts';
import type { Node } from './plan.ts';
import { type Residual, residualsLeft } from './residuals.ts';
import type { Synced } from './sync.ts';
import { checkVectors, fillVectors, vectorView } from './vectors.ts';
import type { ExchangeStats } from './wire.ts';

export type { ExchangeOptions, ExchangePlan } from './exchange-options.ts';
export type { Suspect } from './member-watch.ts';
export type { Compression, Member } from './plan.ts';
export type { Residual } from './residuals.ts';
export type { Synced } from './sync.ts';
export type { ExchangeStats, Faults, State } from './wire.ts';

export interface ReduceOptions {
  /** stepDigest of the weights at the start of the step, if at hand. */
  readonly digest?: string;
  /**
   * With int8: what earlier steps left is dropped. All members pass the same; a step after a checkpoint is
   * one.
   */
  readonly fresh?: boolean;
  /**
   * Nodes of several of this member's shards that are added up already; none with compression. The vector of a node's
   * first shard is its sum, and the others have none.
   */
  readonly summed?: readonly Node[];
}

/** What int8 had left of a shard. */
export type ShardResidual = Pick<Residual, 'shard' | 'values'>;

export interface Exchange {
  /**
   * Agrees with all members on the step at which all go on: the largest that anybody has. `digest` is
   * stepDigest of the weights. A member that is behind gets the state of that step. Without state:
   * `WITHOUT_STATE`; when nobody has one the answer is step -1, and everybody loads the state and calls
   * again.
   */
  sync(mine: { readonly step: number; readonly digest: string }): Promise<Synced>;
  /**
   * Before `sync`, with int8: what a checkpoint within a stage has of shards, as if this member had had it all
   * along.
   */
  bringResiduals(residuals: readonly Residual[]): void;
  /** After `sync` and before the first sum, with int8: what this member has of shards; nothing where it was lost. */
  residuals(): Promise<readonly ShardResidual[]>;
  /**
   * Where a shard's vector of the next step may be computed into, so that `reduce` need not copy it. Free
   * from the end of `sync` to the first call of `reduce`, and between the result of one and the call of the next.
   */
  vector(shard: number): Float32Array<SharedArrayBuffer>;
  /**
   * Sum of the vectors of all shards times `factor`, in shared memory, to be read until the next call and
   * never changed: slower members may still get it from there. `vectors` has one for each shard of this
   * member, or for each node that is added up already; they are overwritten if they are those that `vector` gave.
   */
  reduce(
    step: number,
    vectors: ReadonlyMap<number, Float32Array>,
    options?: ReduceOptions,
  ): Promise<Float32Array<SharedArrayBuffer>>;
  stats(): Readonly<ExchangeStats>;
  /**
   * Until then requests of slower members are answered, also after the last step. Pending calls reject with
   * `cancelled`.
   */
  close(): void;
}

export function createExchange(options: ExchangeOptions): Exchange {
  const { rank, members, signal } = options;
  if (members[rank] === undefined)
    throw new FleetError('invalidArgument', `rank ${rank} is not among ${members.length} members`);
  const parts = createParts(options);

  async function whilePending<T>(work: () => Promise<T>): Promise<T> {
    checkGoingOn(parts);
    // One member alone misses nothing.
    return members.length > 1 ? parts.listening.whilePending(work) : work();
  }

  function close(): void {
    if (parts.closing.signal.aborted) return;
    signal?.removeEventListener('abort', close);
    closeParts(parts, options);
  }

  signal?.addEventListener('abort', close, { once: true });
  if (signal?.aborted) close();

  return {
    sync: (mine) =>
      whilePending(async () => {
        parts.neighbours.begin();
        const synced = await parts.sync.agree(mine);
        await parts.neighbours.meet();
        checkGoingOn(parts);
        return synced;
      }),
    bringResiduals: (given) => parts.residuals.replace([...parts.residuals.all(), ...given]),
    residuals: async () => residualsAt(parts),
    vector: (shard) => vectorView(parts.memory, options, shard),
    reduce: (step, given, reduceOptions) =>
      whilePending(() => reduceStep(parts, options, step, given, reduceOptions)),
    stats: () => parts.stats,
    close,
  };
}

async function reduceStep(
  parts: Parts,
  options: ExchangeOptions,
  step: number,
  given: ReadonlyMap<number, Float32Array>,
  { digest, fresh = false, summed = [] }: ReduceOptions = {},
): Promise<Float32Array<SharedArrayBuffer>> {
  const { plan, memory, vectors, steps, pace, stats } = parts;
  const { clock } = options;
  checkVectors(options, given, summed);
  checkStep(step, steps.openStep());
  const startedAt = clock.monotonic();
  pace.markStart(fresh);
  fillVectors(memory, options, given);
  const weightsDigest =
    digest ?? (plan.members.length === 1 ? '' : stepDigest((await options.provideState()).weights));
  checkGoingOn(parts);
  const reduction = steps.openReduction();
  const { duplicates } = stats;
  vectors.beginVectors(fresh, summed);
  reduction.contributeAll(weightsDigest);
  await reduction.whenSummed();
  vectors.endVectors();
  // What earlier generations left was carried into this sum.
  parts.residuals.replace([]);
  steps.advance();
  pace.markSum(stats.duplicates > duplicates);
  parts.watch.clearQuestions();
  stats.reduces++;
  stats.reduceSeconds += (clock.monotonic() - startedAt) / 1000;
  return memory.floats(memory.layout.sum, plan.elements);
}

function residualsAt({ residualsLive, gathered, vectors }: Parts): ShardResidual[] {
  const own = [...residualsLive].map((shard) => ({
    shard,
    values: Float32Array.from(vectors.residual(shard, 'open')!),
  }));
  return [...own, ...[...gathered].map(([shard, values]) => ({ shard, values }))];
}

/** Throws unless `step` is the open one. */
export function checkStep(step: number, openStep: number | undefined): void {
  if (step === openStep) return;
  throw new FleetError(
    'failedPrecondition',
    openStep === undefined
      ? `step ${step} cannot be summed before sync has agreed where to go on`
      : `step ${step} cannot be summed, step ${openStep} is open`,
  );
}

function checkGoingOn({ ending }: Parts): void {
  const failure = ending.failure();
  if (failure !== undefined) throw failure;
}

function closeParts(parts: Parts, { generation, runId }: ExchangeOptions): void {
  const { closing, listening, pace, watch, ending, steps, residuals, residualsLive, vectors } = parts;
  closing.abort();
  if (listening.isPending()) pace.markAbandoned();
  watch.clearQuestions();
  ending.endHere(new FleetError('cancelled', `generation ${generation} of run ${runId} was left`));
  parts.closeChannel();
  parts.neighbours.close();
  const step = steps.openStep() ?? -1;
  const left = residualsLeft({
    shards: residualsLive,
    step,
    complete: steps.reductionOf(step)?.hasGivenAll() === true,
    of: (shard, when) => vectors.residual(shard, when)!,
  });
  residuals.replace([...residuals.all(), ...left]);
  steps.clear();
  letGoOfShared(parts.memory.shared.buffer.byteLength);
}
