// The door to files whose paths a spec or a request names. Decides which may be read (regular files and
// folders beneath the configured roots, links resolved) and how much (up to a size, and while the caller
// waits). A path outside of the roots is refused in the same words whether it exists or not, so that nobody
// learns what is there.

import { constants } from 'node:fs';
import { type FileHandle, lstat, open, realpath, stat, statfs } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';
import { FleetError, toFleetError } from '../errors.ts';
import { foundText } from '../text/printable.ts';

/** Absolute paths of the folders beneath which files may be read; an empty list allows every folder. */
export type Roots = readonly string[];

/** No limit, for commands that read their own user's files and for an `up` without `--data-root`. */
export const ANYWHERE: Roots = [];

/** How a file is read, and how sentences name it. */
export interface ReadOptions {
  readonly roots: Roots;
  /** The noun for the file in sentences: "verification set". */
  readonly what: string;
  readonly bytesMax: number;
  readonly signal?: AbortSignal | undefined;
}

/** The path with its links resolved, which lies beneath a root. */
export async function admittedPath(
  path: string,
  { roots, what }: { roots: Roots; what: string },
): Promise<string> {
  if (path.includes('\0'))
    throw new FleetError('invalidArgument', `${what}: ${foundText(path)} has a zero byte, which no path has`);
  const absolute = resolve(path);
  if (roots.length === 0)
    return realpath(absolute).catch((caught: unknown) => {
      throw toFleetError(caught, what);
    });
  const real = await Promise.all(roots.map((root) => realpath(root).catch(() => resolve(root))));
  // The text is judged first: nothing outside is touched, so nothing about it can be learnt.
  if (![...roots.map((root) => resolve(root)), ...real].some((root) => isBeneath(absolute, root)))
    throw outside(what, path, roots);
  let found: string;
  try {
    found = await realpath(absolute);
  } catch (caught) {
    // A link that leads nowhere is refused like one that leads outside.
    if (await leadsElsewhere(absolute, real)) throw outside(what, path, roots);
    throw toFleetError(caught, what);
  }
  if (!real.some((root) => isBeneath(found, root))) throw outside(what, path, roots);
  return found;
}

/** A regular file beneath a root, open for reading. */
export async function openRegular(
  path: string,
  options: Pick<ReadOptions, 'roots' | 'what'>,
): Promise<{ readonly file: FileHandle; readonly bytes: number }> {
  const real = await admittedPath(path, options);
  await assertRegular(real, options.what);
  // A pipe or a link may have taken the file's place since: neither may block the reader or be followed.
  const file = await open(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW).catch(
    (caught: unknown) => {
      throw toFleetError(caught, options.what);
    },
  );
  try {
    const found = await file.stat();
    if (!found.isFile()) throw notRegular(real, options.what);
    return { file, bytes: found.size };
  } catch (caught) {
    await file.close();
    throw caught;
  }
}

/** A whole file of at most `bytesMax`; reading stops when the signal is aborted. */
export async function readRegular(path: string, options: ReadOptions): Promise<Buffer<ArrayBuffer>> {
  const { what, bytesMax, signal } = options;
  const { file, bytes } = await openRegular(path, options);
  try {
    if (bytes > bytesMax) throw tooLarge(path, what, { bytes, bytesMax });
    const whole = Buffer.alloc(bytes);
    let at = 0;
    while (at < bytes) {
      if (signal?.aborted) throw new FleetError('cancelled', `${what}: nobody waits for it any more`);
      const { bytesRead } = await file.read(whole, at, Math.min(CHUNK_BYTES, bytes - at), at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return whole.subarray(0, at);
  } catch (caught) {
    throw caught instanceof FleetError ? caught : toFleetError(caught, `${what} ${path}`);
  } finally {
    await file.close();
  }
}

/** Refuses devices, pipes, sockets, folders, and the files of the kernel, which have no size and no end. */
export async function assertRegular(path: string, what: string): Promise<void> {
  try {
    if (!(await stat(path)).isFile()) throw notRegular(path, what);
    if (KERNEL.has((await statfs(path)).type)) throw notRegular(path, what);
  } catch (caught) {
    throw caught instanceof FleetError ? caught : toFleetError(caught, what);
  }
}

const CHUNK_BYTES = 4 << 20;
/** statfs(2) numbers of proc, sysfs, debugfs, tracefs, cgroup and cgroup2. */
const KERNEL: ReadonlySet<number> = new Set([
  0x9fa0, 0x62656572, 0x64626720, 0x74726163, 0x27e0eb, 0x63677270,
]);

function isBeneath(path: string, root: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}

/** Whether a part of the path, or what it leads to, lies outside of the roots or cannot be followed. */
async function leadsElsewhere(path: string, roots: Roots): Promise<boolean> {
  // The longest part that can be followed decides; where the next part is a link, it leads elsewhere.
  for (let at = path; ; at = dirname(at)) {
    const found = await realpath(at).catch(() => undefined);
    if (found === undefined && at !== dirname(at)) {
      if (await isLink(at)) return true;
      continue;
    }
    return found === undefined || !roots.some((root) => isBeneath(found, root) || isBeneath(root, found));
  }
}

async function isLink(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isSymbolicLink() ?? false;
}

function outside(what: string, path: string, roots: Roots): FleetError {
  return new FleetError(
    'permissionDenied',
    `${what}: ${foundText(path)} leads outside of the folders that may be read here: ${roots.join(', ')} (data roots)`,
  );
}

function notRegular(path: string, what: string): FleetError {
  return new FleetError('invalidArgument', `${what}: ${path} is not a regular file`);
}

function tooLarge(path: string, what: string, size: { bytes: number; bytesMax: number }): FleetError {
  return new FleetError(
    'invalidArgument',
    `${what}: ${path} has ${size.bytes} bytes, at most ${size.bytesMax} are taken`,
  );
}
