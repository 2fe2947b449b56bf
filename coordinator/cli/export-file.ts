// The network of a run as a file: written beside its place under a temporary name, checked against the digest that the
// coordinator sent, then moved (a TensorFlow.js model: unpacked into a folder). A broken transfer leaves nothing that looks
// like a model.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { FleetError } from '../../core/errors.ts';
import type { FleetClient } from './client.ts';
import { unpackModel } from './model-folder.ts';

export async function exportRun(
  client: FleetClient,
  request: { readonly runId: string; readonly stage: number; readonly format: string },
  file: string,
): Promise<{ file: string; bytes: number; digest: string }> {
  const path = resolve(file);
  const temporary = `${path}.${process.pid}.part`;
  await mkdir(dirname(path), { recursive: true });
  const out = createWriteStream(temporary);
  // Refuses early, with the path, when the place cannot be written.
  await once(out, 'open');
  const hash = createHash('sha256');
  let bytes = 0;
  let expected = '';
  try {
    for await (const chunk of client.follow((service) => service.export, request)) {
      hash.update(chunk.data);
      bytes += chunk.data.length;
      if (chunk.digest !== '') expected = chunk.digest;
      if (!out.write(chunk.data)) await once(out, 'drain');
    }
    await new Promise<void>((done, fail) => {
      out.once('error', fail);
      out.end(done);
    });
    const digest = hash.digest('hex');
    if (digest !== expected)
      throw new FleetError(
        'dataLoss',
        `the network of ${request.runId} arrived damaged or cut off (${bytes} bytes, SHA-256 ${digest}, expected ${expected || 'none sent'}); export it again`,
      );
    if (request.format === 'tfjs') await unpackModel(await readFile(temporary), path);
    else await rename(temporary, path);
    return { file: path, bytes, digest };
  } finally {
    out.destroy();
    await rm(temporary, { force: true });
  }
}
