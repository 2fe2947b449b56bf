// How types, numbers and attributes are written in StableHLO text.

import { FleetError } from '../../errors.ts';
import { DT } from '../ops/kernels.ts';

/** Type of a tensor's elements, by StableHLO's name. */
export type Element = 'f64' | 'f32' | 'bf16' | 'i64' | 'i32' | 'ui8' | 'i1';

/** A value of the module: what a statement returned, or an argument. */
export interface Ref {
  readonly name: string;
  readonly element: Element;
  readonly shape: readonly number[];
}

const ELEMENTS = new Map<number, Element>([
  [DT.float32, 'f32'],
  [DT.int32, 'i32'],
  [DT.uint8, 'ui8'],
  [DT.bool, 'i1'],
]);

/** StableHLO's name of TensorFlow's DataType number. */
export function elementOf(dtype: number): Element {
  const element = ELEMENTS.get(dtype);
  if (element === undefined)
    throw new FleetError('unimplemented', `a tensor of TensorFlow's data type ${dtype} has no lowering`);
  return element;
}

export const typeText = ({ element, shape }: Pick<Ref, 'element' | 'shape'>): string =>
  `tensor<${[...shape, element].join('x')}>`;

export const elementsIn = (shape: readonly number[]): number =>
  shape.reduce((product, size) => product * size, 1);

const isFloat = (element: Element) => element === 'f64' || element === 'f32' || element === 'bf16';

/** An attribute of integers. */
export const integers = (values: readonly number[]): string =>
  values.length === 0 ? 'array<i64>' : `array<i64: ${values.join(', ')}>`;

/** An attribute of pairs of integers, one for each axis. */
export const pairs = (values: readonly (readonly [number, number])[]): string =>
  `dense<[${values.map(([low, high]) => `[${low}, ${high}]`).join(', ')}]> : tensor<${values.length}x2xi64>`;

/**
 * A number as text that gives back its bits: floating-point numbers as hexadecimal bits, which also write
 * infinities and NaN.
 */
export function numberText(value: number, element: Element): string {
  if (element === 'i1') return value === 0 ? 'false' : 'true';
  if (!isFloat(element)) return integerText(value, element);
  const bytes = new DataView(new ArrayBuffer(8));
  if (element === 'f64') {
    bytes.setFloat64(0, value);
    return `0x${bytes.getBigUint64(0).toString(16).padStart(16, '0').toUpperCase()}`;
  }
  bytes.setFloat32(0, value);
  const bits = bytes.getUint32(0).toString(16).padStart(8, '0').toUpperCase();
  return `0x${element === 'bf16' ? bits.slice(0, 4) : bits}`;
}

/** Infinities, with which maxima and minima begin, become the type's ends. */
function integerText(value: number, element: Element): string {
  if (value === Number.NEGATIVE_INFINITY) return element === 'ui8' ? '0' : `${-(2 ** 31)}`;
  if (value === Number.POSITIVE_INFINITY) return element === 'ui8' ? '255' : `${2 ** 31 - 1}`;
  return String(value);
}
