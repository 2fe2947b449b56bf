// The teacher's network at the stage that a student's epoch needs. Decides when the student waits and which
// stage is loaded ahead. A wait is back-pressure: it has no deadline, because the teacher may be queued, and
// it is reported as long as it lasts.

import { FleetError } from '../../core/errors.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import type { DistillationSpec } from '../../core/spec/run.ts';
import { teacherStageFor } from '../../core/spec/schedule.ts';
import type { Compute } from '../compute/client.ts';

/** The teacher at one stage, ready to embed shard batches. */
export interface TeacherNetwork {
  readonly stage: number;
  /** Of the checkpoint of that stage, SHA-256, hex. */
  readonly digest: string;
  /** Raw embeddings [b, E] of the very images that the student sees. */
  embed(images: Uint8Array): Promise<Float32Array>;
}

export interface TeacherFeed {
  /** The network for an epoch; waits until the teacher has stored it. */
  forEpoch(epoch: number, signal: AbortSignal): Promise<TeacherNetwork>;
  /** Of the teacher's checkpoint that an epoch learns from, which is stored; SHA-256, hex. */
  digestFor(epoch: number, signal: AbortSignal): Promise<string>;
  close(): void;
}

export interface TeacherOptions {
  readonly teacherRunId: string;
  /** Stages that the teacher will have. */
  readonly teacherStages: number;
  readonly schedule: DistillationSpec['schedule'];
  /** Images of one shard. */
  readonly batch: number;
  /**
   * Embedding size of the student, to which the teacher's must be equal: distillation compares the two
   * directly.
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
  const { teacherStages, batch, compute } = options;
  const closing = new AbortController();
  /** The stage in use and the one after it. */
  const loading = new Map<number, Promise<TeacherNetwork>>();
  /** Digests of all stages that were loaded. */
  const digests = new Map<number, string>();
  const stageOf = (epoch: number) => teacherStageFor({ schedule: options.schedule, epoch, teacherStages });

  const begin = (stage: number): Promise<TeacherNetwork> => {
    const begun =
      loading.get(stage) ??
      options.load(stage, closing.signal).then((stored) => {
        assertComparable(stored, options);
        digests.set(stage, stored.digest);
        return {
          stage,
          digest: stored.digest,
          embed: (images: Uint8Array) => embed(compute, stored, batch, images),
        };
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
      for (const old of loading.keys()) if (old < stage) loading.delete(old);
      const network = begin(stage);
      if (!(await isReady(network)) && !(await options.exists(stage, signal))) options.onWaiting(stage);
      try {
        const ready = await untilAborted(network, signal);
        if (stage < teacherStages && options.schedule === 'multi-step') begin(stage + 1);
        return ready;
      } finally {
        options.onWaiting(undefined);
      }
    },
    async digestFor(epoch, signal) {
      const stage = stageOf(epoch);
      return digests.get(stage) ?? options.digestOf(stage, signal);
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
}
