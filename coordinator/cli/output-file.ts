// Where the result of a command goes: a file that is replaced whole, a folder of files, or stdout. Decides
// the temporary names and what an error about a place says. A reader never meets half a file, and an
// interrupted command leaves the file that was there before.

import { realpathSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { FleetError } from '../../core/errors.ts';
import { randomHex } from '../../core/rng.ts';
import { fileFailure, makeFolder } from '../../core/system/folder.ts';

/** The name that means stdout, as in most programs. */
export const STDOUT = '-';

/** A name beside `path` that nothing else has: not another process, and not another write of this one. */
export function temporaryBeside(path: string): string {
  // Short, since the name itself may be as long as the file system allows.
  return join(dirname(path), `.pocketfleet-${process.pid}-${randomHex(6)}.part`);
}

/** Refuses a place that cannot take a file, before anything is computed or transferred for it. */
export async function checkFilePlace(target: string): Promise<void> {
  if (target === STDOUT) return;
  const path = resolve(target);
  refuseFolder(path);
  if (isDevice(path)) return;
  await probe(realPath(path));
}

function refuseFolder(path: string): void {
  if (isFolder(path))
    throw new FleetError(
      'failedPrecondition',
      `${path} is a folder; name a file, e.g. ${join(path, 'FILE')}`,
    );
}

/**
 * Refuses a place that cannot become a folder of files, before anything is computed or transferred for it.
 */
export async function checkFolderPlace(target: string): Promise<void> {
  const path = resolve(target);
  refuseFile(path);
  await probe(path);
  if (isFolder(path) && (await readdir(path)).length > 0)
    throw placeError(Object.assign(new Error(), { code: 'ENOTEMPTY' }), path, FOLDER_RULE);
}

function refuseFile(path: string): void {
  const stat = statOf(path);
  if (stat !== undefined && !stat.isDirectory())
    throw new FleetError(
      'failedPrecondition',
      `${path}: ${WRITING}: ${basename(path)} is a file; ${FOLDER_RULE}`,
    );
}

/**
 * The absolute path that was written; `-` for stdout. A file that exists is replaced when the new one is
 * complete.
 */
export async function writeOutput(target: string, content: Uint8Array | string): Promise<string> {
  if (target === STDOUT) {
    await writeStdout(content);
    return STDOUT;
  }
  const path = resolve(target);
  refuseFolder(path);
  try {
    // A device or a pipe is written; renaming over it would replace it by a file.
    if (isDevice(path)) await writeFile(path, content);
    else await replace(realPath(path), content);
  } catch (caught) {
    throw placeError(caught, path);
  }
  return path;
}

/** Files of a folder that must be new or empty; the folder appears with all of them. */
export async function writeFolder(
  target: string,
  files: readonly (readonly [name: string, bytes: Uint8Array])[],
): Promise<string> {
  const folder = resolve(target);
  refuseFile(folder);
  const temporary = temporaryBeside(folder);
  try {
    makeFolder(dirname(folder));
    await mkdir(temporary);
    for (const [name, bytes] of files) await writeFile(join(temporary, name), bytes);
    // Only an empty folder is replaced; anything else may be somebody's work.
    await rename(temporary, folder);
  } catch (caught) {
    throw placeError(caught, folder, FOLDER_RULE);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return folder;
}

/** Resolves when the reader has taken everything. */
function writeStdout(content: Uint8Array | string): Promise<void> {
  return new Promise((done, fail) => {
    process.stdout.write(content, (error) => (error ? fail(error) : done()));
  });
}

async function replace(path: string, content: Uint8Array | string): Promise<void> {
  const temporary = temporaryBeside(path);
  makeFolder(dirname(path));
  try {
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(content);
      // The old file goes only when the new one is on the disk.
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/**
 * Makes the parent folder and a file in it, and removes both again, so that a command that is stopped later
 * leaves nothing.
 */
async function probe(path: string): Promise<void> {
  const parent = dirname(path);
  try {
    const made = makeFolder(parent);
    await rm(await mkdtemp(temporaryBeside(path)), { recursive: true });
    if (made !== undefined) await removeFolders(parent, made);
  } catch (caught) {
    throw placeError(caught, path);
  }
}

/** Removes empty folders from `deepest` up to and with `first`; one that somebody used meanwhile stays. */
async function removeFolders(deepest: string, first: string): Promise<void> {
  for (let folder = deepest; folder.length >= first.length; folder = dirname(folder))
    try {
      await rmdir(folder);
    } catch {
      return;
    }
}

/** A link stays a link: the file that it names is replaced. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

export function isFolder(path: string): boolean {
  return statOf(path)?.isDirectory() ?? false;
}

function isDevice(path: string): boolean {
  const stat = statOf(path);
  return stat !== undefined && !stat.isFile() && !stat.isDirectory();
}

function statOf(path: string) {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    // A part of the path is no folder; the later write fails with that reason.
    return undefined;
  }
}

const WRITING = 'it cannot be written';
const FOLDER_RULE = 'it must be a new or an empty folder';

function placeError(caught: unknown, path: string, folderRule = 'another path is needed'): FleetError {
  // The folder above it could not be made, which has been reported.
  if (caught instanceof FleetError) return caught;
  const code = (caught as { code?: unknown } | null)?.code;
  const refuse = (what: string) =>
    new FleetError('failedPrecondition', `${path}: ${WRITING}: ${what}`, { cause: caught });
  switch (code) {
    case 'ENOTEMPTY':
    case 'EEXIST':
    case 'EBUSY':
      return refuse(`${basename(path)} is there and holds something; ${folderRule}`);
    case 'EISDIR':
      return refuse('it is a folder; name a file in it');
    case 'ENOSPC':
    case 'EDQUOT':
      return fileFailure(caught, {
        path,
        doing: WRITING,
        remedy: 'make room and run the command again',
      });
    default:
      return fileFailure(caught, { path, doing: WRITING, remedy: 'choose another path' });
  }
}
