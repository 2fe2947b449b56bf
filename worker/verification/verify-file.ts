// A process that verifies one model file on benchmarks and ends: the command line starts it, because the
// command line itself never loads TensorFlow. Decides the form of the request (JSON on stdin) and of the
// answer (one JSON line on stdout, progress on stderr).

import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { systemClock } from '../../core/clock.ts';
import { toFleetError } from '../../core/errors.ts';
import { importModel } from '../../core/model/import.ts';
import { genotypeSchema, networkSchema } from '../../core/spec/network.ts';
import { shapedJson } from '../../core/text/shape.ts';
import { createEmbedder } from './embedder.ts';
import { verifySet } from './verify-sets.ts';

const requestSchema = z.strictObject({
  model: z.string(),
  hint: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('network'), network: networkSchema }),
      z.strictObject({ kind: z.literal('genotype'), genotype: genotypeSchema }),
    ])
    .optional(),
  sets: z.array(z.strictObject({ name: z.string(), path: z.string() })).min(1),
});

/** A line of progress at most this often, milliseconds. */
const PROGRESS_INTERVAL_MS = 2000;

try {
  const request = shapedJson(requestSchema, await text(process.stdin), 'the request');
  process.stdout.write(`${JSON.stringify(await verifyFile(request))}\n`);
} catch (caught) {
  const { code, message } = toFleetError(caught);
  process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`);
  process.exitCode = 1;
}

async function verifyFile(request: z.infer<typeof requestSchema>) {
  const model = await importModel(request.model, request.hint);
  const embedder = createEmbedder(model);
  try {
    const sets = [];
    for (const set of request.sets) {
      let last = systemClock.monotonic();
      sets.push(
        await verifySet(embedder, set, (done, total) => {
          if (systemClock.monotonic() - last < PROGRESS_INTERVAL_MS) return;
          last = systemClock.monotonic();
          process.stderr.write(`${set.name}: ${done} of ${total} images\n`);
        }),
      );
    }
    return { model: request.model, network: model.network.spec, reason: model.reason, sets };
  } finally {
    embedder.close();
  }
}
