// Lowerings of matrix products, and what every product shares: the type of its operands and the precision that
// is asked of the device. Definitions: TensorFlow's MatMul and BatchMatMulV2; StableHLO, "dot_general".

import { attributeOf, type Call, type Lowering, type Lowerings, notLowered, outputOf } from './call.ts';
import type { Element, Ref } from './literals.ts';

/** An operand of a convolution: bfloat16 in that precision. */
export function productOperand(call: Call, index: number): Ref {
  return call.precision === 'bf16' ? call.text.convert(call.stored(index), 'bf16') : call.input(index);
}

/** The type of a product's result: sums are float32 whatever the operands are. */
export const productResult = (_call: Call): Element => 'f32';

/** HIGHEST forbids a device to shorten float32 operands; DEFAULT allows it, which is TF32 where there is that. */
export function highest({ precision }: Call): string {
  const wanted = precision === 'tf32' ? 'DEFAULT' : 'HIGHEST';
  return `[#stablehlo<precision ${wanted}>, #stablehlo<precision ${wanted}>]`;
}

/** Operands of a matrix product: bfloat16 where one of them is a map, as with a pointwise convolution. */
function matrices(call: Call): readonly [Ref, Ref] {
  const isMap = [0, 1].some((index) => call.stored(index).element === 'bf16');
  const operand = (index: number) =>
    isMap ? call.text.convert(call.stored(index), 'bf16') : call.input(index);
  return [operand(0), operand(1)];
}

function dot(call: Call, batch: number, transposed: readonly [boolean, boolean]): Ref {
  const [a, b] = matrices(call);
  const axes = Array.from({ length: batch }, (_, axis) => axis).join(', ');
  const contracted = [transposed[0] ? batch : batch + 1, transposed[1] ? batch + 1 : batch];
  return call.text.generic({
    op: 'dot_general',
    operands: [a, b],
    attributes: {
      dot_dimension_numbers: `#stablehlo.dot<lhs_batching_dimensions = [${axes}], rhs_batching_dimensions = [${axes}], lhs_contracting_dimensions = [${contracted[0]}], rhs_contracting_dimensions = [${contracted[1]}]>`,
      precision_config: highest(call),
    },
    element: productResult(call),
    shape: outputOf(call).shape,
  });
}

const matMul: Lowering = (call) => [
  dot(call, 0, [attributeOf(call, 'transpose_a') === true, attributeOf(call, 'transpose_b') === true]),
];

const batchMatMul: Lowering = (call) => {
  const [a, b] = [call.value(0).shape, call.value(1).shape];
  if (a.slice(0, -2).join() !== b.slice(0, -2).join())
    throw notLowered(call, `of [${a}] and [${b}], whose batch axes differ,`);
  return [
    dot(call, a.length - 2, [attributeOf(call, 'adj_x') === true, attributeOf(call, 'adj_y') === true]),
  ];
};

export const products: Lowerings = { MatMul: matMul, BatchMatMulV2: batchMatMul };
