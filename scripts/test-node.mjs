// npm run test:node [-- PICK...]: runs some test files on every release line of Node that package.json names.
// The programs come from npm's packages of Node and stay in the cache. Arguments pick files as those of
// scripts/test.mjs do.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheHome, npmCommand, run } from './setup/programs.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
/** A worker that trains, TensorFlow's door, threads and children, the command, and what compiles them. */
const PICKS = [
  'integration/worker',
  'unit/tensor/node-util',
  'unit/thread-calls',
  'unit/build',
  'unit/cli/commands',
];

const picks = process.argv.length > 2 ? process.argv.slice(2) : PICKS;
let failed = false;
for (const [, line] of engines.node.matchAll(/\^(\d+)/g)) {
  const node = await fetchNode(line);
  const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim();
  process.stdout.write(`\nNode ${version}\n`);
  const { status } = spawnSync(node, [join(root, 'scripts/test.mjs'), ...picks], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  process.stdout.write(`${status === 0 ? '✔' : '✖'} Node ${version}\n`);
  if (status !== 0) failed = true;
}
process.exitCode = failed ? 1 : 0;

/** The newest release of the line when it was fetched first. */
async function fetchNode(line) {
  const name = `node-${process.platform}-${process.arch}`;
  const folder = join(cacheHome(), 'pocketfleet/node', line);
  const program = join(folder, 'node_modules', name, 'bin/node');
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  const [command, ...first] = npmCommand();
  await run(command, [
    ...first,
    'install',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--prefix',
    folder,
    `${name}@${line}`,
  ]);
  return program;
}
