// What names a data set wherever something of it is kept for those who come next: what it consists of, which its digest
// says, and what of its spec decides what a run sees of that. Not its path: a folder may have another content tomorrow,
// and the same content may lie elsewhere.

import { canonicalJson } from './canonical-json.ts';
import type { DataSpec } from './data.ts';

/** A data set of a run. */
export interface DataOfRun {
  readonly data: DataSpec;
  /** SHA-256 of its content as submit found it, hex; undefined in journals of earlier releases. */
  readonly digest: string | undefined;
}

/** Equal for runs that see the same images. Without a digest the spec names the set, its path with it. */
export function dataKeyOf({ data, digest }: DataOfRun): string {
  return canonicalJson(digest === undefined ? data : { ...seenOf(data), digest });
}

/** What of a data set is not in its digest and decides what a run sees; not where it lies. */
export function seenOf(data: DataSpec): object {
  if (data.kind === 'synthetic') return data;
  const { path: _path, onCorrupt: _how, skipped, ...rest } = data;
  const labels = data.kind === 'recordio' ? { labels: data.labels ?? 'strict' } : {};
  return { ...rest, ...labels, skipped: skipped?.digest };
}
