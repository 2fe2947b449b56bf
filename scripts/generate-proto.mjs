// Writes proto/gen from the .proto files, or with --check compares the two. Generates into a folder of
// its own first, so that an interrupted or failing generation leaves proto/gen as it was.

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const committed = join(root, 'proto/gen');
const { check } = parseArgs({ options: { check: { type: 'boolean' } } }).values;
const work = mkdtempSync(join(tmpdir(), 'pocketfleet-proto-'));

try {
  buf('lint');
  buf('generate', '--output', work);
  const fresh = join(work, 'proto/gen');
  const stale = differences(fresh);
  if (stale.length === 0) process.stdout.write('proto/gen is what the .proto files give\n');
  else if (check) {
    process.stderr.write(
      `proto/gen is stale; run \`npm run generate\` and commit:\n${stale.map((f) => `  ${f}\n`).join('')}`,
    );
    process.exitCode = 1;
  } else {
    replace(fresh);
    process.stdout.write(`proto/gen: ${stale.length} files changed\n`);
  }
} catch (caught) {
  // buf has reported file and line on stderr.
  if (caught.status === undefined) throw caught;
  process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}

function buf(...argv) {
  execFileSync(join(root, 'node_modules/.bin/buf'), argv, { cwd: root, stdio: 'inherit' });
}

/** Files that are missing, left over or different in proto/gen. */
function differences(fresh) {
  const names = new Set([...filesOf(fresh), ...filesOf(committed)]);
  return [...names].sort().filter((name) => read(join(fresh, name)) !== read(join(committed, name)));
}

function filesOf(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)));
}

function read(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

function replace(fresh) {
  const aside = `${committed}.${process.pid}`;
  cpSync(fresh, aside, { recursive: true });
  rmSync(committed, { recursive: true, force: true });
  renameSync(aside, committed);
}
