#!/usr/bin/env node
// The `pocketfleet` command: teaches this process TypeScript and hands over to coordinator/cli. Decides nothing else.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = new URL('../coordinator/cli/main.ts', import.meta.url);

if (!existsSync(new URL('../node_modules/tsx', import.meta.url))) {
  process.stderr.write(
    'pocketfleet: the packages are not installed; run `npm run setup` in its folder first\n',
  );
  process.exit(1);
}

// TensorFlow reads this when a process starts, so it must be in the environment of those that the command starts.
process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
// The command line then looks as if main.ts had been started directly.
process.argv[1] = fileURLToPath(main);

// In this very process, through tsx's own interface: signals and the exit code need no forwarding that way.
const { register } = await import('tsx/esm/api');
register();
await import(main.href);
