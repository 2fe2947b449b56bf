// The pickles of verification sets, as any Python writes them: tuples, lists, bytes in all their forms,
// numbers, truth values, and numpy's scalars and arrays. Decides which globals stand for what (bytes and text
// of Python, constructors of numpy); all of them are performed here, and nothing is looked up.

import { type Dialect, type Machine, refused, runPickle, spend, textOf } from '../../pickle-machine.ts';
import { type ArrayType, arrayType, type Elements, elementsOf } from './numpy-array.ts';

/**
 * What a pickle may build here. Arrays of bytes come out as bytes, other arrays as lists, scalars of numpy as
 * their value.
 */
export type PickleValue = null | boolean | number | bigint | string | Uint8Array | readonly PickleValue[];

type Global = { readonly kind: 'global'; readonly name: string };
/** A numpy array between REDUCE, which makes it, and BUILD, which fills it. */
type Unfilled = { readonly kind: 'ndarray'; value: unknown };
type Dtype = { readonly kind: 'dtype'; type: ArrayType };
type Special = Global | Unfilled | Dtype;

/** `name`: the source's name in errors. */
export function readPickle(bytes: Uint8Array, name: string): PickleValue {
  const { machine, value } = runPickle(bytes, { name, dialect: PYTHON });
  return asData(machine, value, new Map());
}

/**
 * One name for both places of a global: numpy 2 has moved its internals to numpy._core, and Python 3 to
 * builtins and copyreg.
 */
const GLOBALS: ReadonlySet<string> = new Set([
  'numpy.core.multiarray _reconstruct',
  'numpy.core.multiarray scalar',
  'numpy.core.numeric _frombuffer',
  'numpy ndarray',
  'numpy dtype',
  '_codecs encode',
  'builtins bytes',
  'builtins bytearray',
  'builtins bool',
  'builtins int',
  'builtins list',
  'builtins tuple',
]);

const PYTHON: Dialect = {
  opcodes: {},
  global(full) {
    const name = full.replace(/^numpy\._core\./, 'numpy.core.').replace(/^__builtin__ /, 'builtins ');
    return GLOBALS.has(name) ? { kind: 'global', name } : undefined;
  },
  call(machine, callee, args) {
    if (!isKind(callee, 'global')) return undefined;
    const [first, second] = args;
    switch (callee.name) {
      case 'numpy dtype':
        return { kind: 'dtype', type: arrayType(machine, textOf(machine, first)) };
      case 'numpy.core.multiarray _reconstruct':
        return { kind: 'ndarray', value: undefined };
      case 'numpy.core.multiarray scalar':
        return scalar(machine, typeOf(machine, first), second);
      // _frombuffer(buffer, dtype, shape, order)
      case 'numpy.core.numeric _frombuffer':
        return arrayValue(machine, {
          data: first,
          dtype: second,
          shape: args[2],
          fortran: textOf(machine, args[3]) === 'F',
        });
      // Protocols before 3 have no opcode for bytes: a call encodes text again.
      case '_codecs encode':
      case 'builtins bytes':
      case 'builtins bytearray':
        return bytesOf(machine, callee.name, args);
      case 'builtins bool':
        return first === true || first === 1;
      case 'builtins int':
        return typeof first === 'number' ? first : undefined;
      case 'builtins list':
      case 'builtins tuple':
        return Array.isArray(first) ? first : args.length === 0 ? [] : undefined;
      default:
        throw refused(machine, `REDUCE calls ${callee.name}; refused`);
    }
  },
  build(machine, target, state) {
    if (!Array.isArray(state)) return false;
    // (version, byte order, ...): an array's bytes are read in it.
    if (isKind(target, 'dtype')) {
      if (textOf(machine, state[1]) === '>') target.type = { ...target.type, bigEndian: true };
      return true;
    }
    if (!isKind(target, 'ndarray')) return false;
    // (version, shape, dtype, is Fortran order, data)
    const [, shape, dtype, fortran, data] = state as unknown[];
    target.value = arrayValue(machine, { data, dtype, shape, fortran: fortran === true || fortran === 1 });
    return true;
  },
};

function bytesOf(machine: Machine, name: string, args: readonly unknown[]): Uint8Array {
  const [value, encoding] = args;
  if (value === undefined) return new Uint8Array(0);
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'string' || Array.isArray(value)) spend(machine, value.length);
  if (typeof value === 'string') {
    const named = encoding === undefined ? 'latin1' : textOf(machine, encoding);
    if (/^(latin-?1|iso-?8859-?1)$/i.test(named) && isLatin1(value)) return Buffer.from(value, 'latin1');
    if (/^utf-?8$/i.test(named)) return Buffer.from(value, 'utf8');
  }
  if (Array.isArray(value) && value.every((n) => Number.isInteger(n) && n >= 0 && n <= 255))
    return Uint8Array.from(value as number[]);
  throw refused(machine, `${name.split(' ')[1]} of something that is no text in Latin-1 and no bytes`);
}

/** Whether every character stands for one byte, as in bytes that somebody loaded with encoding="latin1". */
export function isLatin1(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 255) return false;
  return true;
}

function typeOf(machine: Machine, dtype: unknown): ArrayType {
  if (!isKind(dtype, 'dtype')) throw refused(machine, 'a numpy array or scalar without dtype');
  return dtype.type;
}

function scalar(machine: Machine, type: ArrayType, data: unknown): unknown {
  // A scalar of type object has no bytes; it is the object itself.
  if (type.kind === 'O') return data;
  const { values, bytes } = elementsOf(machine, { type, data: dataOf(machine, data), count: 1 });
  return bytes ?? values![0]!;
}

/**
 * An array's data as numpy writes it: bytes, or the same as text where Python 3 has read and written Python
 * 2's.
 */
function dataOf(machine: Machine, data: unknown): Uint8Array {
  if (data instanceof Uint8Array || typeof data === 'string') spend(machine, data.length);
  if (data instanceof Uint8Array) return data;
  if (typeof data === 'string' && isLatin1(data)) return Buffer.from(data, 'latin1');
  throw refused(machine, 'a numpy array or scalar without bytes');
}

function arrayValue(
  machine: Machine,
  array: { data: unknown; dtype: unknown; shape: unknown; fortran: boolean },
): unknown {
  const type = typeOf(machine, array.dtype);
  const shape: unknown = typeof array.shape === 'number' ? [array.shape] : array.shape;
  if (!isShape(shape))
    throw refused(machine, `a numpy array without a shape of ${DIMENSIONS_MAX} sizes at most`);
  // An array of no elements is an empty list, whatever its other sizes are.
  const sizes = shape.includes(0) ? [0] : shape;
  const count = sizes.reduce((product, n) => product * n, 1);
  if (array.fortran && sizes.filter((n) => n > 1).length > 1)
    throw refused(machine, 'a numpy array in Fortran order; save it with numpy.ascontiguousarray');
  if (type.kind === 'O') {
    if (!Array.isArray(array.data) || array.data.length !== count)
      throw refused(machine, 'a numpy array of objects without as many objects as its shape has');
    spend(machine, sizes.length * count);
    return nested(array.data, sizes);
  }
  const elements: Elements = elementsOf(machine, { type, data: dataOf(machine, array.data), count });
  spend(machine, sizes.length * count);
  // An encoded image, whatever its shape: versions of OpenCV make it a column or a row.
  if (elements.bytes !== undefined) return elements.bytes;
  return nested(elements.values!, sizes);
}

/** Sizes of an array; numpy itself has 64 at most, and sets have two. */
const DIMENSIONS_MAX = 8;

const isShape = (shape: unknown): shape is number[] =>
  Array.isArray(shape) &&
  shape.length <= DIMENSIONS_MAX &&
  shape.every((size) => Number.isSafeInteger(size) && size >= 0);

/** A flat list as lists in lists. */
function nested(values: readonly unknown[], sizes: readonly number[]): unknown {
  const [first, ...rest] = sizes;
  if (first === undefined) return values[0];
  if (rest.length === 0) return values;
  const length = values.length / Math.max(1, first);
  return Array.from({ length: first }, (_, i) => nested(values.slice(i * length, (i + 1) * length), rest));
}

function isKind<K extends Special['kind']>(item: unknown, kind: K): item is Extract<Special, { kind: K }> {
  return item !== null && typeof item === 'object' && 'kind' in item && item.kind === kind;
}

/** Lists within lists; a set has two. */
const DEPTH_MAX = 100;

/**
 * `done` maps each list to its data, or to null while it is being walked: a memo can make a list contain
 * itself, and one that names a list twice at each of forty levels would otherwise unfold into more values
 * than any memory holds.
 */
function asData(machine: Machine, item: unknown, done: Map<unknown, PickleValue>, depth = 0): PickleValue {
  if (depth > DEPTH_MAX) throw refused(machine, `lists are nested more than ${DEPTH_MAX} deep`);
  if (isKind(item, 'ndarray')) {
    if (item.value === undefined) throw refused(machine, 'a numpy array that was never filled');
    return asData(machine, item.value, done, depth + 1);
  }
  if (Array.isArray(item)) {
    const known = done.get(item);
    if (known === null) throw refused(machine, 'a list that contains itself');
    if (known !== undefined) return known;
    done.set(item, null);
    const values = item.map((entry) => asData(machine, entry, done, depth + 1));
    done.set(item, values);
    return values;
  }
  if (item instanceof Uint8Array) return item;
  if (item !== null && typeof item === 'object' && 'kind' in item)
    throw refused(machine, `a ${String(item.kind)} where a value is expected`);
  return item as PickleValue;
}
