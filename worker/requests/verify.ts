// Answers a Verify command: one checkpoint of a run, on the run's held-out identities or on the pairs of a
// `.bin` set. Decides which images are compared. A failure is part of the answer.

import { readVerificationBin } from '../../core/data/benchmarks/verification-bin.ts';
import { readImage } from '../../core/data/images/image.ts';
import { IMAGE_BYTES } from '../../core/data/images/pixels.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { runSchema } from '../../core/spec/run.ts';
import { shapedJson } from '../../core/text/shape.ts';
import type { EvaluationReport } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Verify } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { evaluateHeldOut } from '../run/finish.ts';
import type { Services } from '../run/services.ts';
import type { StoredNetwork } from '../training/teacher-network.ts';
import { embedderOf, evaluate, type LabelledImages } from '../verification/evaluate.ts';

export async function answerVerify(services: Services, request: Verify, signal: AbortSignal): Promise<void> {
  const { requestId } = request;
  try {
    const report = await verifyCheckpoint(services, request, signal);
    services.report({ $case: 'verifyResult', value: { requestId, report, error: '' } });
  } catch (caught) {
    const { message } = toFleetError(caught);
    services.log.warn({ run: request.runId, requestId }, `verification failed: ${message}`);
    services.report({ $case: 'verifyResult', value: { requestId, report: undefined, error: message } });
  }
}

async function verifyCheckpoint(
  services: Services,
  request: Verify,
  signal: AbortSignal,
): Promise<EvaluationReport> {
  const spec = shapedJson(runSchema, request.specJson, "this worker does not understand the run's spec");
  const { checkpoints } = await services.broker;
  const stage =
    request.stage > 0
      ? request.stage
      : await checkpoints.newestStage(request.runId, spec.training.epochs, signal);
  if (stage === undefined || (await checkpoints.find(request.runId, stage, signal)) === undefined)
    throw new FleetError('notFound', `run ${request.runId} has no checkpoint ${stage ?? 'yet'}`);
  const network = await (await checkpoints.stage(request.runId, stage, signal)).load(signal);
  if (request.setPath !== '') return verifyOnSet(services, network, request.setPath, signal);
  const data = await services.datasets.acquire({ data: spec.data, digest: request.dataDigest });
  try {
    return await evaluateHeldOut({
      services,
      spec,
      loader: data.loader,
      backboneCount: network.weights.length,
      trained: network,
      untrained: undefined,
      signal,
    });
  } finally {
    await data.release();
  }
}

/** Image 2i and 2i+1 of a set are pair i. */
async function verifyOnSet(
  services: Services,
  network: StoredNetwork,
  path: string,
  signal: AbortSignal,
): Promise<EvaluationReport> {
  const set = await readVerificationBin(path, { roots: services.roots, signal });
  const images: LabelledImages = {
    size: set.images.length,
    async read(from, count) {
      const out = new Uint8Array(count * IMAGE_BYTES);
      for (let i = 0; i < count; i++)
        await readImage(set.images[from + i]!, out.subarray(i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES));
      return out;
    },
  };
  const pairs = set.same.map((same, i) => ({ a: 2 * i, b: 2 * i + 1, same }));
  return evaluate(
    {
      compute: services.compute,
      network: embedderOf(network.network),
      images,
      pairs,
      people: undefined,
      folds: 10,
      signal,
    },
    network,
    undefined,
  );
}
