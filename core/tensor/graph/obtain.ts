// Where a graph comes from: the cache on disk, or a recording made now. Decides when a stored graph may be
// used in place of recording. The name of a stored graph is the digest of everything that decides its
// content: the description of what it computes, the inputs, the form, the library and device kind, the digest
// of our own kernels, and all of this program's code in core. A name that leaves something out would return a
// wrong graph without an error, so it errs by leaving too much in: a changed comment records anew, in a
// second.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256Hex } from '../../digest.ts';
import { FleetError, toFleetError } from '../../errors.ts';
import { canonicalJson } from '../../spec/canonical-json.ts';
import { folderDigest } from '../../system/folder-digest.ts';
import { PROGRAMS } from '../../system/places.ts';
import { optimised } from '../passes/passes.ts';
import { recomputed } from '../passes/recompute.ts';
import { type Recording, type RecordOptions, record } from '../recording/record.ts';
import { addonFacts, nativeBackend, tensorflowVersion } from '../tf.ts';
import { hasGpuKernel } from './gpu-kernels.ts';
import {
  discardEntry,
  entryFolder,
  readEntry,
  type StoredGraph,
  writeEntry,
  writeFolder,
} from './graph-cache.ts';
import type { SavedGraph } from './saved-model.ts';

/** How products are computed; core/spec has it as `training.precision`. */
export type Precision = 'float32' | 'tf32' | 'bf16';

/** A function to compile. */
export interface CompileOptions extends RecordOptions {
  /**
   * Complete description of what `build` computes: two functions with equal keys and inputs are taken for the
   * same.
   */
  readonly key: string;
  /**
   * Whether the backward pass computes activations again instead of keeping them: the same bits with less memory and
   * more time.
   */
  readonly recompute?: boolean;
  /** How products are computed; float32 without it, which is all that TensorFlow's session does. */
  readonly precision?: Precision;
  /** Folder in which graphs outlive the process; without it none are stored. */
  readonly cacheDir?: string;
}

/** How a recording becomes something that runs. */
export interface Form<T> {
  /** Everything that the form depends on beside the recording; part of the stored graph's name. */
  readonly name: string;
  /** How the function is recorded; without it by the operations of this process's device, and optimised. */
  record?(options: CompileOptions): Recording;
  save(recording: Recording): SavedGraph;
  /** Loads a graph from its folder; `recorded` is false where a stored graph made recording unnecessary. */
  load(stored: StoredGraph, recorded: boolean): T;
}

/** Records the function (or takes its stored graph) and loads it in this form. */
export function obtainGraph<T>(options: CompileOptions, form: Form<T>): T {
  const { cacheDir } = options;
  const saved = () => form.save((form.record ?? recordOptimised)(options));
  if (cacheDir === undefined) return loadOnce(saved(), form);
  const name = nameOf(options, form.name);
  const stored = readEntry(entryFolder(cacheDir, name));
  if (stored !== null) {
    try {
      return form.load(stored, false);
    } catch {
      // The bytes are whole and the library still refuses them, so other code wrote them under this name. The
      // graph is recorded anew.
      withoutCache(() => discardEntry(stored.folder));
    }
  }
  const graph = saved();
  const written = withoutCache(() => writeEntry(cacheDir, name, graph));
  return written === undefined ? loadOnce(graph, form) : form.load(written, true);
}

function recordOptimised(options: CompileOptions): Recording {
  const { precision = 'float32' } = options;
  if (precision !== 'float32')
    throw new FleetError(
      'unimplemented',
      `TensorFlow's session computes in float32 alone, and \`training.precision: ${precision}\` asks for another: take workers with the engine pjrt, or leave it out`,
    );
  const recording = optimised(record(options));
  if (nativeBackend().binding.isUsingGpuDevice()) warnOfHost(recording);
  return options.recompute === true ? recomputed(recording) : recording;
}

/** An operation on the host is slow and right, so the graph is used. */
function warnOfHost({ nodes }: Recording): void {
  const ops = new Set(nodes.flatMap((node) => (node.kind === 'operation' ? [node.op] : [])));
  const onHost = [...ops].filter((op) => !hasGpuKernel(op)).sort();
  if (onHost.length > 0)
    process.emitWarning(
      `no kernel for GPUs is known of ${onHost.join(', ')}: the host computes them`,
      'GpuKernels',
    );
}

/**
 * Uses the cache, and only warns when that fails: it may be deleted at any time, and a disk may be full or
 * read-only.
 */
export function withoutCache<T>(use: () => T): T | undefined {
  try {
    return use();
  } catch (caught) {
    process.emitWarning(`compiled graphs are not kept: ${toFleetError(caught).message}`, 'GraphCache');
    return undefined;
  }
}

/** The stored graph's name, 64 hexadecimal digits. */
function nameOf({ key, inputs, recompute = false }: CompileOptions, form: string): string {
  return sha256Hex(
    canonicalJson({
      key,
      inputs,
      form,
      recompute,
      tensorflow: tensorflowVersion(),
      gpu: nativeBackend().binding.isUsingGpuDevice(),
      kernels: addonFacts().kernels,
      code: codeDigest(),
    }),
  );
}

/** Loads a graph that is not stored, through a temporary folder. */
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
 * Digest of this program's code in core, so that a graph recorded by other code is never used. All of core: a
 * list of the files that decide a graph, or a version number, would one day lack a change. It is read in
 * milliseconds, once a process.
 */
function codeDigest(): string {
  codeDigestKnown ??= folderDigest(join(PROGRAMS, 'core'), /\.(ts|js)$/);
  return codeDigestKnown;
}
