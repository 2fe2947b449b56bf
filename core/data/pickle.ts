// Reads a Python pickle that holds nothing but data: tuples, lists, byte strings, text, numbers, truth values and numpy
// byte arrays. A pickle is a program; this machine knows only the opcodes that build data, and of all the globals a
// pickle may name only the constructors of numpy arrays, which it performs itself. Anything else is an error that names
// the opcode. What the data must look like is the caller's (verification-bin.ts).

import { FleetError } from '../errors.ts';

/** What a pickle may build here. Arrays of numpy come out as their bytes. */
export type PickleValue = null | boolean | number | string | Uint8Array | readonly PickleValue[];

type Global = { readonly kind: 'global'; readonly name: string };
/** A numpy array between REDUCE, which makes it, and BUILD, which fills it. */
type Unfilled = { readonly kind: 'ndarray'; bytes: Uint8Array | undefined };
type Dtype = { readonly kind: 'dtype'; readonly code: string };
type Mark = { readonly kind: 'mark' };
type Item = null | boolean | number | string | Uint8Array | Item[] | Global | Unfilled | Dtype | Mark;

interface Machine {
  readonly source: Buffer;
  at: number;
  readonly stack: Item[];
  readonly memo: Map<number, Item>;
  readonly name: string;
}

const MARK: Mark = { kind: 'mark' };

/** `name` is what an error calls the source. */
export function readPickle(bytes: Uint8Array, name: string): PickleValue {
  const machine: Machine = {
    source: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    at: 0,
    stack: [],
    memo: new Map(),
    name,
  };
  for (;;) {
    const offset = machine.at;
    const opcode = take(machine, 1)[0]!;
    if (opcode === 0x2e) return asData(machine, pop(machine), new Map());
    const perform = OPCODES[opcode];
    if (perform === undefined)
      throw fail(
        machine,
        `opcode ${opcodeName(opcode)} at byte ${offset} is not one that builds data; refused`,
      );
    perform(machine);
  }
}

/** The opcodes of the pickle format that only build data (Python's pickletools names them). */
const OPCODES: Readonly<Record<number, (machine: Machine) => void>> = {
  128: (m) => void take(m, 1), // PROTO
  149: (m) => void take(m, 8), // FRAME
  40: (m) => void m.stack.push(MARK), // MARK
  48: (m) => void pop(m), // POP
  78: (m) => void m.stack.push(null), // NONE
  136: (m) => void m.stack.push(true), // NEWTRUE
  137: (m) => void m.stack.push(false), // NEWFALSE
  74: (m) => void m.stack.push(take(m, 4).readInt32LE(0)), // BININT
  75: (m) => void m.stack.push(take(m, 1)[0]!), // BININT1
  77: (m) => void m.stack.push(take(m, 2).readUInt16LE(0)), // BININT2
  71: (m) => void m.stack.push(take(m, 8).readDoubleBE(0)), // BINFLOAT
  93: (m) => void m.stack.push([]), // EMPTY_LIST
  41: (m) => void m.stack.push([]), // EMPTY_TUPLE
  108: (m) => void m.stack.push(popToMark(m)), // LIST
  116: (m) => void m.stack.push(popToMark(m)), // TUPLE
  133: (m) => void m.stack.push(m.stack.splice(-1)), // TUPLE1
  134: (m) => void m.stack.push(m.stack.splice(-2)), // TUPLE2
  135: (m) => void m.stack.push(m.stack.splice(-3)), // TUPLE3
  97: (m) => append(m, [pop(m)]), // APPEND
  101: (m) => append(m, popToMark(m)), // APPENDS
  84: (m) => void m.stack.push(take(m, take(m, 4).readUInt32LE(0))), // BINSTRING
  85: (m) => void m.stack.push(take(m, take(m, 1)[0]!)), // SHORT_BINSTRING
  66: (m) => void m.stack.push(take(m, take(m, 4).readUInt32LE(0))), // BINBYTES
  67: (m) => void m.stack.push(take(m, take(m, 1)[0]!)), // SHORT_BINBYTES
  142: (m) => void m.stack.push(take(m, long(m))), // BINBYTES8
  150: (m) => void m.stack.push(take(m, long(m))), // BYTEARRAY8
  88: (m) => void m.stack.push(take(m, take(m, 4).readUInt32LE(0)).toString('utf8')), // BINUNICODE
  140: (m) => void m.stack.push(take(m, take(m, 1)[0]!).toString('utf8')), // SHORT_BINUNICODE
  141: (m) => void m.stack.push(take(m, long(m)).toString('utf8')), // BINUNICODE8
  113: (m) => void m.memo.set(take(m, 1)[0]!, top(m)), // BINPUT
  114: (m) => void m.memo.set(take(m, 4).readUInt32LE(0), top(m)), // LONG_BINPUT
  148: (m) => void m.memo.set(m.memo.size, top(m)), // MEMOIZE
  104: (m) => recall(m, take(m, 1)[0]!), // BINGET
  106: (m) => recall(m, take(m, 4).readUInt32LE(0)), // LONG_BINGET
  99: (m) => pushGlobal(m, line(m), line(m)), // GLOBAL
  147: (m) => stackGlobal(m), // STACK_GLOBAL
  82: (m) => reduce(m), // REDUCE
  98: (m) => build(m), // BUILD
};

/** Opcodes that a reader of foreign pickles is likely to meet here, named for the message. */
const REFUSED_NAMES: Readonly<Record<number, string>> = {
  105: 'INST',
  111: 'OBJ',
  129: 'NEWOBJ',
  146: 'NEWOBJ_EX',
  130: 'EXT1',
  131: 'EXT2',
  132: 'EXT4',
  80: 'PERSID',
  81: 'BINPERSID',
  125: 'EMPTY_DICT',
  100: 'DICT',
  115: 'SETITEM',
  117: 'SETITEMS',
  143: 'EMPTY_SET',
  144: 'ADDITEMS',
  145: 'FROZENSET',
  151: 'NEXT_BUFFER',
  152: 'READONLY_BUFFER',
  73: 'INT',
  76: 'LONG',
  83: 'STRING',
  86: 'UNICODE',
  112: 'PUT',
  103: 'GET',
  138: 'LONG1',
  139: 'LONG4',
};

const opcodeName = (opcode: number): string =>
  `${REFUSED_NAMES[opcode] ?? 'unknown'} (0x${opcode.toString(16).padStart(2, '0')})`;

/** numpy 2 moved its internals to numpy._core; the arrays are the same. */
const GLOBALS: ReadonlySet<string> = new Set([
  'numpy.core.multiarray _reconstruct',
  'numpy.core.numeric _frombuffer',
  'numpy ndarray',
  'numpy dtype',
]);

function pushGlobal(machine: Machine, module: string, attribute: string): void {
  const name = `${module.replace(/^numpy\._core\./, 'numpy.core.')} ${attribute}`;
  if (!GLOBALS.has(name))
    throw fail(machine, `GLOBAL names ${module}.${attribute}, which is not data; refused`);
  machine.stack.push({ kind: 'global', name });
}

function stackGlobal(machine: Machine): void {
  const attribute = pop(machine);
  const module = pop(machine);
  if (typeof module !== 'string' || typeof attribute !== 'string')
    throw fail(machine, 'STACK_GLOBAL without two names');
  pushGlobal(machine, module, attribute);
}

function reduce(machine: Machine): void {
  const args = pop(machine);
  const callee = pop(machine);
  if (!isKind(callee, 'global') || !Array.isArray(args))
    throw fail(machine, 'REDUCE of something that is not a known constructor; refused');
  if (callee.name === 'numpy dtype') {
    machine.stack.push({ kind: 'dtype', code: textOf(args[0] ?? null) });
    return;
  }
  if (callee.name === 'numpy.core.multiarray _reconstruct') {
    machine.stack.push({ kind: 'ndarray', bytes: undefined });
    return;
  }
  // _frombuffer(buffer, dtype, shape, order)
  if (callee.name === 'numpy.core.numeric _frombuffer') {
    machine.stack.push(arrayBytes(machine, args[0] ?? null, args[1] ?? null, args[2] ?? null));
    return;
  }
  throw fail(machine, `REDUCE calls ${callee.name}; refused`);
}

function build(machine: Machine): void {
  const state = pop(machine);
  const target = top(machine);
  if (isKind(target, 'dtype')) return; // Byte order and alignment: a byte has neither.
  if (!isKind(target, 'ndarray') || !Array.isArray(state))
    throw fail(machine, 'BUILD of something that is not a numpy array or dtype; refused');
  // (version, shape, dtype, is Fortran order, data)
  target.bytes = arrayBytes(machine, state[4] ?? null, state[2] ?? null, state[1] ?? null);
}

function arrayBytes(machine: Machine, data: Item, dtype: Item, shape: Item): Uint8Array {
  if (!isKind(dtype, 'dtype') || !/^[|<>=]?(u1|i1|S1|uint8)$/.test(dtype.code))
    throw fail(
      machine,
      `a numpy array of ${isKind(dtype, 'dtype') ? dtype.code : 'no dtype'}; images are uint8`,
    );
  if (!(data instanceof Uint8Array) || !Array.isArray(shape))
    throw fail(machine, 'a numpy array without bytes or shape');
  const size = shape.reduce<number>((product, n) => product * (typeof n === 'number' ? n : Number.NaN), 1);
  if (size !== data.length)
    throw fail(machine, `a numpy array of shape (${shape.join(', ')}) with ${data.length} bytes`);
  return data;
}

function append(machine: Machine, items: Item[]): void {
  const list = top(machine);
  if (!Array.isArray(list)) throw fail(machine, 'APPEND to something that is not a list');
  for (const item of items) list.push(item);
}

function recall(machine: Machine, key: number): void {
  const item = machine.memo.get(key);
  if (item === undefined) throw fail(machine, `memo ${key} is read before it is written`);
  machine.stack.push(item);
}

function popToMark(machine: Machine): Item[] {
  const mark = machine.stack.lastIndexOf(MARK);
  if (mark < 0) throw fail(machine, 'no MARK on the stack');
  const items = machine.stack.splice(mark + 1);
  machine.stack.pop();
  return items;
}

function pop(machine: Machine): Item {
  const item = machine.stack.pop();
  if (item === undefined) throw fail(machine, 'the stack is empty');
  return item;
}

function top(machine: Machine): Item {
  const item = machine.stack.at(-1);
  if (item === undefined) throw fail(machine, 'the stack is empty');
  return item;
}

function take(machine: Machine, length: number): Buffer {
  const end = machine.at + length;
  if (end > machine.source.length)
    throw fail(machine, `ends at byte ${machine.source.length} within a value of ${length} bytes`);
  const part = machine.source.subarray(machine.at, end);
  machine.at = end;
  return part;
}

function long(machine: Machine): number {
  const value = take(machine, 8).readBigUInt64LE(0);
  if (value > BigInt(machine.source.length))
    throw fail(machine, `a value of ${value} bytes in a file of ${machine.source.length}`);
  return Number(value);
}

function line(machine: Machine): string {
  const end = machine.source.indexOf(0x0a, machine.at);
  if (end < 0) throw fail(machine, 'a name without end');
  const text = machine.source.toString('latin1', machine.at, end);
  machine.at = end + 1;
  return text;
}

function isKind<K extends 'global' | 'ndarray' | 'dtype'>(
  item: Item,
  kind: K,
): item is Extract<Item, { kind: K }> {
  return item !== null && typeof item === 'object' && 'kind' in item && item.kind === kind;
}

/** Python 2 writes str where Python 3 writes text. */
const textOf = (item: Item): string =>
  item instanceof Uint8Array ? Buffer.from(item).toString('latin1') : String(item);

/**
 * `done` maps each list to its data, or to null while it is being walked: a memo can make a list contain itself, and one
 * that names a list twice at each of forty levels would otherwise unfold into more values than any memory holds.
 */
function asData(machine: Machine, item: Item, done: Map<Item, PickleValue>): PickleValue {
  if (Array.isArray(item)) {
    const known = done.get(item);
    if (known === null) throw fail(machine, 'a list that contains itself');
    if (known !== undefined) return known;
    done.set(item, null);
    const values = item.map((entry) => asData(machine, entry, done));
    done.set(item, values);
    return values;
  }
  if (isKind(item, 'ndarray')) {
    if (item.bytes === undefined) throw fail(machine, 'a numpy array that was never filled');
    return item.bytes;
  }
  if (item !== null && typeof item === 'object' && 'kind' in item)
    throw fail(machine, `a ${item.kind} where a value is expected`);
  return item;
}

function fail(machine: Machine, what: string): FleetError {
  return new FleetError('invalidArgument', `${machine.name}: pickle: ${what}`);
}
