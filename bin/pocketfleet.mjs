#!/usr/bin/env node
// The `pocketfleet` command: sees to it that the compiled programs are those of the sources, and hands over
// to coordinator/cli. Decides nothing else.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BuildError, build } from '../scripts/build/dist.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const main = new URL('../dist/coordinator/cli/main.js', import.meta.url);

if (!existsSync(join(root, 'node_modules/commander'))) {
  process.stderr.write(
    'pocketfleet: the packages are not installed; run `npm run setup` in its folder first\n',
  );
  process.exit(1);
}

try {
  await build(root, { say: (line) => process.stderr.write(`pocketfleet: ${line}\n`) });
} catch (caught) {
  if (!(caught instanceof BuildError)) throw caught;
  process.stderr.write(`pocketfleet: ${caught.message}\n`);
  process.exit(1);
}

// TensorFlow reads this when a process starts, so it must be in the environment of those that the command
// starts.
process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
// The command line then looks as if the program had been started directly.
process.argv[1] = fileURLToPath(main);

// In this very process: signals and the exit code need no forwarding that way.
await import(main.href);
