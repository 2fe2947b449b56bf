// A TensorFlow.js model is several files: unpacks the archive they arrive in into a folder. The files are written under a
// temporary name first, so that an interrupted export leaves nothing that looks like a model.

import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unzipSync } from 'fflate';
import { FleetError, toFleetError } from '../../core/errors.ts';

export async function unpackModel(archive: Uint8Array, folder: string): Promise<void> {
  const files = Object.entries(unzipSync(archive));
  for (const [name] of files)
    if (!/^[\w-][\w.-]*$/.test(name))
      throw new FleetError('dataLoss', `the model's archive has a file ${JSON.stringify(name)}; refused`);
  const temporary = `${folder}.${process.pid}.part`;
  await mkdir(temporary, { recursive: true });
  try {
    for (const [name, bytes] of files) await writeFile(join(temporary, name), bytes);
    // Replaces an empty folder or none; anything else there may be somebody's work.
    await rename(temporary, folder).catch((caught: unknown) => {
      throw toFleetError(caught, `${folder} must be a new or an empty folder`);
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}
