// The folder of the fleet that a command addresses on this machine: the named one, or the nearest folder
// above the current one in which a fleet was started, as git finds a repository.

import { existsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Option } from 'commander';

/** Where `up` keeps a fleet, below the folder that it is started in. */
export const DEFAULT_DIR = '.pocketfleet';

/** `--dir`, or POCKETFLEET_DIR. */
export function dirOption(description: string): Option {
  return new Option('--dir <dir>', description).env('POCKETFLEET_DIR');
}

/** Folder for a new fleet. An empty name is a variable that is set to nothing: no name. */
export function ownDir(named: string | undefined): string {
  return resolve(named || DEFAULT_DIR);
}

/**
 * Folder of a fleet that is there; where none is found, the one in which it would be here. Above `from`, only
 * fleets of `user` count.
 */
export function fleetDir(
  named: string | undefined,
  {
    from = process.cwd(),
    user = process.getuid?.(),
  }: { readonly from?: string; readonly user?: number } = {},
): string {
  if (named) return resolve(named);
  for (let folder = from; ; folder = dirname(folder)) {
    const dir = join(folder, DEFAULT_DIR);
    // A fleet file of another user above this folder (in /tmp, for instance) is ignored: commands would
    // connect to its addresses.
    if (fleetTraces(dir) && (folder === from || statSync(dir).uid === user)) return dir;
    if (dirname(folder) === folder) return join(from, DEFAULT_DIR);
  }
}

/** Whether a fleet runs in the folder, or was killed there. */
function fleetTraces(dir: string): boolean {
  return ['fleet.json', 'up.lock', 'children.json'].some((name) => existsSync(join(dir, name)));
}
