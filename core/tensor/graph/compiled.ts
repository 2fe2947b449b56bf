// Compiled graphs: a function of tensors is recorded once, loaded as one TensorFlow graph and then run with
// plain arrays, without JavaScript for each operation. A graph belongs to the thread that compiled it.

import type { CompiledGraph } from './engine.ts';
import { plainArrays } from './host-vectors.ts';
import { type CompileOptions, obtainGraph } from './obtain.ts';
import { saveGraph } from './saved-model.ts';
import { checkArrays, checkInputs, checkPlace, loadGraph, outputNames } from './session.ts';

export type { GraphInput } from '../recording/record.ts';
export type { CompiledGraph } from './engine.ts';
export type { CompileOptions } from './obtain.ts';
export type { GraphArray } from './session.ts';

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
      const fetches = outputNames(outputShapes.length);
      return {
        nodes,
        digest,
        outputShapes,
        inputs,
        recorded,
        run(given, into) {
          const arrays = plainArrays(given);
          checkArrays(inputs, arrays);
          checkPlace(outputShapes, into);
          return graph.compute({ inputs, arrays, fetches, into });
        },
        dispose: graph.dispose,
      };
    },
  });
}
