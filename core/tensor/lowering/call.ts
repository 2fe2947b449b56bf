// One operation of a recording while it is lowered: its inputs as values of the module, its attributes, and the
// form of its results. What a lowering refuses is named here, with the operation.

import { FleetError } from '../../errors.ts';
import type { OperationNode } from '../recording/record.ts';
import type { Value } from '../recording/shapes.ts';
import type { Ref } from './literals.ts';
import type { ModuleText } from './module-text.ts';

/**
 * How products are computed. float32: in float32. tf32: products of float32 with shortened mantissas, where a
 * device has these. bf16: maps and the products that make them in bfloat16, all else in float32.
 */
export type Precision = 'float32' | 'tf32' | 'bf16';

/** One operation to lower. */
export interface Call {
  readonly node: OperationNode;
  readonly text: ModuleText;
  readonly precision: Precision;
  /** Input `index`; floating-point values are float32. */
  input(index: number): Ref;
  /** Input `index` as it lies in memory: a map may be bfloat16. */
  stored(index: number): Ref;
  /** What is known of input `index` without computing it. */
  value(index: number): Value;
  /** Values of input `index`, a shape or axes, which is a constant. */
  integers(index: number): readonly number[];
}

/** Writes the statements of one operation and returns its outputs. */
export type Lowering = (call: Call) => readonly Ref[];

/** Lowerings by TensorFlow's names of operations. */
export type Lowerings = Readonly<Record<string, Lowering>>;

export const attributeOf = ({ node }: Call, name: string): unknown =>
  node.attributes.find((attribute) => attribute.name === name)?.value;

/** The recorded form of output `index`. */
export const outputOf = ({ node }: Call, index = 0): Value => node.outputs[index]!;

/** An error for a form of an operation that has no lowering. */
export const notLowered = ({ node }: Call, what: string): FleetError =>
  new FleetError('unimplemented', `${node.op} ${what} has no lowering`, { details: { op: node.op } });

export const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
