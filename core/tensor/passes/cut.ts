// Where a recorded function is cut in two when not all of its inputs are known at first: which results of the
// first part the second one reads. The first part is what its outputs need and nothing else; every other
// operation belongs to the second part, even if it could be computed earlier. So nothing is kept that the
// first part would not compute anyway. Pure, from a recording.

import { FleetError } from '../../errors.ts';
import { DT } from '../ops/kernels.ts';
import { neededFor } from '../recording/consumers.ts';
import type { Edge, Recording } from '../recording/record.ts';

/**
 * The first part of a function: how many of the inputs are known and how many of the outputs are computed,
 * both from the first on.
 */
export interface FirstPart {
  readonly inputs: number;
  readonly outputs: number;
}

/** What a computation keeps between its parts. */
export interface Cut {
  /** Results of the first part that the second reads, each once, in the order of nodes. */
  readonly kept: readonly Edge[];
  /** Their size. */
  readonly bytes: number;
}

/**
 * Operations of the first part that the second computes again if it needs their results; what they read is
 * kept instead. A Reshape is a view and the parts of a SplitV are cheap copies of something that is mostly
 * kept anyway, above all the weights. A max pool is computed again because of its gradient: TensorFlow takes
 * oneDNN's kernel for MaxPoolGrad only where the pool itself is in the same run. The other kernel breaks ties
 * between equal values in another way (seen with S-128: other bits, and no less time).
 */
const COMPUTED_AGAIN = new Set(['Reshape', 'SplitV', 'MaxPool']);

/**
 * The cut of a recording: walks back from the outputs of the second part and stops at the results that the
 * first part has computed. Throws where an output of the first part needs an input that is known only in the
 * second.
 */
export function cutOf(recording: Recording, first: FirstPart): Cut {
  const { nodes, outputs } = recording;
  const before = neededFor(nodes, outputs.slice(0, first.outputs));
  refuseLateInputs(recording, first, before);
  const kept = new Map<string, Edge>();
  const seen = new Set<number>();
  const open = outputs.slice(first.outputs);
  for (let edge = open.pop(); edge !== undefined; edge = open.pop()) {
    const node = nodes[edge.node]!;
    // Inputs are fed to both parts and constants are in the graph.
    if (node.kind !== 'operation') continue;
    if (before.has(edge.node) && !COMPUTED_AGAIN.has(node.op)) kept.set(`${edge.node}:${edge.output}`, edge);
    else if (!seen.has(edge.node)) {
      seen.add(edge.node);
      open.push(...node.inputs);
    }
  }
  const ordered = [...kept.values()].sort((a, b) => a.node - b.node || a.output - b.output);
  return { kept: ordered, bytes: ordered.reduce((sum, edge) => sum + bytesOf(recording, edge), 0) };
}

function refuseLateInputs({ nodes, inputs }: Recording, first: FirstPart, before: ReadonlySet<number>): void {
  for (const index of before) {
    const node = nodes[index]!;
    if (node.kind === 'input' && node.input >= first.inputs)
      throw new FleetError(
        'invalidArgument',
        `an output of the first part is computed from input ${inputs[node.input]!.name}, which is known only in the second; put it among the first ${first.inputs} inputs or the output behind the first ${first.outputs}`,
      );
  }
}

function bytesOf({ nodes }: Recording, { node, output }: Edge): number {
  const { shape, dtype } = nodes[node]!.outputs[output]!;
  const width = dtype === DT.bool || dtype === DT.uint8 ? 1 : 4;
  return shape.reduce((product, size) => product * size, width);
}
