// The pickles of verification sets: tuples, lists, byte strings, text, numbers, truth values and numpy byte arrays. Of all
// the globals a pickle may name only the constructors of numpy arrays are known, and they are performed here. The machine
// is core/pickle.ts'; what the data must look like is the caller's (verification-bin.ts).

import { type Dialect, type Machine, refused, runPickle } from '../pickle.ts';

/** What a pickle may build here. Arrays of numpy come out as their bytes. */
export type PickleValue = null | boolean | number | string | Uint8Array | readonly PickleValue[];

type Global = { readonly kind: 'global'; readonly name: string };
/** A numpy array between REDUCE, which makes it, and BUILD, which fills it. */
type Unfilled = { readonly kind: 'ndarray'; bytes: Uint8Array | undefined };
type Dtype = { readonly kind: 'dtype'; readonly code: string };
type Special = Global | Unfilled | Dtype;

/** `name` is what an error calls the source. */
export function readPickle(bytes: Uint8Array, name: string): PickleValue {
  const { machine, value } = runPickle(bytes, { name, dialect: NUMPY });
  return asData(machine, value, new Map());
}

/** numpy 2 moved its internals to numpy._core; the arrays are the same. */
const GLOBALS: ReadonlySet<string> = new Set([
  'numpy.core.multiarray _reconstruct',
  'numpy.core.numeric _frombuffer',
  'numpy ndarray',
  'numpy dtype',
]);

const NUMPY: Dialect = {
  opcodes: {},
  global(full) {
    const name = full.replace(/^numpy\._core\./, 'numpy.core.');
    return GLOBALS.has(name) ? { kind: 'global', name } : undefined;
  },
  call(machine, callee, args) {
    if (!isKind(callee, 'global')) return undefined;
    switch (callee.name) {
      case 'numpy dtype':
        return { kind: 'dtype', code: textOf(args[0]) };
      case 'numpy.core.multiarray _reconstruct':
        return { kind: 'ndarray', bytes: undefined };
      // _frombuffer(buffer, dtype, shape, order)
      case 'numpy.core.numeric _frombuffer':
        return arrayBytes(machine, args[0], args[1], args[2]);
      default:
        throw refused(machine, `REDUCE calls ${callee.name}; refused`);
    }
  },
  build(machine, target, state) {
    if (isKind(target, 'dtype')) return true; // Byte order and alignment: a byte has neither.
    if (!isKind(target, 'ndarray') || !Array.isArray(state)) return false;
    // (version, shape, dtype, is Fortran order, data)
    target.bytes = arrayBytes(machine, state[4], state[2], state[1]);
    return true;
  },
};

function arrayBytes(machine: Machine, data: unknown, dtype: unknown, shape: unknown): Uint8Array {
  if (!isKind(dtype, 'dtype') || !/^[|<>=]?(u1|i1|S1|uint8)$/.test(dtype.code))
    throw refused(
      machine,
      `a numpy array of ${isKind(dtype, 'dtype') ? dtype.code : 'no dtype'}; images are uint8`,
    );
  if (!(data instanceof Uint8Array) || !Array.isArray(shape))
    throw refused(machine, 'a numpy array without bytes or shape');
  const size = shape.reduce<number>((product, n) => product * (typeof n === 'number' ? n : Number.NaN), 1);
  if (size !== data.length)
    throw refused(machine, `a numpy array of shape (${shape.join(', ')}) with ${data.length} bytes`);
  return data;
}

function isKind<K extends Special['kind']>(item: unknown, kind: K): item is Extract<Special, { kind: K }> {
  return item !== null && typeof item === 'object' && 'kind' in item && item.kind === kind;
}

/** Python 2 writes str where Python 3 writes text. */
const textOf = (item: unknown): string =>
  item instanceof Uint8Array ? Buffer.from(item).toString('latin1') : String(item);

/**
 * `done` maps each list to its data, or to null while it is being walked: a memo can make a list contain itself, and one
 * that names a list twice at each of forty levels would otherwise unfold into more values than any memory holds.
 */
function asData(machine: Machine, item: unknown, done: Map<unknown, PickleValue>): PickleValue {
  if (Array.isArray(item)) {
    const known = done.get(item);
    if (known === null) throw refused(machine, 'a list that contains itself');
    if (known !== undefined) return known;
    done.set(item, null);
    const values = item.map((entry) => asData(machine, entry, done));
    done.set(item, values);
    return values;
  }
  if (isKind(item, 'ndarray')) {
    if (item.bytes === undefined) throw refused(machine, 'a numpy array that was never filled');
    return item.bytes;
  }
  if (item instanceof Uint8Array) return item;
  if (item !== null && typeof item === 'object' && 'kind' in item)
    throw refused(machine, `a ${String(item.kind)} where a value is expected`);
  return item as PickleValue;
}
