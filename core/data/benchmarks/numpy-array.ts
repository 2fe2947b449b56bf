// The elements of a numpy array or scalar from its bytes (numpy's array interface: kind, size, byte order).
// Decides which types are known: truth values, integers, floats, bytes of fixed length, and objects, whose
// values are in the pickle.

import { type Machine, refused } from '../../pickle-machine.ts';
import { excerpt } from '../../text/printable.ts';

export interface ArrayType {
  /** numpy's letter: b truth, i and u integers, f floats, S and V bytes, O objects. */
  readonly kind: 'b' | 'i' | 'u' | 'f' | 'S' | 'V' | 'O';
  /** Bytes of an element. */
  readonly size: number;
  readonly bigEndian: boolean;
}

/** Either the array's own bytes, for elements of one byte, or a value for each element. */
export interface Elements {
  readonly bytes?: Uint8Array;
  readonly values?: readonly (boolean | number | bigint | Uint8Array)[];
}

/** `code`: `u1`, `<i8`, `|b1`, `S12`, or a name as `uint8`. */
export function arrayType(machine: Machine, code: string): ArrayType {
  const named: Readonly<Record<string, string>> = {
    bool: 'b1',
    uint8: 'u1',
    int8: 'i1',
    int64: 'i8',
    int32: 'i4',
  };
  const match = /^([|<>=]?)([biufSVO])(\d+)$/.exec(named[code] ?? code);
  const kind = match?.[2] as ArrayType['kind'] | undefined;
  const size = Number(match?.[3]);
  // Elements of no bytes would make an array of any length from nothing.
  const sizes: Readonly<Record<string, readonly number[]>> = {
    b: [1],
    i: [1, 2, 4, 8],
    u: [1, 2, 4, 8],
    f: [2, 4, 8],
  };
  if (
    kind === undefined ||
    (sizes[kind] !== undefined && !sizes[kind].includes(size)) ||
    size > 2 ** 30 ||
    (size === 0 && kind !== 'O')
  )
    throw refused(
      machine,
      `a numpy array of ${excerpt(code, 20)}; images are bytes, truth values are booleans or numbers`,
    );
  return { kind, size, bigEndian: match?.[1] === '>' };
}

export function elementsOf(
  machine: Machine,
  { type, data, count }: { readonly type: ArrayType; readonly data: Uint8Array; readonly count: number },
): Elements {
  if (data.length !== count * type.size)
    throw refused(
      machine,
      `a numpy array of ${count} elements of ${type.size} bytes with ${data.length} bytes`,
    );
  if ((type.kind === 'u' || type.kind === 'i') && type.size === 1 && count !== 1) return { bytes: data };
  // A single byte is a truth value as well as an image of one byte, which none is.
  const view = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return { values: Array.from({ length: count }, (_, i) => element(machine, type, view, i * type.size)) };
}

function element(
  machine: Machine,
  { kind, size, bigEndian }: ArrayType,
  view: Buffer,
  at: number,
): boolean | number | bigint | Uint8Array {
  const part = view.subarray(at, at + size);
  switch (kind) {
    case 'b':
      return part[0] !== 0;
    case 'S':
      return withoutPadding(part);
    case 'V':
      return part;
    case 'f':
      if (size === 8) return bigEndian ? part.readDoubleBE(0) : part.readDoubleLE(0);
      if (size === 4) return bigEndian ? part.readFloatBE(0) : part.readFloatLE(0);
      break;
    case 'i':
      if (size === 8) return number(bigEndian ? part.readBigInt64BE(0) : part.readBigInt64LE(0));
      return bigEndian ? part.readIntBE(0, size) : part.readIntLE(0, size);
    case 'u':
      if (size === 8) return number(bigEndian ? part.readBigUInt64BE(0) : part.readBigUInt64LE(0));
      return bigEndian ? part.readUIntBE(0, size) : part.readUIntLE(0, size);
    case 'O':
      break;
  }
  throw refused(machine, `a numpy array of ${kind}${size}; refused`);
}

const number = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;

/** Strings of one length are filled up with zeros. */
function withoutPadding(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return bytes.subarray(0, end);
}
