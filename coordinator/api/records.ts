// Reads what workers left in JetStream: step points, log lines, evaluations, checkpoints. Decides which
// checkpoints may be exported. It keeps no state and writes nothing, so that reading is never in the way of
// decisions.

import { loadNetwork } from '../../core/checkpoint/checkpoint-store.ts';
import { readEvaluation } from '../../core/checkpoint/evaluation.ts';
import type { ArtefactStore } from '../../core/checkpoint/store.ts';
import { sha256Hex } from '../../core/digest.ts';
import { FleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { type ExportFormat, exportModel } from '../../core/model/export-format.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { stateClaim } from '../../core/text/state-text.ts';
import type { EvaluationReport, ExportChunk } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { stageToRead } from '../decisions/stages.ts';
import type { SpecifiedRun } from '../model/spec-of.ts';
import type { RunState } from '../model/state.ts';
import { createRecordReader, type RecordReader } from './record-reader.ts';

/** What workers have written, as a reader gets it. */
export interface Records extends RecordReader {
  /** Throws `notFound` while the run has not been verified. */
  evaluation(run: RunState): Promise<EvaluationReport>;
  /**
   * The model file in chunks, the last with its digest. Stage 0 is the newest; safetensors unless another
   * format is named.
   */
  exported(
    run: SpecifiedRun,
    stage: number,
    options?: {
      readonly format?: ExportFormat;
      /** Also of a run that failed, and weights that are not finite. */
      readonly evenFailed?: boolean;
    },
  ): AsyncGenerator<ExportChunk>;
}

/** Bytes of one message of an export; measured as the fastest for gRPC streams. */
const CHUNK_BYTES = 256 * 1024;

/** Reads from this connection; checkpoints and evaluations come from the artefact store. */
export function createRecords(options: {
  connection: NatsConnection;
  names: Names;
  store: ArtefactStore;
  log: Logger;
}): Records {
  const { connection, names, store, log } = options;
  return {
    ...createRecordReader({ connection, names, log }),
    async evaluation(run) {
      const manifest = await store.getManifest(names.evaluationKey(run.id));
      if (manifest !== undefined) return readEvaluation(store, manifest);
      if (run.evaluation !== undefined)
        throw new FleetError(
          'notFound',
          `the report of ${run.id} is not kept any more: of the candidates of a sweep the best one keeps it; its accuracy was ${run.evaluation.accuracy.toFixed(4)}`,
        );
      throw new FleetError(
        'notFound',
        `${run.id} has no evaluation yet: it ${stateClaim(run.state)} (${run.reason}); it is made when the run ends`,
      );
    },
    exported: (run, stage, { format = 'safetensors', evenFailed = false } = {}) =>
      exported({ store, names }, run, stage, { format, evenFailed }),
  };
}

async function* exported(
  { store, names }: { readonly store: ArtefactStore; readonly names: Names },
  run: SpecifiedRun,
  wanted: number,
  { format, evenFailed }: { readonly format: ExportFormat; readonly evenFailed: boolean },
): AsyncGenerator<ExportChunk> {
  if (run.state === 'failed' && !evenFailed)
    throw new FleetError(
      'failedPrecondition',
      `${run.id} failed: ${run.reason}; its weights are exported with --even-failed (even_failed) alone`,
    );
  const stage = stageToRead(run, wanted);
  const manifest = await store.getManifest(names.checkpointKey(run.id, stage));
  if (manifest === undefined) throw new FleetError('notFound', `stage ${stage} of ${run.id} is not stored`);
  const network = buildNetwork(run.spec.network);
  const layout = layoutOf(network);
  const loaded = await loadNetwork(store, manifest, () => layout.backboneCount);
  const { weights, running, step, weightsDigest, labelMap } = loaded;
  if (!evenFailed) assertFinite(run, stage, { weights, running });
  const file = exportModel({
    format,
    network,
    layout,
    weights,
    running,
    steps: step,
    metadata: {
      pocketfleet_run: run.id,
      pocketfleet_stage: String(stage),
      pocketfleet_step: String(step),
      weights_digest: weightsDigest,
      ...(labelMap === undefined ? {} : { labels: labelMap }),
    },
  });
  const digest = sha256Hex(file);
  for (let at = 0; at < file.length; at += CHUNK_BYTES) {
    const data = Buffer.from(file.subarray(at, at + CHUNK_BYTES));
    const last = at + CHUNK_BYTES >= file.length;
    yield { data, totalBytes: file.length, digest: last ? digest : '' };
  }
}

function assertFinite(
  run: RunState,
  stage: number,
  { weights, running }: { readonly weights: Float32Array; readonly running: Float32Array },
): void {
  const wrong = [weights, running].reduce(
    (sum, values) => values.reduce((count, value) => count + (Number.isFinite(value) ? 0 : 1), sum),
    0,
  );
  if (wrong > 0)
    throw new FleetError(
      'failedPrecondition',
      `stage ${stage} of ${run.id} has ${wrong} values that are not finite, so that no face can be recognised with it; an earlier --stage may be whole, --even-failed (even_failed) exports it as it is`,
    );
}
