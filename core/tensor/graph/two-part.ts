// A function of tensors whose last inputs are known only after its first outputs have been used elsewhere:
// recorded as one graph and run in two parts. What the second part reads of the first is kept in between as
// tensors of the library, without a copy, or computed again. The bits are the same: both are runs of one
// graph, and a kept tensor has the bits that the same operation would compute again. A shard of S-128 with 8
// images keeps 296 MB and takes 245 ms; computed again, it takes 314 ms (docs/performance.md).
//
// Every tensor here is a number in the library and must be deleted exactly once: by the part that fed or
// fetched it, or, if it is kept, when its computation is finished, released, or its graph disposed.

import { FleetError } from '../../errors.ts';
import { cutOf } from '../passes/cut.ts';
import { addonFacts, nativeBackend } from '../tf.ts';
import type { TwoPartGraph, TwoPartOptions } from './engine.ts';
import type { StoredGraph } from './graph-cache.ts';
import { plainArrays } from './host-vectors.ts';
import { obtainGraph } from './obtain.ts';
import { saveGraph, sessionName } from './saved-model.ts';
import {
  checkArrays,
  checkInputs,
  checkPlace,
  deleteTensors,
  deletingTensors,
  feedArrays,
  type GraphArray,
  inputNames,
  loadGraph,
  outputNames,
  readOutputs,
} from './session.ts';

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
 * Whether keeping is faster than computing again and gives the same bits. On a GPU it is slower, because
 * every fed tensor passes through the host's memory. Where TensorFlow's graph optimiser runs, bits may
 * differ: it sees less of the graph in each part than in both together and may choose other kernels.
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
  const keptBytes = keepsSafely() ? kept.bytes : undefined;
  /** The kept tensors of each open computation; the array's identity is the computation. */
  const open = new Set<readonly number[]>();

  const runFirst = (arrays: readonly GraphArray[], also: readonly string[]) => {
    if (also.length === 0)
      return { values: graph.compute({ inputs: known, arrays, fetches: outputs.first }), tensors: [] };
    // What is kept may share memory with what was fed, so here tensors hold their arrays.
    return deletingTensors((held) => {
      const fed = feedArrays(known, arrays, held);
      const ids = graph.run(inputNames(known), fed, [...outputs.first, ...also]);
      held.push(...ids);
      const values = readOutputs(ids.slice(0, first.outputs));
      return { values, tensors: held.splice(fed.length + first.outputs) };
    });
  };
  const runSecond = (
    arrays: readonly GraphArray[],
    tensors: readonly number[],
    into: Float32Array | undefined,
  ) =>
    graph.compute({
      ...{ inputs, arrays, fetches: outputs.second, into },
      ...(tensors.length > 0 && { kept: { names: kept.names, tensors } }),
    });

  return {
    nodes,
    digest,
    recorded,
    keptBytes,
    begun: () => open.size,
    begin(given, keep) {
      const arrays = plainArrays(given);
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
        finish(others, into) {
          if (!open.has(tensors))
            throw new FleetError(
              'failedPrecondition',
              'this computation is over: it was finished or released, or its graph was disposed',
            );
          try {
            checkArrays(late, others);
            checkPlace(outputShapes.slice(first.outputs), into);
            return runSecond([...arrays, ...others], tensors, into);
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
