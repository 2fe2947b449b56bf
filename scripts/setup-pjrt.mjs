// `npm run setup:pjrt -- [cuda12 | cuda13 | rocm7 | oneapi]`: the addon for PJRT and the plugin for the CPU, with which
// the engine `pjrt` is tested, and a plugin for GPUs where one is named. On a machine with a GPU set-up does this by
// itself.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeCacheFolder } from './setup/folder.mjs';
import { acquireLock } from './setup/lock.mjs';
import { fetchPlugins, pjrtPlan, pjrtPresent, placePjrt } from './setup/pjrt.mjs';
import { cacheHome } from './setup/programs.mjs';
import { SetupError, step } from './setup/report.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = join(cacheHome(), 'pocketfleet');
const pins = JSON.parse(readFileSync(join(root, 'scripts/setup/pins.json'), 'utf8'));

// Whoever runs the programs may be another user than the one who sets up.
process.umask(process.umask() & 0o022);

try {
  const plan = pjrtPlan({ root, cache, pins, kinds: process.argv.slice(2) });
  if (!pjrtPresent(plan)) {
    makeCacheFolder(cache);
    const release = await acquireLock(join(cache, 'setup.lock'), (line) => process.stdout.write(`${line}\n`));
    try {
      await step('plugins of PJRT', () => fetchPlugins(plan));
      await step('addon for PJRT compiled', () => placePjrt(plan));
    } finally {
      release();
    }
  }
} catch (caught) {
  if (!(caught instanceof SetupError)) throw caught;
  process.stderr.write(`set-up: ${caught.message}\n`);
  process.exitCode = 1;
}
