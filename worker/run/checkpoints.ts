// Checkpoints and evaluation reports of runs, as a worker uses them: the newest of a run, a teacher's at a
// stage that may still have to be stored, one that is to be stored unless it is. Decides that a store which
// is full or away is waited for without end, and which loaded teachers are kept for other students.

import { LRUCache } from 'lru-cache';
import {
  type Checkpoint,
  checkpointMetadata,
  decodeCheckpoint,
  encodeCheckpoint,
} from '../../core/checkpoint/format.ts';
import type { ArtefactStore, Manifest } from '../../core/checkpoint/store.ts';
import type { Clock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { Names } from '../../core/net/subjects.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { decodeOrLost } from '../../core/protobuf.ts';
import { retrying, WAIT_FOR_ROOM } from '../../core/retry.ts';
import { sharedFloats } from '../../core/shared-memory.ts';
import { networkSchema } from '../../core/spec/network.ts';
import { EvaluationReport } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { WorkerMetrics } from '../metrics.ts';
import { sgdVectors } from '../training/replica.ts';
import type { StoredNetwork } from '../training/teacher.ts';

export type LoadedCheckpoint = ReturnType<typeof decodeCheckpoint>;

export interface Checkpoints {
  /** The checkpoint with the highest stage; undefined before the first. */
  newest(runId: string, signal: AbortSignal): Promise<LoadedCheckpoint | undefined>;
  newestStage(runId: string, signal: AbortSignal): Promise<number | undefined>;
  /** The checkpoint of a stage, its digests verified; `notFound` when there is none. */
  load(runId: string, stage: number, signal: AbortSignal): Promise<LoadedCheckpoint>;
  find(runId: string, stage: number, signal: AbortSignal): Promise<Manifest | undefined>;
  /**
   * Stores a checkpoint unless its manifest exists: the stored one is as good, since equal runs give equal
   * bytes.
   */
  save(runId: string, checkpoint: Checkpoint, signal: AbortSignal): Promise<Manifest>;
  /** The network at a stage, as soon as that is stored; it is loaded once for all students of this worker. */
  network(runId: string, stage: number, signal: AbortSignal): Promise<StoredNetwork>;
  findEvaluation(runId: string, signal: AbortSignal): Promise<EvaluationReport | undefined>;
  saveEvaluation(runId: string, report: EvaluationReport, signal: AbortSignal): Promise<void>;
  /**
   * `listener` is called with the reason when a run begins to wait for the store, and with undefined when it
   * goes on. Returns what ends that.
   */
  onWait(runId: string, listener: (reason: string | undefined) => void): () => void;
}

/**
 * So many loaded networks are kept, so that students that are some stages apart in their schedules still
 * share them.
 */
const NETWORKS_MAX = 4;

export function createCheckpoints(options: {
  readonly store: ArtefactStore;
  readonly names: Names;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: WorkerMetrics;
}): Checkpoints {
  const { store, metrics } = options;
  const { checkpointKey, evaluationKey } = options.names;
  const networks = new LRUCache<string, Promise<StoredNetwork>>({ max: NETWORKS_MAX });
  const waits = createWaits(options.log);
  const persist = <T>(runId: string, doing: string, signal: AbortSignal, work: () => Promise<T>) =>
    untilStored({ ...options, doing, signal, work, onTrouble: waits.of(runId) });
  const timed = <T>(op: 'save' | 'load', work: () => Promise<T>, bytesOf: (result: T) => number) =>
    measured(metrics, options.clock, op, work, bytesOf);

  const load = async (key: string): Promise<LoadedCheckpoint> => {
    const { bytes } = await timed(
      'load',
      () => store.getArtefact(key),
      (artefact) => artefact.bytes.length,
    );
    return decodeCheckpoint(bytes);
  };
  const newestStage = async (runId: string): Promise<number | undefined> => {
    // A key that names no stage belongs to another kind of artefact.
    const stages = (await store.listManifests(checkpointKey(runId, '*')))
      .map(stageOf)
      .filter(Number.isInteger);
    return stages.length === 0 ? undefined : Math.max(...stages);
  };
  const loadNetwork = (runId: string, stage: number): Promise<StoredNetwork> => {
    const key = checkpointKey(runId, stage);
    const known = networks.get(key);
    if (known !== undefined) return known;
    const begun = load(key).then(networkOf);
    networks.set(key, begun);
    begun.catch(() => {
      if (networks.peek(key) === begun) networks.delete(key);
    });
    return begun;
  };

  return {
    newest: (runId, signal) =>
      persist(runId, `looking for a checkpoint of ${runId}`, signal, async () => {
        const stage = await newestStage(runId);
        return stage === undefined ? undefined : load(checkpointKey(runId, stage));
      }),
    newestStage: (runId, signal) =>
      persist(runId, `looking for a checkpoint of ${runId}`, signal, () => newestStage(runId)),
    load: (runId, stage, signal) =>
      persist(runId, `loading checkpoint ${stage} of ${runId}`, signal, () =>
        load(checkpointKey(runId, stage)),
      ),
    find: (runId, stage, signal) =>
      persist(runId, `looking for checkpoint ${stage} of ${runId}`, signal, () =>
        store.getManifest(checkpointKey(runId, stage)),
      ),
    async save(runId, checkpoint, signal) {
      const key = checkpointKey(runId, checkpoint.stage);
      // Encoded now: the caller changes the weights as soon as the next step's sum is there.
      let encoded: Uint8Array | undefined = encodeCheckpoint(checkpoint);
      const metadata = checkpointMetadata(checkpoint);
      const manifest = await persist(
        runId,
        `storing checkpoint ${checkpoint.stage} of ${runId}`,
        signal,
        async () => {
          const existing = await store.getManifest(key);
          if (existing) return existing;
          const bytes = encoded!;
          return timed(
            'save',
            () => store.putArtefact({ key, bytes, metadata, signal, onWait: waits.of(runId) }),
            () => bytes.length,
          );
        },
      );
      encoded = undefined;
      metrics.checkpointLast.set({ run: runId }, options.clock.now() / 1000);
      return manifest;
    },
    network: (runId, stage, signal) =>
      persist(runId, `loading checkpoint ${stage} of ${runId}`, signal, async () => {
        await store.watchManifest(checkpointKey(runId, stage), signal);
        return loadNetwork(runId, stage);
      }),
    findEvaluation: (runId, signal) =>
      persist(runId, `looking for the evaluation of ${runId}`, signal, async () => {
        if ((await store.getManifest(evaluationKey(runId))) === undefined) return undefined;
        const { bytes } = await store.getArtefact(evaluationKey(runId));
        return decodeOrLost(EvaluationReport, bytes, `the evaluation of ${runId}`);
      }),
    async saveEvaluation(runId, report, signal) {
      const bytes = EvaluationReport.encode(report).finish();
      await persist(runId, `storing the evaluation of ${runId}`, signal, () =>
        store.putArtefact({ key: evaluationKey(runId), bytes, signal, onWait: waits.of(runId) }),
      );
    },
    onWait: waits.follow,
  };
}

/**
 * Runs that wait for the store, each with its reason. A listener is called at each change; only changes are
 * logged.
 */
function createWaits(log: Logger) {
  const reasons = new Map<string, string>();
  const listeners = new Map<string, (reason: string | undefined) => void>();
  const update = (runId: string, trouble: FleetError | undefined): void => {
    const before = reasons.get(runId);
    if (trouble === undefined) {
      if (!reasons.delete(runId)) return;
      log.info({ run: runId }, 'the store answers again');
    } else {
      reasons.set(runId, trouble.message);
      if (before !== undefined) return;
      log.warn({ run: runId, code: trouble.code }, `waits for the store: ${trouble.message}`);
    }
    listeners.get(runId)?.(trouble?.message);
  };
  return {
    /** Takes the trouble of a run with the store, and undefined when there is none any more. */
    of: (runId: string) => (trouble: FleetError | undefined) => update(runId, trouble),
    follow(runId: string, listener: (reason: string | undefined) => void) {
      listeners.set(runId, listener);
      return () => {
        listeners.delete(runId);
        reasons.delete(runId);
      };
    },
  };
}

/**
 * Repeats work while the store is full or away, for ever, because that is no fault of the run. All other
 * failures are thrown.
 */
async function untilStored<T>(options: {
  readonly doing: string;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly work: () => Promise<T>;
  readonly onTrouble: (trouble: FleetError | undefined) => void;
}): Promise<T> {
  const { doing, signal, clock, work, onTrouble } = options;
  try {
    return await retrying(work, {
      backoff: WAIT_FOR_ROOM,
      clock,
      signal,
      finalError: (caught) => {
        const error = toFleetError(caught, doing);
        return signal.aborted || !error.retryable ? error : undefined;
      },
      onFailure: (caught) => onTrouble(toFleetError(caught, doing)),
    });
  } finally {
    onTrouble(undefined);
  }
}

async function measured<T>(
  metrics: WorkerMetrics,
  clock: Clock,
  op: 'save' | 'load',
  work: () => Promise<T>,
  bytesOf: (result: T) => number,
): Promise<T> {
  const startedAt = clock.monotonic();
  let outcome: 'ok' | 'error' = 'error';
  try {
    const result = await work();
    outcome = 'ok';
    metrics.checkpointBytes.inc({ op }, bytesOf(result));
    return result;
  } finally {
    metrics.checkpointDuration.observe({ op, outcome }, (clock.monotonic() - startedAt) / 1000);
  }
}

/** The last part of `checkpoint.RUN.STAGE`. */
const stageOf = (manifest: Manifest): number => Number(manifest.key.slice(manifest.key.lastIndexOf('.') + 1));

function networkOf(checkpoint: LoadedCheckpoint): StoredNetwork {
  const parsed = networkSchema.safeParse(checkpoint.network);
  if (!parsed.success) throw new FleetError('dataLoss', 'the checkpoint names no network that can be built');
  const layout = layoutOf(buildNetwork(parsed.data));
  const stored = sgdVectors(checkpoint);
  if (stored.weights.length < layout.backboneCount || stored.running.length !== layout.runningCount)
    throw new FleetError(
      'dataLoss',
      `the checkpoint has ${stored.weights.length} weights and ${stored.running.length} running statistics; its network needs ${layout.backboneCount} and ${layout.runningCount}`,
    );
  const weights = sharedFloats(layout.backboneCount);
  weights.set(stored.weights.subarray(0, layout.backboneCount));
  const running = sharedFloats(layout.runningCount);
  running.set(stored.running);
  return { network: parsed.data, weights, running };
}
