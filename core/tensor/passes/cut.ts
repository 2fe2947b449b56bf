// Where a recorded function is cut when not all of its inputs are known at first: which results of the first
// part the second reads. Pure, from a recording; how the parts run is two-part.ts'.

import { FleetError } from '../../errors.ts';
import { DT } from '../ops/kernels.ts';
import { neededFor } from '../recording/consumers.ts';
import type { Edge, Recording } from '../recording/record.ts';

/** The first part: so many inputs are known, and so many outputs are wanted, in their order. */
export interface FirstPart {
  readonly inputs: number;
  readonly outputs: number;
}

export interface Cut {
  /** Results of the first part's operations, each once, in order. */
  readonly kept: readonly Edge[];
  readonly bytes: number;
}

/**
 * Operations that the second part does again when it needs what they give, from what they read, which is then
 * kept instead. Shapes and parts are views or cheap copies of something that is mostly kept anyway, above all
 * the parts of the weights. A max pool is done again because of its gradient: TensorFlow takes the fast
 * kernel for that only where it sees the pool itself beside it, and the other one breaks ties between equal
 * values in another way (seen with S-128: other bits, and no less time).
 */
const AGAIN = new Set(['Reshape', 'SplitV', 'MaxPool']);

/**
 * What no output of the first part needs belongs to the second, whenever it could be computed: so nothing is
 * kept that the first part did not have to make.
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
    // Inputs and constants are there in both parts.
    if (node.kind !== 'operation') continue;
    if (before.has(edge.node) && !AGAIN.has(node.op)) kept.set(`${edge.node}:${edge.output}`, edge);
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
