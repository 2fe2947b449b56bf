// Compiles what has changed since the last build into `dist`; set-up, tests and the command do the same by
// themselves. Decides only what is printed.

import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BuildError, build } from './build/dist.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const start = performance.now();

try {
  const compiled = await build(root, { thorough: true, say: (line) => process.stdout.write(`${line}\n`) });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (compiled > 0) process.stdout.write(`${compiled} files compiled into dist in ${seconds} s\n`);
} catch (caught) {
  if (!(caught instanceof BuildError)) throw caught;
  process.stderr.write(`build: ${caught.message}\n`);
  process.exitCode = 1;
}
