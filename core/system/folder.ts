// Folders that a program makes for its data, logs, cache and results, and the sentence when one cannot be
// made or written to. Node's recursive mkdir is not used: on a file system that takes no folders (/proc) it
// never returns, and no signal ends it.

import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Code, FleetError } from '../errors.ts';

/**
 * Makes a folder and those above it where they are missing, and returns the topmost that it made. Throws one
 * sentence.
 */
export function makeFolder(
  path: string,
  options: {
    /** Permissions of the folders that are made. */
    readonly mode?: number;
    /** Advice at the end of the sentence, e.g. `choose another --dir`. */
    readonly remedy?: string;
  } = {},
): string | undefined {
  const folder = resolve(path);
  try {
    return make(folder, options.mode ?? 0o777);
  } catch (caught) {
    throw fileFailure(caught, { path: folder, doing: 'the folder cannot be made', ...options });
  }
}

function make(folder: string, mode: number): string | undefined {
  try {
    mkdirSync(folder, mode);
    return folder;
  } catch (caught) {
    const { code } = caught as NodeJS.ErrnoException;
    if (isFolder(folder)) return undefined;
    const above = dirname(folder);
    if (code !== 'ENOENT' || above === folder) throw caught;
    const topmost = make(above, mode);
    try {
      mkdirSync(folder, mode);
    } catch (again) {
      // Another process made it in between.
      if (!isFolder(folder)) throw again;
      return topmost;
    }
    return topmost ?? folder;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

interface Failure {
  readonly code: Code;
  /** What is the case, as a part of a sentence. */
  readonly reason: string;
}

/** By the codes of Node's errors of the file system. */
const FAILURES: Readonly<Record<string, Failure>> = {
  EROFS: { code: 'permissionDenied', reason: 'its file system is read-only' },
  EACCES: { code: 'permissionDenied', reason: 'this user may not write there' },
  EPERM: { code: 'permissionDenied', reason: 'the system does not permit it there' },
  ENOENT: {
    code: 'notFound',
    reason: 'a folder of the path is not there, or its file system takes no new ones',
  },
  ENOTDIR: { code: 'failedPrecondition', reason: 'a part of the path is a file and no folder' },
  EEXIST: { code: 'failedPrecondition', reason: 'a file of that name is there already' },
  EISDIR: { code: 'failedPrecondition', reason: 'a folder of that name is there already' },
  ENOSPC: { code: 'resourceExhausted', reason: 'no space is left on its disk' },
  EDQUOT: { code: 'resourceExhausted', reason: 'the disk quota of this user is used up' },
  EMFILE: { code: 'resourceExhausted', reason: 'this process has too many open files (ulimit -n)' },
  ENFILE: { code: 'resourceExhausted', reason: 'this machine has too many open files' },
  EINVAL: { code: 'invalidArgument', reason: 'its file system does not take this name' },
  EILSEQ: { code: 'invalidArgument', reason: 'its file system does not take this name' },
  ENAMETOOLONG: { code: 'invalidArgument', reason: 'the path or one of its names is too long' },
  ELOOP: { code: 'failedPrecondition', reason: 'its symbolic links lead in a circle' },
  EIO: { code: 'unavailable', reason: 'its disk answers with an input/output error' },
  ESTALE: { code: 'unavailable', reason: 'its network file system has lost it (stale handle)' },
  // Node throws it for a path with a zero byte.
  ERR_INVALID_ARG_VALUE: {
    code: 'invalidArgument',
    reason: 'the path has a character that no path may have',
  },
};

/** A failure of the file system as one sentence: what, where, why, and what to do. */
export function fileFailure(
  caught: unknown,
  {
    path,
    doing,
    remedy,
  }: { readonly path: string; readonly doing: string; readonly remedy?: string | undefined },
): FleetError {
  const { code = '', message } = caught as NodeJS.ErrnoException;
  const failure = FAILURES[code] ?? { code: 'internal', reason: message };
  const sentence = `${path}: ${doing}, because ${failure.reason}${code === '' ? '' : ` (${code})`}`;
  return new FleetError(failure.code, remedy === undefined ? sentence : `${sentence}; ${remedy}`, {
    cause: caught,
  });
}
