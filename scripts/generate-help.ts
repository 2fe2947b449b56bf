// Writes coordinator/cli/summaries.ts: what `pocketfleet --help` says of each command, so that help need not load them
// all. A test fails when it is stale.

import { renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createProgram } from '../coordinator/cli/program.ts';
import { summariesOf } from '../coordinator/cli/summary.ts';

const target = fileURLToPath(new URL('../coordinator/cli/summaries.ts', import.meta.url));
const rows = summariesOf(await createProgram()).map((row) => `  ${JSON.stringify(row)},\n`);
const text = `// What \`pocketfleet --help\` says of each command, in its order. Written by \`npm run generate:help\` from the commands
// themselves; a test compares.

import type { Summary } from './summary.ts';

/** Of the commands of all groups. */
export const SUMMARIES: readonly Summary[] = [
${rows.join('')}];
`;
writeFileSync(`${target}.${process.pid}`, text);
renameSync(`${target}.${process.pid}`, target);
