// Compiled graphs: a function of tensors is recorded once, loaded as one TensorFlow graph and then run with
// plain arrays, without JavaScript for each operation. A graph belongs to the thread that compiled it.

import type { GraphInput } from '../recording/record.ts';
import { type CompileOptions, obtainGraph } from './obtain.ts';
import { saveGraph } from './saved-model.ts';
import {
  checkArrays,
  checkInputs,
  deletingTensors,
  feedArrays,
  type GraphArray,
  inputNames,
  loadGraph,
  outputNames,
  readOutputs,
} from './session.ts';

export type { GraphInput } from '../recording/record.ts';
export type { CompileOptions } from './obtain.ts';
export type { GraphArray } from './session.ts';

/** A graph that is ready to run. */
export interface CompiledGraph {
  /**
   * Runs the graph on this thread and returns when it is done. Takes one array an input, in order; the
   * outputs are copies.
   */
  run(inputs: readonly GraphArray[]): Float32Array[];
  /** Number of operations in the graph, constants and inputs included. */
  readonly nodes: number;
  /** SHA-256 of the GraphDef. Graphs of equal digests compute the same bits on one device class. */
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
  const { inputs } = options;
  checkInputs(inputs);
  return obtainGraph(options, {
    name: 'whole',
    save: (recording) => saveGraph(recording),
    load({ folder, facts }, recorded) {
      const graph = loadGraph(folder);
      const { nodes, digest, outputShapes } = facts;
      const feeds = inputNames(inputs);
      const fetches = outputNames(outputShapes.length);
      return {
        nodes,
        digest,
        outputShapes,
        inputs,
        recorded,
        run(arrays) {
          checkArrays(inputs, arrays);
          // Feeding shares the arrays' memory, which is safe because the run ends before this returns.
          return deletingTensors((held) => {
            const outputs = graph.run(feeds, feedArrays(inputs, arrays, held), fetches);
            held.push(...outputs);
            return readOutputs(outputs);
          });
        },
        dispose: graph.dispose,
      };
    },
  });
}
