// Element types that model files hold, and how each becomes float32, the one type that networks here compute
// with. Wider types are rounded to nearest; files are little-endian.

import { FleetError } from '../errors.ts';
import { halfToNumber } from '../half-floats.ts';

/** Names as in safetensors. */
export type ElementType = 'F64' | 'F32' | 'F16' | 'BF16' | 'I64' | 'I32' | 'I16' | 'I8' | 'U8' | 'BOOL';

interface Element {
  readonly bytes: number;
  /** The value at a byte offset. */
  readonly read: (view: DataView, at: number) => number;
}

const ELEMENTS: Readonly<Record<ElementType, Element>> = {
  F64: { bytes: 8, read: (view, at) => view.getFloat64(at, true) },
  F32: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  F16: { bytes: 2, read: (view, at) => halfToNumber(view.getUint16(at, true)) },
  BF16: { bytes: 2, read: (view, at) => bfloatToNumber(view.getUint16(at, true)) },
  I64: { bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
  I32: { bytes: 4, read: (view, at) => view.getInt32(at, true) },
  I16: { bytes: 2, read: (view, at) => view.getInt16(at, true) },
  I8: { bytes: 1, read: (view, at) => view.getInt8(at) },
  U8: { bytes: 1, read: (view, at) => view.getUint8(at) },
  BOOL: { bytes: 1, read: (view, at) => (view.getUint8(at) === 0 ? 0 : 1) },
};

/** Names of all. */
export const ELEMENT_TYPES: readonly string[] = Object.keys(ELEMENTS);

export const isElementType = (text: string): text is ElementType => Object.hasOwn(ELEMENTS, text);

export const elementBytes = (type: ElementType): number => ELEMENTS[type].bytes;

/** 0 where one size is 0, however large the others are. */
export const elementCount = (shape: readonly number[]): number =>
  shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1);

/** Sizes of one tensor; layers have five at most. */
export const DIMENSIONS_MAX = 16;

/** `[64, 3, 3, 3]` for a sentence. */
export const shapeText = (shape: readonly number[]): string =>
  shape.length > DIMENSIONS_MAX ? `of ${shape.length} sizes` : `[${shape}]`;

/**
 * A strided view of some elements, row by row. Offset and strides in elements of `bytes`, whose memory the
 * result may share.
 */
export function gather(options: {
  readonly bytes: Uint8Array;
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}): Float32Array {
  const { bytes, type, shape, strides } = options;
  const { bytes: width, read } = ELEMENTS[type];
  if (isPlain(options)) return new Float32Array(bytes.buffer, bytes.byteOffset, elementCount(shape));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array(elementCount(shape));
  const position = shape.map(() => 0);
  let at = options.offset;
  for (let i = 0; i < values.length; i++) {
    if ((at + 1) * width > bytes.length)
      throw new FleetError('dataLoss', `element ${at} of ${bytes.length / width} is read`);
    values[i] = read(view, at * width);
    for (let axis = position.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      position[axis]! += 1;
      if (position[axis]! < shape[axis]!) break;
      at -= strides[axis]! * position[axis]!;
      position[axis] = 0;
    }
  }
  return values;
}

/**
 * Whether the bytes need no change; that holds for nearly all of every file, so it saves a pass over them.
 */
function isPlain(options: Parameters<typeof gather>[0]): boolean {
  const { bytes, type, shape, strides, offset } = options;
  return (
    type === 'F32' &&
    offset === 0 &&
    bytes.byteOffset % 4 === 0 &&
    bytes.length >= 4 * elementCount(shape) &&
    strides.join() === contiguousStrides(shape).join()
  );
}

/** Strides of a tensor whose elements lie row by row. */
export function contiguousStrides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
}

const SCRATCH = new DataView(new ArrayBuffer(4));

/** The upper half of a float32. */
function bfloatToNumber(bits: number): number {
  SCRATCH.setUint32(0, bits << 16, true);
  return SCRATCH.getFloat32(0, true);
}

export interface StateTensor {
  readonly shape: readonly number[];
  /** Element type in the file, as safetensors names it. */
  readonly type: string;
  /** Values in row order, whatever the layout in the file; other types are rounded to float32. */
  read(): Promise<Float32Array>;
}
