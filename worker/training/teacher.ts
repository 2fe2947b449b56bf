// What a student's step takes from its teacher: raw embeddings of the same shard batch at the stage that its
// epoch learns from, and the weight of the distillation term. Decides when the student waits and which stage
// is loaded ahead. A wait is back-pressure: it has no deadline, because the teacher may be queued, and it is
// reported as long as it lasts.

import { FleetError } from '../../core/errors.ts';
import {
  type DistillationSpec,
  distillationWeightAt,
  type TaughtEpochs,
  teacherStageFor,
} from '../../core/spec/distillation.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import { type BeginPhase, during } from '../../core/worker-time.ts';
import type { Compute } from '../compute/client.ts';
import type { BlockSupply, Made, Supplied } from './block-supply.ts';
import type { TeacherBlocks } from './teacher-blocks.ts';

/** The teacher at one stage, ready to embed shard batches. */
export interface TeacherNetwork {
  readonly stage: number;
  /** Of the checkpoint of that stage, SHA-256, hex. */
  readonly digest: string;
  /**
   * What a step takes beside its batch: raw embeddings [b, E] of the very images that the student sees, and
   * the weight [1].
   */
  inputsOf(batch: ShardBatch): Promise<readonly [Float32Array, Float32Array]>;
  /** Computes the embeddings of a shard batch for the students of all workers, unless somebody has done so, or does. */
  make(
    place: { readonly step: number; readonly shard: number },
    read: () => Promise<Uint8Array>,
  ): Promise<Made>;
  /** Computes the embeddings of a batch before its step; a failure is told to whoever takes them. */
  ahead(batch: ShardBatch): void;
}

/** Images of one shard in one step, RGB bytes, [b, 112, 112, 3]. */
export interface ShardBatch {
  readonly step: number;
  readonly shard: number;
  readonly images: Uint8Array;
}

export interface TeacherFeed {
  /** The network for an epoch; waits until the teacher has stored it. */
  forEpoch(epoch: number, signal: AbortSignal): Promise<TeacherNetwork>;
  /** Of the teacher's checkpoint that an epoch learns from, which is stored; SHA-256, hex. */
  digestFor(epoch: number, signal: AbortSignal): Promise<string>;
  /** From now on embeddings are shared with the students of all workers; undefined: with those of this worker alone. */
  shareThrough(supply: BlockSupply | undefined): void;
  /** How much longer than a step whose embeddings are there one may take, milliseconds; 0: no longer. */
  allowanceMs(): number;
  close(): void;
}

export interface TeacherOptions {
  readonly teacherRunId: string;
  /** Which stages the student's epochs learn from. */
  readonly taught: TaughtEpochs;
  /** How strong the term is. */
  readonly strength: Pick<DistillationSpec, 'weight' | 'pull'>;
  /** Images of one shard. */
  readonly batch: number;
  /** Where students on this worker share embeddings. */
  readonly blocks: TeacherBlocks;
  /** Of data, order and cut of the steps (`orderKeyOf`). */
  readonly order: string;
  /**
   * So many images had their embeddings computed here for this student, shared with another one here, or fetched from
   * the stream.
   */
  readonly onImages: (images: number, source: 'computed' | 'shared' | 'fetched') => void;
  /** The time in which a step waits for embeddings. */
  readonly begin: BeginPhase;
  /**
   * Size of the embeddings that are compared, to which the teacher's must be equal: the student's, or what its
   * adapter maps them to.
   */
  readonly embedding: number;
  readonly compute: Compute;
  /** Resolves when the stage is stored and loaded, however long that takes. */
  readonly load: (stage: number, signal: AbortSignal) => Promise<StoredNetwork>;
  /** Whether the stage is stored. A load of a stored stage is short and is not reported as a wait. */
  readonly exists: (stage: number, signal: AbortSignal) => Promise<boolean>;
  /** Digest of the checkpoint of a stage that is stored. */
  readonly digestOf: (stage: number, signal: AbortSignal) => Promise<string>;
  /** Called with the stage that the student waits for, and with undefined when the wait is over. */
  readonly onWaiting: (stage: number | undefined) => void;
}

export function createTeacherFeed(options: TeacherOptions): TeacherFeed {
  const { taught } = options;
  const closing = new AbortController();
  /** The stage in use and the one after it. */
  const loading = new Map<number, Promise<StoredNetwork>>();
  /** Digests of all stages that were loaded. */
  const digests = new Map<number, string>();
  /** Of the epoch that was asked for last: it keeps what was computed ahead. */
  let current: { epoch: number; stored: StoredNetwork; network: TeacherNetwork } | undefined;
  const stageOf = (epoch: number) => teacherStageFor({ ...taught, epoch });
  let supply: BlockSupply | undefined;

  const begin = (stage: number): Promise<StoredNetwork> => {
    const begun =
      loading.get(stage) ??
      options.load(stage, closing.signal).then((stored) => {
        assertComparable(stored, options);
        digests.set(stage, stored.digest);
        return stored;
      });
    loading.set(stage, begun);
    // A stage that is loaded ahead may fail before it is needed; then the next need loads it again and
    // reports the failure.
    begun.catch(() => {
      if (loading.get(stage) === begun) loading.delete(stage);
    });
    return begun;
  };

  return {
    async forEpoch(epoch, signal) {
      const stage = stageOf(epoch);
      const next = epoch + 1 < taught.epochs ? stageOf(epoch + 1) : stage;
      for (const other of loading.keys()) if (other !== stage && other !== next) loading.delete(other);
      const network = begin(stage);
      if (!(await isReady(network)) && !(await options.exists(stage, signal))) options.onWaiting(stage);
      try {
        const ready = await untilAborted(network, signal);
        if (next !== stage) begin(next);
        if (current?.epoch !== epoch || current.stored !== ready)
          current = {
            epoch,
            stored: ready,
            network: teacherNetwork(options, ready, { stage, epoch, supply: () => supply }),
          };
        return current.network;
      } finally {
        options.onWaiting(undefined);
      }
    },
    async digestFor(epoch, signal) {
      const stage = stageOf(epoch);
      return digests.get(stage) ?? options.digestOf(stage, signal);
    },
    shareThrough(next) {
      supply = next;
    },
    allowanceMs: () => supply?.allowanceMs() ?? 0,
    close() {
      closing.abort(new FleetError('cancelled', 'the student no longer needs its teacher'));
      loading.clear();
    },
  };
}

function teacherNetwork(
  options: TeacherOptions,
  stored: StoredNetwork,
  {
    stage,
    epoch,
    supply,
  }: { readonly stage: number; readonly epoch: number; readonly supply: () => BlockSupply | undefined },
): TeacherNetwork {
  const { batch, blocks, order, embedding } = options;
  const weight = Float32Array.of(distillationWeightAt(options.strength, { epoch, embedding }));
  const keyOf = ({ step, shard }: { readonly step: number; readonly shard: number }) => ({
    ...{ network: stored.networkDigest, order, step, shard },
  });
  const length = batch * stored.network.embedding;
  const embeddings = async ({ step, shard, images }: ShardBatch): Promise<Float32Array> => {
    const key = keyOf({ step, shard });
    const compute = () => embed(options, stored, images);
    let source: Supplied['source'] = 'computed';
    const { block, isShared } = blocks.get(key, async () => {
      const supplied = await supply()?.obtain(key, length, compute);
      if (supplied === undefined) return compute();
      source = supplied.source;
      return supplied.values;
    });
    const values = await block;
    options.onImages(batch, isShared ? 'shared' : source);
    return values;
  };
  /** Blocks that were begun before their step, so that none is counted twice. */
  const early = new Map<string, Promise<Float32Array>>();
  return {
    stage,
    digest: stored.digest,
    async inputsOf(taken) {
      const name = `${taken.step}/${taken.shard}`;
      const begun = early.get(name);
      early.delete(name);
      return [await during(options.begin, 'teacher_pass', begun ?? embeddings(taken)), weight];
    },
    async make(place, read) {
      const compute = async () => embed(options, stored, await read());
      const made = (await supply()?.make(keyOf(place), length, compute)) ?? 'away';
      if (made === 'made') options.onImages(batch, 'computed');
      return made;
    },
    ahead(next) {
      const name = `${next.step}/${next.shard}`;
      if (early.has(name)) return;
      const block = embeddings(next);
      block.catch(() => undefined);
      early.set(name, block);
    },
  };
}

/** The raw embeddings [b, E] of a shard batch, by the graph that every student uses. */
async function embed(
  { compute, batch }: Pick<TeacherOptions, 'compute' | 'batch'>,
  stored: StoredNetwork,
  images: Uint8Array,
): Promise<Float32Array> {
  const [embeddings] = await compute.runGraph({ kind: 'embed', network: stored.network, batch }, [
    stored.weights,
    stored.running,
    images,
  ]);
  if (!embeddings) throw new FleetError('internal', "the teacher's graph gave no output");
  return embeddings;
}

function assertComparable(stored: StoredNetwork, options: TeacherOptions): void {
  if (stored.network.embedding !== options.embedding)
    throw new FleetError(
      'invalidArgument',
      `teacher ${options.teacherRunId} has embeddings of ${stored.network.embedding} and the student of ${options.embedding}; distillation compares them directly`,
    );
}

/** Whether a promise has resolved by now, after everything that is due has run. */
function isReady(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([
    promise.then(() => true),
    new Promise<boolean>((resolve) => setImmediate(resolve, false)),
  ]);
}

/** The result, or the signal's reason if that comes first. The work itself goes on for the next caller. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** A network as an evaluation graph takes it, in memory that the compute thread shares. */
export interface StoredNetwork {
  readonly network: NetworkSpec;
  /** Backbone alone. */
  readonly weights: Float32Array;
  readonly running: Float32Array;
  /** Of the checkpoint that it comes from, SHA-256, hex. */
  readonly digest: string;
  /** Of its values alone, backbone and running statistics; SHA-256, hex. */
  readonly networkDigest: string;
}
