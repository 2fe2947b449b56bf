// A function of tensors whose last inputs are known only after its first outputs have been used elsewhere, recorded as one graph and
// run in two parts. Between them what the second part reads of the first is kept as tensors of the library, without a
// copy, or is computed again: the bits are the same. Decides how a part is fed and when tensors go; what is kept is cut.ts', for
// which computations the memory suffices the caller's.

import { FleetError } from '../../errors.ts';
import { cutOf, type FirstPart } from '../passes/cut.ts';
import { addonFacts, nativeBackend } from '../tf.ts';
import type { StoredGraph } from './graph-cache.ts';
import { type CompileOptions, obtainGraph } from './obtain.ts';
import { saveGraph, sessionName } from './saved-model.ts';
import {
  checkArrays,
  checkInputs,
  deleteTensors,
  deletingTensors,
  feedArrays,
  type GraphArray,
  inputNames,
  loadGraph,
  outputNames,
  readOutputs,
} from './session.ts';

export type { FirstPart } from '../passes/cut.ts';

export interface TwoPartOptions extends CompileOptions {
  readonly first: FirstPart;
}

export interface TwoPartGraph {
  /** Runs the first part; the arrays must not change before the second. `keep`: not to compute it again; see keptBytes. */
  begin(inputs: readonly GraphArray[], keep: boolean): Begun;
  /** What one computation keeps between its parts; undefined where it is always computed again. */
  readonly keptBytes: number | undefined;
  /** Computations that are begun and neither finished nor released. */
  begun(): number;
  readonly nodes: number;
  readonly digest: string;
  readonly recorded: boolean;
  /** Frees the graph and what is kept of computations that are not finished; a second call does nothing. */
  dispose(): void;
}

/** A computation after its first part. */
export interface Begun {
  readonly outputs: Float32Array[];
  /** What it keeps, until it is finished or released. */
  readonly kept: { readonly tensors: number; readonly bytes: number };
  /** Runs the second part, with the inputs that were not known. Whether it succeeds or not, the computation is over. */
  finish(inputs: readonly GraphArray[]): Float32Array[];
  /** Frees what is kept, for a computation that will not be finished. */
  release(): void;
}

/** Records `build` (or takes its stored graph), loads it and makes it ready to run. */
export function compileTwoPart(options: TwoPartOptions): TwoPartGraph {
  const { first, inputs } = options;
  checkInputs(inputs);
  return obtainGraph(options, {
    name: `first ${first.inputs} ${first.outputs}`,
    save(recording) {
      const { kept, bytes } = cutOf(recording, first);
      const names = kept.map((edge) => sessionName(recording.nodes, edge));
      return { ...saveGraph(recording), kept: { names, bytes } };
    },
    load: (stored, recorded) => load(options, stored, recorded),
  });
}

/**
 * Whether both ways give the same bits and keeping is the faster. On a GPU every fed tensor passes through the host's memory. Where
 * TensorFlow's graph optimiser runs, it sees less of the graph in each part than in both and may round in another way;
 * either belongs to the device class.
 */
const keepsSafely = (): boolean =>
  !nativeBackend().binding.isUsingGpuDevice() && addonFacts().graphs === 'as-recorded';

function load(
  { first, inputs }: TwoPartOptions,
  { folder, facts }: StoredGraph,
  recorded: boolean,
): TwoPartGraph {
  const { nodes, digest, outputShapes, kept } = facts;
  if (kept === undefined) throw new FleetError('dataLoss', `${folder} does not say what its parts keep`);
  const graph = loadGraph(folder);
  const known = inputs.slice(0, first.inputs);
  const late = inputs.slice(first.inputs);
  const names = outputNames(outputShapes.length);
  const outputs = { first: names.slice(0, first.outputs), second: names.slice(first.outputs) };
  const feeds = { first: inputNames(known), all: inputNames(inputs) };
  const keptBytes = keepsSafely() ? kept.bytes : undefined;
  /** What is kept of each computation that is begun. */
  const open = new Set<readonly number[]>();

  const runFirst = (arrays: readonly GraphArray[], also: readonly string[]) =>
    deletingTensors((held) => {
      const fed = feedArrays(known, arrays, held);
      const ids = graph.run(feeds.first, fed, [...outputs.first, ...also]);
      held.push(...ids);
      const values = readOutputs(ids.slice(0, first.outputs));
      return { values, tensors: held.splice(fed.length + first.outputs) };
    });
  const runSecond = (arrays: readonly GraphArray[], tensors: readonly number[]) =>
    deletingTensors((held) => {
      const fed = feedArrays(inputs, arrays, held);
      const also = tensors.length > 0 ? kept.names : [];
      const ids = graph.run([...feeds.all, ...also], [...fed, ...tensors], outputs.second);
      held.push(...ids);
      return readOutputs(ids);
    });

  return {
    nodes,
    digest,
    recorded,
    keptBytes,
    begun: () => open.size,
    begin(arrays, keep) {
      checkArrays(known, arrays);
      const keeping = keep && keptBytes !== undefined;
      const { values, tensors } = runFirst(arrays, keeping ? kept.names : []);
      open.add(tensors);
      const release = () => {
        if (open.delete(tensors)) deleteTensors(tensors);
      };
      return {
        outputs: values,
        kept: { tensors: tensors.length, bytes: keeping ? keptBytes : 0 },
        finish(others) {
          if (!open.has(tensors))
            throw new FleetError(
              'failedPrecondition',
              'this computation is over: it was finished or released, or its graph was disposed',
            );
          try {
            checkArrays(late, others);
            return runSecond([...arrays, ...others], tensors);
          } finally {
            release();
          }
        },
        release,
      };
    },
    dispose() {
      for (const tensors of open) deleteTensors(tensors);
      open.clear();
      graph.dispose();
    },
  };
}
