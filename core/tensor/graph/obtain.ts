// Where a loaded graph comes from: its stored form, or a recording made now. Decides when a stored graph may be used in place of
// recording; the store is graph-cache.ts', what is loaded how is compiled.ts' and two-part.ts'.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256Hex } from '../../digest.ts';
import { toFleetError } from '../../errors.ts';
import { canonicalJson } from '../../spec/canonical-json.ts';
import { PROGRAMS } from '../../system/places.ts';
import { optimised } from '../passes/passes.ts';
import { type Recording, type RecordOptions, record } from '../recording/record.ts';
import { addonFacts, nativeBackend, tensorflowVersion } from '../tf.ts';
import {
  discardEntry,
  entryFolder,
  readEntry,
  type StoredGraph,
  writeEntry,
  writeFolder,
} from './graph-cache.ts';
import type { SavedGraph } from './saved-model.ts';

export interface CompileOptions extends RecordOptions {
  /** Names what `build` computes, completely: two functions with equal keys and inputs are taken for the same. */
  readonly key: string;
  /** Folder for compiled graphs that outlive the process; without it nothing is kept. */
  readonly cacheDir?: string;
}

/** What is made of a recording. */
export interface Form<T> {
  /** All that it depends on beside the recording, as part of the stored graph's name. */
  readonly name: string;
  save(recording: Recording): SavedGraph;
  /** `recorded`: false when a stored graph made recording unnecessary. */
  load(stored: StoredGraph, recorded: boolean): T;
}

/** Records the function (or takes its stored graph) and loads it in this form. */
export function obtainGraph<T>(options: CompileOptions, form: Form<T>): T {
  const { cacheDir } = options;
  const saved = () => form.save(optimised(record(options)));
  if (cacheDir === undefined) return loadOnce(saved(), form);
  const name = nameOf(options, form.name);
  const stored = readEntry(entryFolder(cacheDir, name));
  if (stored !== null) {
    try {
      return form.load(stored, false);
    } catch {
      // Its digest is right and yet the library refuses it: written by other code under the same name. Record anew.
      withoutCache(() => discardEntry(stored.folder));
    }
  }
  const graph = saved();
  const written = withoutCache(() => writeEntry(cacheDir, name, graph));
  return written === undefined ? loadOnce(graph, form) : form.load(written, true);
}

/** A cache may be deleted at any time, and a disk may be full or read-only: what cannot be kept is used all the same. */
function withoutCache<T>(use: () => T): T | undefined {
  try {
    return use();
  } catch (caught) {
    process.emitWarning(`compiled graphs are not kept: ${toFleetError(caught).message}`, 'GraphCache');
    return undefined;
  }
}

function nameOf({ key, inputs }: CompileOptions, form: string): string {
  return sha256Hex(
    canonicalJson({
      key,
      inputs,
      form,
      tensorflow: tensorflowVersion(),
      gpu: nativeBackend().binding.isUsingGpuDevice(),
      kernels: addonFacts().kernels,
      code: codeDigest(),
    }),
  );
}

function loadOnce<T>(graph: SavedGraph, form: Form<T>): T {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-graph-'));
  try {
    return form.load({ folder, facts: writeFolder(folder, graph) }, true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

let codeDigestKnown: string | undefined;

/**
 * Digest of this program's own code in core: a stored graph of other code is never used, whoever changed what a network,
 * a loss or a kernel computes. All of core, because nobody would remember to raise a version; it reads in milliseconds.
 */
function codeDigest(): string {
  codeDigestKnown ??= digestFolder(join(PROGRAMS, 'core'));
  return codeDigestKnown;
}

function digestFolder(folder: string): string {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  const lines = entries.map((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return `${entry.name}/ ${digestFolder(path)}`;
    return /\.(ts|js)$/.test(entry.name) ? `${entry.name} ${sha256Hex(readFileSync(path))}` : '';
  });
  return sha256Hex(lines.join('\n'));
}
