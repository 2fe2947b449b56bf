// What was found out about data sets, on disk: every worker of the machine, also after a restart, reads it
// instead of the data. Decides the form of an entry (a head of JSON, then arrays, then
// SHA-256 of all of it) and how many bytes are kept.
//
// The name of an entry follows from what it was made of, so an entry is never wrong, only missing: one that
// is damaged, cut or of another format counts as missing, and a folder that cannot be written costs time and
// nothing else.

import { createHash } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../clock.ts';
import { randomId } from '../../rng.ts';

export interface CacheEntry {
  /** Any JSON. */
  readonly head: unknown;
  /** In memory that threads may share. */
  readonly arrays: readonly SharedArrayBuffer[];
}

export interface DataCache {
  /** `key`: 64 hex digits. */
  read(key: string): CacheEntry | undefined;
  /** Complete or not at all; a reader never meets half an entry. */
  write(key: string, head: unknown, arrays: readonly ArrayBufferView[]): void;
}

const MAGIC = Buffer.from('pocketfleet data 1\n');
const DIGEST_BYTES = 32;
/** Seven sets of the size of MS1MV2. */
const BYTES_MAX = 512 * 2 ** 20;
/** Age of an unfinished entry, milliseconds, from which its writer is dead: writing takes seconds. */
const ABANDONED_MS = 3_600_000;

/** `dir` is made when something is to be kept in it. */
export function createDataCache(dir: string): DataCache {
  const fileOf = (key: string) => join(dir, `${key}.data`);
  return {
    read(key) {
      try {
        const entry = readEntry(fileOf(key));
        // The time of last use, by which the oldest are dropped.
        const now = new Date(systemClock.now());
        utimesSync(fileOf(key), now, now);
        return entry;
      } catch {
        return undefined;
      }
    },
    write(key, head, arrays) {
      const part = join(dir, `${key}.${randomId()}.part`);
      try {
        mkdirSync(dir, { recursive: true });
        writeEntry(part, head, arrays);
        renameSync(part, fileOf(key));
        prune(dir, key);
      } catch {
        rmSync(part, { force: true });
      }
    },
  };
}

/** A cache that keeps nothing. */
export const noDataCache: DataCache = { read: () => undefined, write: () => undefined };

function writeEntry(path: string, head: unknown, arrays: readonly ArrayBufferView[]): void {
  const text = Buffer.from(JSON.stringify({ head, bytes: arrays.map((array) => array.byteLength) }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  const hash = createHash('sha256');
  const handle = openSync(path, 'wx', 0o600);
  try {
    const parts = arrays.map((array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength));
    for (const bytes of [MAGIC, length, text, ...parts]) {
      hash.update(bytes);
      writeAll(handle, bytes);
    }
    writeAll(handle, hash.digest());
  } finally {
    closeSync(handle);
  }
}

function writeAll(handle: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(handle, bytes, done);
}

function readEntry(path: string): CacheEntry | undefined {
  const handle = openSync(path, 'r');
  try {
    const hash = createHash('sha256');
    let left = fstatSync(handle).size;
    const take = (bytes: Uint8Array<ArrayBufferLike>) => {
      left -= bytes.length;
      for (let done = 0; done < bytes.length; ) {
        const read = left < 0 ? 0 : readSync(handle, bytes, done, bytes.length - done, null);
        if (read === 0) throw new Error('the entry ends early');
        done += read;
      }
      return bytes;
    };
    const hashed = (bytes: Uint8Array<ArrayBufferLike>) => {
      take(bytes);
      hash.update(bytes);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    };
    if (!hashed(new Uint8Array(MAGIC.length)).equals(MAGIC)) return undefined;
    const length = hashed(new Uint8Array(4)).readUInt32LE(0);
    if (length > left) return undefined;
    const { head, bytes } = JSON.parse(hashed(new Uint8Array(length)).toString('utf8')) as {
      head: unknown;
      bytes: number[];
    };
    if (bytes.reduce((sum, n) => sum + n, 0) + DIGEST_BYTES !== left) return undefined;
    const arrays = bytes.map((n) => new SharedArrayBuffer(n));
    for (const array of arrays) hashed(new Uint8Array(array));
    const digest = take(new Uint8Array(DIGEST_BYTES));
    return Buffer.from(digest).equals(hash.digest()) ? { head, arrays } : undefined;
  } finally {
    closeSync(handle);
  }
}

/**
 * Drops the least recently used entries when there are too many bytes, and unfinished ones of writers that
 * died.
 */
function prune(dir: string, keep: string): void {
  const entries = readdirSync(dir)
    .filter((name) => /^[0-9a-f]{64}\.(data|[0-9a-f-]{36}\.part)$/.test(name))
    .flatMap((name) => {
      const stat = statSync(join(dir, name), { throwIfNoEntry: false });
      return stat === undefined ? [] : [{ name, bytes: stat.size, usedMs: stat.mtimeMs }];
    })
    .sort((a, b) => b.usedMs - a.usedMs);
  let bytes = 0;
  for (const entry of entries) {
    const part = entry.name.endsWith('.part');
    if (!part) bytes += entry.bytes;
    const drop = part ? entry.usedMs < systemClock.now() - ABANDONED_MS : bytes > BYTES_MAX;
    if (drop && !entry.name.startsWith(`${keep}.data`)) rmSync(join(dir, entry.name), { force: true });
  }
}
