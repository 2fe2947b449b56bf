// Checkpoints and evaluation reports of runs, as a worker uses them: the newest of a run, a teacher's at a
// stage that may still have to be stored, one that is to be stored unless it is. Decides that a store which
// is full or away is waited for without end, and which loaded teachers are kept for other students.

import { LRUCache } from 'lru-cache';
import { artefactName, artefactOfKey } from '../../core/checkpoint/artefact-names.ts';
import type { Checkpoint } from '../../core/checkpoint/checkpoint.ts';
import { BACKBONE } from '../../core/checkpoint/checkpoint-layout.ts';
import {
  checkpointArtefact,
  type LoadedCheckpoint,
  type LoadedNetwork,
  loadCheckpoint,
  loadNetwork,
} from '../../core/checkpoint/checkpoint-store.ts';
import { bytesOf } from '../../core/checkpoint/chunks.ts';
import { evaluationArtefact, readEvaluation } from '../../core/checkpoint/evaluation.ts';
import type { ArtefactStore, Manifest } from '../../core/checkpoint/store.ts';
import type { Clock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { Names } from '../../core/net/subjects.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { retrying, WAIT_FOR_ROOM } from '../../core/retry.ts';
import { type NetworkSpec, networkSchema } from '../../core/spec/network.ts';
import type { EvaluationReport } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { WorkerMetrics } from '../metrics.ts';
import type { StoredNetwork, StoredStage } from '../training/teacher-network.ts';

export interface Checkpoints {
  /** The checkpoint with the highest stage of a run of so many stages; undefined before the first. */
  newest(runId: string, stages: number, signal: AbortSignal): Promise<LoadedCheckpoint | undefined>;
  /** The checkpoint of a step that a pause has stored, its digests verified. */
  loadStep(runId: string, step: number, signal: AbortSignal): Promise<LoadedCheckpoint>;
  newestStage(runId: string, stages: number, signal: AbortSignal): Promise<number | undefined>;
  /** The checkpoint of a stage, its digests verified; `notFound` when there is none. */
  load(runId: string, stage: number, signal: AbortSignal): Promise<LoadedCheckpoint>;
  find(runId: string, stage: number, signal: AbortSignal): Promise<Manifest | undefined>;
  /**
   * Stores a checkpoint unless its manifest exists: the stored one is as good, since equal runs give equal
   * bytes. `backboneCount`: weights before the head. The state may not change until it is stored.
   */
  save(
    runId: string,
    checkpoint: Checkpoint & { readonly backboneCount: number },
    signal: AbortSignal,
  ): Promise<Manifest>;
  /** The same for the checkpoint of a step within a stage. */
  saveStep: Checkpoints['save'];
  /**
   * Stores the chunks of a checkpoint that exists where the stored ones are missing or damaged; `dataLoss` when
   * this is another checkpoint than the manifest names.
   */
  mend(
    runId: string,
    checkpoint: Checkpoint & { readonly backboneCount: number },
    signal: AbortSignal,
  ): Promise<void>;
  /** A stage, as soon as it is stored; its network is loaded once for all students of this worker. */
  stage(runId: string, stage: number, signal: AbortSignal): Promise<StoredStage>;
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
  const { store, names, metrics } = options;
  const networks = new LRUCache<string, Promise<StoredNetwork>>({ max: NETWORKS_MAX });
  const waits = createWaits(options.log);
  const persist = <T>(runId: string, doing: string, signal: AbortSignal, work: () => Promise<T>) =>
    untilStored({ ...options, doing, signal, work, onTrouble: waits.of(runId) });
  const timed = <T>(op: 'save' | 'load', bytes: number, work: () => Promise<T>) =>
    measured({ metrics, clock: options.clock, op, bytes }, work);

  const load = async (runId: string, stage: number, signal: AbortSignal): Promise<LoadedCheckpoint> => {
    const manifest = await existing(runId, stage);
    return timed('load', manifest.bytes, () =>
      loadCheckpoint(store, manifest, { signal, onWait: waits.of(runId) }),
    );
  };
  const loadStep = async (runId: string, step: number, signal: AbortSignal): Promise<LoadedCheckpoint> => {
    const manifest = await store.getManifest(names.pausedKey(runId, step));
    if (manifest === undefined)
      throw new FleetError('notFound', `${runId} has no checkpoint of step ${step}`);
    return timed('load', manifest.bytes, () =>
      loadCheckpoint(store, manifest, { signal, onWait: waits.of(runId) }),
    );
  };
  /** Stores a checkpoint under this key unless it is there. */
  const saveUnder = async (
    key: string,
    runId: string,
    { backboneCount, ...checkpoint }: Parameters<Checkpoints['save']>[1],
    signal: AbortSignal,
  ): Promise<Manifest> => {
    const manifest = await persist(runId, `storing ${artefactName(key)}`, signal, async () => {
      const stored = await store.getManifest(key);
      if (stored) return stored;
      const artefact = await checkpointArtefact(store, checkpoint, backboneCount);
      const bytes = artefact.parts.reduce((sum, { pieces }) => sum + bytesOf(pieces), 0);
      return timed('save', bytes, () =>
        store.putArtefact({ key, ...artefact, signal, onWait: waits.of(runId) }),
      );
    });
    metrics.checkpointLast.set({ run: runId }, options.clock.now() / 1000);
    return manifest;
  };
  const existing = async (runId: string, stage: number): Promise<Manifest> => {
    const manifest = await store.getManifest(names.checkpointKey(runId, stage));
    if (manifest !== undefined) return manifest;
    throw new FleetError(
      'notFound',
      `${runId} has no checkpoint of stage ${stage}, or it is not kept any more`,
    );
  };
  const newestStage = async (runId: string, stages: number): Promise<number | undefined> => {
    const newestFirst = Array.from({ length: stages }, (_, i) => names.checkpointKey(runId, stages - i));
    const manifest = await store.firstManifest(newestFirst);
    return manifest && artefactOfKey(manifest.key)?.stage;
  };
  // The signal of one student may not end the loading, because others may wait for it too.
  const loadStoredNetwork = (runId: string, stage: number): Promise<StoredNetwork> => {
    const key = names.checkpointKey(runId, stage);
    const known = networks.get(key);
    if (known !== undefined) return known;
    const begun = existing(runId, stage).then(async (manifest) => {
      const bytes = backboneIn(manifest)?.bytes ?? manifest.bytes;
      const loaded = await timed('load', bytes, () => loadNetwork(store, manifest, backboneOf));
      return storedNetwork(loaded);
    });
    networks.set(key, begun);
    begun.catch(() => {
      if (networks.peek(key) === begun) networks.delete(key);
    });
    return begun;
  };

  return {
    newest: (runId, stages, signal) =>
      persist(runId, `looking for a checkpoint of ${runId}`, signal, async () => {
        const stage = await newestStage(runId, stages);
        return stage === undefined ? undefined : load(runId, stage, signal);
      }),
    newestStage: (runId, stages, signal) =>
      persist(runId, `looking for a checkpoint of ${runId}`, signal, () => newestStage(runId, stages)),
    load: (runId, stage, signal) =>
      persist(runId, `loading checkpoint ${stage} of ${runId}`, signal, () => load(runId, stage, signal)),
    loadStep: (runId, step, signal) =>
      persist(runId, `loading step ${step} of ${runId}`, signal, () => loadStep(runId, step, signal)),
    find: (runId, stage, signal) =>
      persist(runId, `looking for checkpoint ${stage} of ${runId}`, signal, () =>
        store.getManifest(names.checkpointKey(runId, stage)),
      ),
    save: (runId, checkpoint, signal) =>
      saveUnder(names.checkpointKey(runId, checkpoint.stage), runId, checkpoint, signal),
    saveStep: (runId, checkpoint, signal) =>
      saveUnder(names.pausedKey(runId, checkpoint.step), runId, checkpoint, signal),
    async mend(runId, { backboneCount, ...checkpoint }, signal) {
      const key = names.checkpointKey(runId, checkpoint.stage);
      await persist(runId, `mending checkpoint ${checkpoint.stage} of ${runId}`, signal, async () => {
        const artefact = await checkpointArtefact(store, checkpoint, backboneCount);
        return store.putArtefact({ key, ...artefact, signal, onWait: waits.of(runId) });
      });
      networks.delete(key);
    },
    stage: (runId, stage, signal) =>
      persist(runId, `looking for checkpoint ${stage} of ${runId}`, signal, async () => {
        const manifest = await store.watchManifest(names.checkpointKey(runId, stage), signal);
        const backbone = backboneIn(manifest);
        return {
          digest: manifest.digest,
          networkDigest: backbone?.digest ?? manifest.digest,
          bytes: backbone?.bytes ?? manifest.bytes,
          load: (loading) =>
            persist(runId, `loading checkpoint ${stage} of ${runId}`, loading, () =>
              loadStoredNetwork(runId, stage),
            ),
        };
      }),
    findEvaluation: (runId, signal) =>
      persist(runId, `looking for the evaluation of ${runId}`, signal, async () => {
        const manifest = await store.getManifest(names.evaluationKey(runId));
        return manifest && readEvaluation(store, manifest);
      }),
    async saveEvaluation(runId, report, signal) {
      const key = names.evaluationKey(runId);
      await persist(runId, `storing the evaluation of ${runId}`, signal, () =>
        store.putArtefact({ key, ...evaluationArtefact(report), signal, onWait: waits.of(runId) }),
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
  {
    metrics,
    clock,
    op,
    bytes,
  }: {
    readonly metrics: WorkerMetrics;
    readonly clock: Clock;
    readonly op: 'save' | 'load';
    readonly bytes: number;
  },
  work: () => Promise<T>,
): Promise<T> {
  const startedAt = clock.monotonic();
  let outcome: 'ok' | 'error' = 'error';
  try {
    const result = await work();
    outcome = 'ok';
    metrics.checkpointBytes.inc({ op }, bytes);
    return result;
  } finally {
    metrics.checkpointDuration.observe({ op, outcome }, (clock.monotonic() - startedAt) / 1000);
  }
}

/** Weights of a network without its head. */
const backboneOf = (network: unknown): number => layoutOf(buildNetwork(networkOf(network))).backboneCount;

function networkOf(network: unknown): NetworkSpec {
  const parsed = networkSchema.safeParse(network);
  if (parsed.success) return parsed.data;
  throw new FleetError('dataLoss', 'the checkpoint names no network that can be built');
}

/** The network in a checkpoint; undefined in a blob, which is one piece. */
const backboneIn = ({ parts }: Manifest) => parts.find(({ name }) => name === BACKBONE);

function storedNetwork({ network, weights, running }: LoadedNetwork): StoredNetwork {
  const spec = networkOf(network);
  const { runningCount } = layoutOf(buildNetwork(spec));
  if (running.length !== runningCount)
    throw new FleetError(
      'dataLoss',
      `the checkpoint has ${running.length} running statistics; its network needs ${runningCount}`,
    );
  return { network: spec, weights, running };
}
