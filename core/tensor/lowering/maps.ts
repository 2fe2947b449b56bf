// Which results of a recording are maps: what lies between a network's images and its embeddings, one value for
// each pixel. In the precision bf16 these are stored as bfloat16, and products that read them take bfloat16.
// Everything else, such as weights, their gradients, statistics, embeddings and losses, stays float32.

import { DT } from '../ops/kernels.ts';
import type { Edge, OperationNode, RecordedNode } from '../recording/record.ts';

/** Operations that begin a map whatever they read. */
const BEGIN = new Set(
  'Conv2D Conv2DBackpropInput DepthwiseConv2dNative DepthwiseConv2dNativeBackpropInput'.split(' '),
);

/** Operations whose first output is a map where one of their inputs is. */
const CARRY = new Set(
  'Add AddN AddV2 AvgPool AvgPoolGrad BiasAdd ConcatV2 FusedBatchNormGradV3 FusedBatchNormV3 Identity MatMul MaxPool MaxPoolGrad Maximum Minimum Mul Neg Pad PadV2 Relu ReluGrad Reshape Select SelectV2 Slice SplitV Sub'.split(
    ' ',
  ),
);

/** For each node, whether its outputs are maps; statistics among the outputs of a norm have rank 1 and are none. */
export function mapNodes(nodes: readonly RecordedNode[]): ReadonlySet<number> {
  const maps = new Set<number>();
  const formOf = ({ node, output }: Edge) => nodes[node]!.outputs[output]!;
  const isMap = (edge: Edge) => maps.has(edge.node) && isPixels(formOf(edge).shape);
  const carries = (node: OperationNode): boolean => {
    if (!CARRY.has(node.op) || !node.inputs.some(isMap)) return false;
    const { shape } = node.outputs[0]!;
    if (node.op === 'MatMul') return isMap(node.inputs[0]!) && !transposesFirst(node);
    // Flattening puts pixels among the channels: an embedding begins.
    if (node.op === 'Reshape') return shape.at(-1) === formOf(node.inputs[0]!).shape.at(-1);
    return true;
  };
  for (const [index, node] of nodes.entries()) {
    if (node.kind !== 'operation' || node.outputs[0]?.dtype !== DT.float32) continue;
    if ((BEGIN.has(node.op) || carries(node)) && isPixels(node.outputs[0].shape)) maps.add(index);
  }
  return maps;
}

/**
 * A map [N, H, W, C] of more than one pixel, or its matrix [N H W, C]. A matrix is only asked about where it
 * came from a map.
 */
export const isPixels = (shape: readonly number[]): boolean =>
  shape.length === 2 || (shape.length >= 4 && shape.slice(1, -1).some((size) => size > 1));

/** The product with a transposed map is the gradient of a kernel. */
const transposesFirst = ({ attributes }: OperationNode): boolean =>
  attributes.some(({ name, value }) => name === 'transpose_a' && value === true);
