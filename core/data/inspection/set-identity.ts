// What makes a data set on disk the same as one that was looked at before: of each file its size, its time of
// change and its place on the disk, and of an index the digest too. Decides what goes into the name of a
// cache entry (data-cache.ts).

import { createHash } from 'node:crypto';
import { lstatSync, statSync } from 'node:fs';

/** Of one file; a link is followed. Throws the file system's error. */
export function fileIdentity(path: string): string {
  const { size, mtimeNs, ino } = statSync(path, { bigint: true });
  return `${size} ${mtimeNs} ${ino}`;
}

/** As fileIdentity, for a file that may be missing. */
export function fileIdentityIfAny(path: string): string {
  return lstatSync(path, { throwIfNoEntry: false }) === undefined ? 'none' : fileIdentity(path);
}

/** 64 hex digits for what is named; the format of what is kept belongs to it. */
export function identityKey(parts: readonly string[]): string {
  const identity = startIdentity();
  for (const part of parts) identity.add(part);
  return identity.key();
}

/** As identityKey, for more parts than memory should hold at once. */
export function startIdentity(): { add(part: string): void; key(): string } {
  const hash = createHash('sha256');
  return {
    add: (part) => void hash.update(`${part.length}:${part}\n`),
    key: () => hash.digest('hex'),
  };
}
