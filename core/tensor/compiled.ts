// Compiled graphs: a function of tensors, recorded once, loaded as one TensorFlow graph and then run with plain arrays,
// without JavaScript for each operation. Decides when a stored graph may be used in place of recording; recording is
// record.ts', the format graph.ts'. A graph belongs to the thread that compiled it.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sha256Hex } from '../digest.ts';
import { FleetError, toFleetError } from '../errors.ts';
import { canonicalJson } from '../spec.ts';
import { foldSums } from './fold.ts';
import { inputName, outputName, saveGraph } from './graph.ts';
import {
  discardEntry,
  entryFolder,
  type GraphFacts,
  readEntry,
  type StoredGraph,
  writeEntry,
  writeFolder,
} from './graph-cache.ts';
import { DT } from './kernels.ts';
import { type GraphInput, type RecordOptions, record } from './record.ts';
import { addonFacts, type Binding, nativeBackend, tensorflowVersion } from './tf.ts';

export type { GraphInput } from './record.ts';

/** Values of one input or output, row by row; the memory may be shared between threads. */
export type GraphArray = Float32Array | Int32Array | Uint8Array;

export interface CompileOptions extends RecordOptions {
  /** Names what `build` computes, completely: two functions with equal keys and inputs are taken for the same. */
  readonly key: string;
  /** Folder for compiled graphs that outlive the process; without it nothing is kept. */
  readonly cacheDir?: string;
}

export interface CompiledGraph {
  /** Runs the graph on this thread, until it is done. One array for each input, in order; the outputs are copies. */
  run(inputs: readonly GraphArray[]): Float32Array[];
  /** Operations in the graph, constants and inputs included. */
  readonly nodes: number;
  /** SHA-256 of the GraphDef; equal digests compute the same on the same device class. */
  readonly digest: string;
  readonly inputs: readonly GraphInput[];
  readonly outputShapes: readonly (readonly number[])[];
  /** false when a stored graph made recording unnecessary. */
  readonly recorded: boolean;
  /** Frees the graph; a second call does nothing. */
  dispose(): void;
}

/** Records `build` (or takes its stored graph), loads it and makes it ready to run. */
export function compileGraph(options: CompileOptions): CompiledGraph {
  checkInputs(options.inputs);
  const name = sha256Hex(
    canonicalJson({
      key: options.key,
      inputs: options.inputs,
      tensorflow: tensorflowVersion(),
      gpu: nativeBackend().binding.isUsingGpuDevice(),
      kernels: addonFacts().kernels,
      code: codeDigest(),
    }),
  );
  const { cacheDir } = options;
  if (cacheDir === undefined) return compileOnce(options);
  const stored = readEntry(entryFolder(cacheDir, name));
  if (stored !== null) {
    try {
      return load(stored, options.inputs, false);
    } catch {
      // Its digest is right and yet the library refuses it: written by other code under the same name. Record anew.
      discardEntry(stored.folder);
    }
  }
  return load(writeEntry(cacheDir, name, saveGraph(foldSums(record(options)))), options.inputs, true);
}

function compileOnce(options: CompileOptions): CompiledGraph {
  const graph = saveGraph(foldSums(record(options)));
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-graph-'));
  try {
    return load({ folder, facts: writeFolder(folder, graph) }, options.inputs, true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function load(
  { folder, facts }: StoredGraph,
  inputs: readonly GraphInput[],
  recorded: boolean,
): CompiledGraph {
  const { binding } = nativeBackend();
  let model: number;
  try {
    model = binding.loadSavedModel(folder, 'serve');
  } catch (caught) {
    throw toFleetError(caught, `loading the compiled graph in ${folder}`);
  }
  const names = {
    inputs: inputs.map((_, index) => `${inputName(index)}:0`).join(),
    outputs: facts.outputShapes.map((_, index) => `${outputName(index)}:0`).join(),
  };
  let disposed = false;
  return {
    ...describe(facts),
    inputs,
    recorded,
    run(arrays) {
      if (disposed) throw new FleetError('failedPrecondition', 'this compiled graph was disposed');
      checkArrays(inputs, arrays);
      return runModel({ binding, model, names, inputs }, arrays);
    },
    dispose() {
      if (!disposed) binding.deleteSavedModel(model);
      disposed = true;
    },
  };
}

const describe = ({ nodes, digest, outputShapes }: GraphFacts) => ({ nodes, digest, outputShapes });

interface Loaded {
  readonly binding: Binding;
  readonly model: number;
  readonly names: { readonly inputs: string; readonly outputs: string };
  readonly inputs: readonly GraphInput[];
}

/** Feeding shares the arrays' memory, which is safe because the run ends before this returns. */
function runModel({ binding, model, names, inputs }: Loaded, arrays: readonly GraphArray[]): Float32Array[] {
  const held: number[] = [];
  try {
    for (const [index, { dtype, shape }] of inputs.entries())
      held.push(binding.createTensor([...shape], DT[dtype], arrays[index]));
    const results = binding.runSavedModel(model, [...held], names.inputs, names.outputs);
    for (const result of results) held.push(result.id);
    return results.map((result) => binding.tensorDataSync(result.id) as Float32Array);
  } catch (caught) {
    throw toFleetError(caught, 'running a compiled graph');
  } finally {
    for (const id of held) binding.deleteTensor(id);
  }
}

const ARRAYS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array } as const;

function checkInputs(inputs: readonly GraphInput[]): void {
  const names = new Set(inputs.map((input) => input.name));
  if (names.size !== inputs.length)
    throw new FleetError(
      'invalidArgument',
      `two inputs of a graph have the same name: ${inputs.map((input) => input.name).join(', ')}`,
    );
}

/** A wrong array would be read beyond its end or end the process inside the library. */
function checkArrays(inputs: readonly GraphInput[], arrays: readonly GraphArray[]): void {
  if (arrays.length !== inputs.length)
    throw new FleetError(
      'invalidArgument',
      `the graph takes ${inputs.length} inputs (${inputs.map((input) => input.name).join(', ')}), not ${arrays.length}`,
    );
  for (const [index, { name, dtype, shape }] of inputs.entries()) {
    const array = arrays[index]!;
    const length = shape.reduce((product, size) => product * size, 1);
    if (!(array instanceof ARRAYS[dtype]) || array.length !== length)
      throw new FleetError(
        'invalidArgument',
        `input ${name} is ${dtype} [${shape}], ${length} values; it was given ${array.constructor.name} of ${array.length}`,
      );
  }
}

let codeDigestKnown: string | undefined;

/**
 * Digest of this program's own code in core: a stored graph of other code is never used, whoever changed what a network,
 * a loss or a kernel computes. All of core, because nobody would remember to raise a version; it reads in milliseconds.
 */
function codeDigest(): string {
  codeDigestKnown ??= digestFolder(fileURLToPath(new URL('..', import.meta.url)));
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
