// Answers an Inspect command: what a data set consists of, as this machine sees it. The look is a process of
// its own, beside the threads that train. Decides how the answer travels, and that a refusal which is about
// this machine names it. A failure is part of the answer.

import { FleetError, toFleetError } from '../../core/errors.ts';
import { dataSchema } from '../../core/spec/data.ts';
import { shapedJson } from '../../core/text/shape.ts';
import type { DataInspection, Inspect, InspectResult } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { Services } from '../run/services.ts';

export async function answerInspect(
  services: Services,
  request: Inspect,
  signal: AbortSignal,
): Promise<void> {
  const { requestId } = request;
  const kindOf = (part: InspectResult['part']) =>
    ({ $case: 'inspectResult', value: { requestId, part } }) as const;
  try {
    const inspection = await inspectHere(services, request, signal, (progress) =>
      services.reportLatest(kindOf({ $case: 'progress', value: progress })),
    );
    services.report(kindOf({ $case: 'inspection', value: inspection }));
  } catch (caught) {
    if (signal.aborted) return;
    const { code, message, details } = toFleetError(caught);
    services.log.warn({ requestId, code }, `inspection failed: ${message}`);
    services.report(kindOf({ $case: 'refusal', value: { code, message, absent: details.absent === true } }));
  }
}

async function inspectHere(
  services: Services,
  { dataJson }: Inspect,
  signal: AbortSignal,
  onProgress: (progress: Extract<InspectResult['part'], { $case: 'progress' }>['value']) => void,
): Promise<DataInspection> {
  const data = shapedJson(dataSchema, dataJson, 'this worker does not understand the data spec');
  const path = data.kind === 'synthetic' ? '' : data.path;
  try {
    const { facts, skipped, ...found } = await services.inspections.set(data, {
      signal,
      onProgress: (progress) => onProgress({ ...progress, path }),
    });
    return {
      ...facts,
      heldOutSizes: [...found.heldOutSizes],
      leftOut: skipped,
      notes: [...found.notes],
      digest: found.digest,
    };
  } catch (caught) {
    throw ofThisMachine(toFleetError(caught), services);
  }
}

/** What is wrong with the content of a set is wrong everywhere, and names no machine. */
function ofThisMachine(error: FleetError, { workerId, host }: Services): FleetError {
  if (error.code === 'invalidArgument' && error.details.absent !== true) return error;
  return new FleetError(error.code, `${error.message} (${workerId} on ${host})`, {
    cause: error,
    details: { ...error.details },
  });
}
