// Evaluation reports in the artefact store: one part, a message of the contract.

import { EvaluationReport } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { decodeOrLost } from '../protobuf.ts';
import { artefactName } from './artefact-names.ts';
import { BLOB_PART, type Manifest } from './manifest.ts';
import type { Artefact, ArtefactStore } from './store.ts';

const REPORT = 'report';

/** The artefact of a report. */
export const evaluationArtefact = (report: EvaluationReport): Pick<Artefact, 'parts'> => ({
  parts: [{ name: REPORT, pieces: [EvaluationReport.encode(report).finish()] }],
});

/** The report that a manifest names; `dataLoss` when what is stored is none. */
export async function readEvaluation(
  store: Pick<ArtefactStore, 'getPart'>,
  manifest: Manifest,
): Promise<EvaluationReport> {
  const bytes = await store.getPart(manifest, manifest.form === 'blob' ? BLOB_PART : REPORT);
  return decodeOrLost(EvaluationReport, Uint8Array.from(bytes), artefactName(manifest.key));
}
