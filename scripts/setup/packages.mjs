// The npm packages of the lock file. Decides whether node_modules holds them; `npm ci` decides how they get
// there.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { npmCommand, run } from './programs.mjs';
import { SetupError } from './report.mjs';

/** True when npm's own record of what it installed agrees with the lock file. */
export function packagesMatch(root) {
  const record = join(root, 'node_modules/.package-lock.json');
  // npm writes the record last, so an interrupted install has none.
  if (!existsSync(record)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const present = JSON.parse(readFileSync(record, 'utf8')).packages;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const found = present[path];
    // Optional packages are those of other platforms.
    if (found === undefined ? !entry.optional : found.version !== entry.version) return false;
  }
  return Object.keys(present).every((path) => wanted[path] !== undefined);
}

/** Install scripts are left out: the only one that matters is TensorFlow's, and set-up does its job. */
export async function installPackages(root) {
  const [command, ...first] = npmCommand();
  const options = ['--ignore-scripts', '--no-audit', '--no-fund'];
  try {
    await run(command, [...first, 'ci', ...options], { cwd: root });
  } catch (caught) {
    if (!(caught instanceof SetupError) || !/code EUSAGE/.test(caught.message)) throw caught;
    // A lock file written against a registry mirror that lacks other platforms' optional packages is
    // incomplete for npm ci; npm install takes the same locked versions from it and leaves the file as it is.
    await run(command, [...first, 'install', '--no-save', ...options], { cwd: root });
  }
}
