// Open data sets of a worker. Decides how long one stays open and how many threads decode for it. Runs that use
// the same data share it, and the last of them closes it. A set that is drawn stays open until another one is
// opened, because the next candidate of a search uses it too and drawing it again would give the same pixels. A
// stored set may have changed when the next run comes: that run has another digest and opens it anew, also while an
// earlier one still has it open with the images that its threads have decoded.

import { createLoader, type Loader } from '../../core/data/loading/loader.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { DataSpec } from '../../core/spec/data.ts';
import type { DataOfRun } from '../../core/spec/data-key.ts';
import type { Roots } from '../../core/system/file-access.ts';

export interface Datasets {
  /** Opens a data set, or joins those that have it open. Each result must be released once. */
  acquire(of: DataOfRun): Promise<{ readonly loader: Loader; release(): Promise<void> }>;
}

interface Open {
  readonly data: DataSpec;
  readonly loader: Promise<Loader>;
  /** The loader, once it is there. */
  opened?: Loader;
  users: number;
}

/**
 * Number of decoding threads of an open data set when the configuration names none. A CPU worker has one
 * core, and drawing a face takes a tenth of what its training step takes; a GPU waits for images: one thread
 * decodes some 1,270 JPEGs a second.
 */
export function usualDataThreads(deviceKind: string, cores: number): number {
  return deviceKind === 'cpu' ? 1 : Math.min(8, cores);
}

export function createDatasets(options: {
  readonly threads: number;
  /** Folder for what inspections of data sets have found. */
  readonly cacheDir: string;
  /** Folders beneath which files may be read; none: everywhere. */
  readonly roots: Roots;
}): Datasets {
  const open = new Map<string, Open>();
  const close = async (key: string, entry: Open) => {
    if (open.get(key) === entry) open.delete(key);
    await entry.loader.then(
      (loader) => loader.close(),
      () => undefined,
    );
  };
  const leave = async (key: string, entry: Open) => {
    entry.users -= 1;
    const stays = entry.data.kind === 'synthetic' && entry.opened !== undefined && open.get(key) === entry;
    if (entry.users === 0 && !stays) await close(key, entry);
  };
  const join = (key: string, data: DataSpec): Open => {
    const known = open.get(key);
    // The next run gets threads that live, whatever has ended those of this set.
    if (known !== undefined && !known.opened?.hasEnded()) return known;
    const entry: Open = { data, loader: createLoader({ data, ...options }), users: 0 };
    open.set(key, entry);
    return entry;
  };
  return {
    async acquire({ data, digest = '' }) {
      const key = `${digest} ${canonicalJson(data)}`;
      const entry = join(key, data);
      entry.users += 1;
      try {
        const unused = [...open].filter(([, { users }]) => users === 0);
        await Promise.all(unused.map(([other, left]) => close(other, left)));
        const loader = await entry.loader;
        entry.opened = loader;
        let released = false;
        return {
          loader,
          release: async () => {
            if (released) return;
            released = true;
            await leave(key, entry);
          },
        };
      } catch (caught) {
        // A later run must look again: the folder may have been repaired.
        await leave(key, entry);
        throw caught;
      }
    },
  };
}
