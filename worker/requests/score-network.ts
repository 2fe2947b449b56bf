// A process that scores one network at its initial weights and ends: the command line starts it, because the command line
// itself never loads TensorFlow. The request is JSON on stdin, the answer one JSON line on stdout.

import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { cacheFolder } from '../../core/config.ts';
import { createLoader } from '../../core/data/loading/loader.ts';
import { toFleetError } from '../../core/errors.ts';
import { scoreNetwork } from '../../core/screening/score.ts';
import { dataSchema } from '../../core/spec/data.ts';
import { networkSchema } from '../../core/spec/network.ts';
import { SCORES } from '../../core/spec/screening.ts';
import { trainingSchema } from '../../core/spec/training.ts';
import { ANYWHERE } from '../../core/system/file-access.ts';
import { shapedJson } from '../../core/text/shape.ts';
import { needsImages, scoreBatches } from './score-batches.ts';

const requestSchema = z.strictObject({
  network: networkSchema,
  scores: z.array(z.enum(SCORES)).min(1),
  seed: trainingSchema.shape.seed,
  data: dataSchema,
});

try {
  const request = shapedJson(requestSchema, await text(process.stdin), 'the request');
  process.stdout.write(`${JSON.stringify(await scored(request))}\n`);
} catch (caught) {
  const { code, message } = toFleetError(caught);
  process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`);
  process.exitCode = 1;
}

async function scored({ network, scores, seed, data }: z.infer<typeof requestSchema>) {
  const { loss } = trainingSchema.parse({ epochs: 1, batch: 16 });
  const images = needsImages(scores) ? await imagesOf(data, seed) : { batches: [], classes: 1 };
  return { network, seed, scored: scoreNetwork({ network, seed, scores, loss, ...images }) };
}

async function imagesOf(data: z.infer<typeof dataSchema>, seed: number) {
  const loader = await createLoader({ data, threads: 1, cacheDir: cacheFolder(), roots: ANYWHERE });
  try {
    return await scoreBatches(loader, seed);
  } finally {
    await loader.close();
  }
}
