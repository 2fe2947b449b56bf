// What a student learns from: the teacher's network at the stage that the student's epoch needs. Decides when to wait and
// what to fetch ahead; which stage an epoch needs is core/spec/schedule.ts', whether a teacher that never comes fails its
// students is the coordinator's. A wait is back-pressure: it has no deadline and is told to whoever watches.

import { FleetError } from '../../core/errors.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import type { DistillationSpec } from '../../core/spec/run.ts';
import { teacherStageFor } from '../../core/spec/schedule.ts';
import type { Compute } from '../compute/client.ts';

/** The teacher at one stage, ready to embed shard batches. */
export interface TeacherNetwork {
  readonly stage: number;
  /** Raw embeddings [b, E] of the very images that the student sees. */
  embed(images: Uint8Array): Promise<Float32Array>;
}

export interface TeacherFeed {
  /** The network for an epoch; waits until the teacher has stored it. */
  forEpoch(epoch: number, signal: AbortSignal): Promise<TeacherNetwork>;
  close(): void;
}

export interface TeacherOptions {
  readonly teacherRunId: string;
  /** Stages that the teacher will have. */
  readonly teacherStages: number;
  readonly schedule: DistillationSpec['schedule'];
  /** Images of one shard. */
  readonly batch: number;
  /** Embedding size of the student; distillation compares the two directly. */
  readonly embedding: number;
  readonly compute: Compute;
  /** Resolves when the stage is stored and loaded, however long that takes. */
  readonly load: (stage: number, signal: AbortSignal) => Promise<StoredNetwork>;
  /** Whether the stage is stored already: tells a load, which is short, from a wait. */
  readonly exists: (stage: number) => Promise<boolean>;
  /** The stage that is waited for, and undefined when the wait is over. */
  readonly onWaiting: (stage: number | undefined) => void;
}

export function createTeacherFeed(options: TeacherOptions): TeacherFeed {
  const { teacherStages, batch, compute } = options;
  const closing = new AbortController();
  /** The stage in use and the one after it. */
  const loading = new Map<number, Promise<TeacherNetwork>>();

  const begin = (stage: number): Promise<TeacherNetwork> => {
    const begun =
      loading.get(stage) ??
      options.load(stage, closing.signal).then((stored) => {
        assertComparable(stored, options);
        return {
          stage,
          embed: (images: Uint8Array) => embed(compute, stored, batch, images),
        };
      });
    loading.set(stage, begun);
    // A stage fetched ahead may fail before anybody needs it; the next need tries again and tells.
    begun.catch(() => {
      if (loading.get(stage) === begun) loading.delete(stage);
    });
    return begun;
  };

  return {
    async forEpoch(epoch, signal) {
      const stage = teacherStageFor({ schedule: options.schedule, epoch, teacherStages });
      for (const old of loading.keys()) if (old < stage) loading.delete(old);
      const network = begin(stage);
      if (!(await isReady(network)) && !(await options.exists(stage))) options.onWaiting(stage);
      try {
        const ready = await untilAborted(network, signal);
        if (stage < teacherStages && options.schedule === 'multi-step') begin(stage + 1);
        return ready;
      } finally {
        options.onWaiting(undefined);
      }
    },
    close() {
      closing.abort(new FleetError('cancelled', 'the student no longer needs its teacher'));
      loading.clear();
    },
  };
}

async function embed(
  compute: Compute,
  stored: StoredNetwork,
  batch: number,
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

/** Whether a promise has resolved by now; lets what is due run first. */
function isReady(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([
    promise.then(() => true),
    new Promise<boolean>((resolve) => setImmediate(resolve, false)),
  ]);
}

/** The result, or the signal's reason if that comes first; the work itself goes on for whoever asks next. */
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
}
