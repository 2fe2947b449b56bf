// A restricted machine for Python's pickles. A pickle is a program: opcodes push values on a stack, put them
// together and may call anything that Python can import. This machine knows the opcodes that build plain data
// and no import. What a reader allows beyond that (names of globals, calls, dictionaries) is its dialect,
// which performs every call itself, so nothing that a file names is looked up or executed; any other opcode
// or global is an error with its name.
//
// Bounds follow from the bytes: every opcode consumes at least one, and a length that a file claims is
// compared with what is left before anything is made for it. A call may make much of a value that the memo
// names in two bytes, again and again, so a dialect accounts for what its calls make (`spend`). Shared and
// cyclic values come from the memo; whoever walks the result must expect both.

import { FleetError } from './errors.ts';
import { excerpt, foundText } from './text/printable.ts';

/** Lists and tuples are arrays; everything else is what the dialect makes of it. */
export interface Machine {
  readonly source: Buffer;
  /** Next byte to read. */
  at: number;
  readonly stack: unknown[];
  readonly memo: Map<number, unknown>;
  /** Bytes and values that calls have made so far. */
  made: number;
  /** The source's name in errors. */
  readonly name: string;
  readonly dialect: Dialect;
}

export type Perform = (machine: Machine) => void;

export interface Dialect {
  /** Opcodes beyond those that every pickle of data needs. */
  readonly opcodes: Readonly<Record<number, Perform>>;
  /** The value that stands for a global, `module name`; undefined refuses it. */
  readonly global: (name: string) => unknown;
  /** The result of calling one of those values; undefined refuses it. */
  readonly call: (machine: Machine, callee: unknown, args: readonly unknown[]) => unknown;
  /** Gives an object its state and returns true, or false to refuse it. */
  readonly build: (machine: Machine, target: unknown, state: unknown) => boolean;
}

const MARK = { kind: 'mark' } as const;

/**
 * Opcodes of one pickle. Each may make a value of some 200 bytes from one byte, so the size of a file does
 * not bound the memory that its pickle takes. A tensor takes some 35 opcodes, an image in a verification set
 * three.
 */
const OPCODES_MAX = 2 ** 21;

/** One pickle from byte `at` on. `end` is the byte after it: PyTorch's old files hold several in a row. */
export function runPickle(
  bytes: Uint8Array,
  options: { readonly name: string; readonly dialect: Dialect; readonly at?: number },
): { machine: Machine; value: unknown; end: number } {
  const machine: Machine = {
    source: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    at: options.at ?? 0,
    stack: [],
    memo: new Map(),
    made: 0,
    name: options.name,
    dialect: options.dialect,
  };
  for (let performed = 0; ; performed++) {
    if (performed === OPCODES_MAX)
      throw refused(machine, `more than ${OPCODES_MAX} opcodes, which no file of tensors or images needs`);
    const offset = machine.at;
    const opcode = take(machine, 1)[0]!;
    if (opcode === 0x2e) return { machine, value: pop(machine), end: machine.at };
    const perform = OPCODES[opcode] ?? machine.dialect.opcodes[opcode];
    if (perform === undefined)
      throw refused(
        machine,
        `opcode ${opcodeName(opcode)} at byte ${offset} is not one that builds data; refused`,
      );
    perform(machine);
  }
}

/** How many times the bytes of a pickle its calls may make, and what a small one may make in any case. */
const MADE_TIMES = 8;
const MADE_LEAST = 1 << 20;

/** Accounts for `count` bytes or values that a call makes; to be called before they are made. */
export function spend(machine: Machine, count: number): void {
  machine.made += count;
  if (machine.made > MADE_TIMES * machine.source.length + MADE_LEAST)
    throw refused(machine, `its calls make more than ${MADE_TIMES} times the bytes that it has`);
}

/** Bytes of a name or code; no writer has longer ones. */
const TEXT_BYTES_MAX = 4096;

/** A name or code as text. Python 2 writes str, which is bytes, where Python 3 writes text. */
export function textOf(machine: Machine, item: unknown): string {
  if (typeof item === 'number' || typeof item === 'boolean' || item === null || item === undefined)
    return String(item);
  if (!(typeof item === 'string' || item instanceof Uint8Array) || item.length > TEXT_BYTES_MAX)
    throw refused(machine, `${foundText(item)} where a name is expected`);
  return typeof item === 'string' ? item : Buffer.from(item).toString('latin1');
}

/** The opcodes of the pickle format that only build data (Python's pickletools names them). */
const OPCODES: Readonly<Record<number, Perform>> = {
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
  49: (m) => void popToMark(m), // POP_MARK
  50: (m) => void m.stack.push(top(m)), // DUP
  138: (m) => void m.stack.push(longOf(take(m, take(m, 1)[0]!))), // LONG1
  139: (m) => void m.stack.push(longOf(take(m, longLength(m)))), // LONG4
  // Protocol 0 is text: every argument ends with its line.
  73: (m) => void m.stack.push(intLine(m)), // INT
  76: (m) => void m.stack.push(longLine(m)), // LONG
  70: (m) => void m.stack.push(float(m, line(m))), // FLOAT
  83: (m) => void m.stack.push(quoted(m, line(m))), // STRING
  86: (m) => void m.stack.push(rawUnicode(m, line(m))), // UNICODE
  112: (m) => void m.memo.set(integer(m, line(m)), top(m)), // PUT
  103: (m) => recall(m, integer(m, line(m))), // GET
};

/** Opcodes that are refused and that foreign pickles are likely to have, by name for the message. */
const NAMES: Readonly<Record<number, string>> = {
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
};

const opcodeName = (opcode: number): string =>
  `${NAMES[opcode] ?? 'unknown'} (0x${opcode.toString(16).padStart(2, '0')})`;

function pushGlobal(machine: Machine, module: string, attribute: string): void {
  const item = machine.dialect.global(`${module} ${attribute}`);
  if (item === undefined)
    throw refused(
      machine,
      `GLOBAL names ${excerpt(module)}.${excerpt(attribute)}, which is not data; refused`,
    );
  machine.stack.push(item);
}

function stackGlobal(machine: Machine): void {
  const attribute = pop(machine);
  const module = pop(machine);
  if (typeof module !== 'string' || typeof attribute !== 'string')
    throw refused(machine, 'STACK_GLOBAL without two names');
  pushGlobal(machine, module, attribute);
}

function reduce(machine: Machine): void {
  const args = pop(machine);
  const callee = pop(machine);
  const result = Array.isArray(args) ? machine.dialect.call(machine, callee, args) : undefined;
  if (result === undefined)
    throw refused(machine, 'REDUCE of something that is not a known constructor; refused');
  machine.stack.push(result);
}

function build(machine: Machine): void {
  const state = pop(machine);
  if (!machine.dialect.build(machine, top(machine), state))
    throw refused(machine, 'BUILD of something that takes no state here; refused');
}

/** Bytes of a whole number: as many as protocols before 2 have digits for. */
const LONG_BYTES_MAX = 255;

function longLength(machine: Machine): number {
  const length = take(machine, 4).readUInt32LE(0);
  if (length > LONG_BYTES_MAX) throw refused(machine, `a whole number of ${length} bytes`);
  return length;
}

/** Two's complement, little-endian. Beyond 2^53 it is a bigint, which no reader takes for a count. */
function longOf(bytes: Buffer): number | bigint {
  if (bytes.length === 0) return 0;
  const digits = Buffer.from(bytes).reverse().toString('hex');
  const value = BigInt.asIntN(bytes.length * 8, BigInt(`0x${digits}`));
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/** Truth values are 00 and 01 among the integers: protocols 0 and 1 have no opcode for them. */
function intLine(machine: Machine): number | boolean {
  const text = line(machine);
  return text === '00' ? false : text === '01' ? true : integer(machine, text);
}

function integer(machine: Machine, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value)) throw noNumber(machine, text);
  return value;
}

/** A whole number of any length in text; beyond 2^53 a bigint, as in binary. */
function longLine(machine: Machine): number | bigint {
  const text = line(machine).replace(/L$/, '');
  if (!/^-?\d{1,400}$/.test(text)) throw noNumber(machine, text);
  return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text);
}

function float(machine: Machine, text: string): number {
  const value = /^-?inf$/.test(text) ? Number(text.replace('inf', 'Infinity')) : Number(text);
  if (text.trim() === '' || (Number.isNaN(value) && text !== 'nan')) throw noNumber(machine, text);
  return value;
}

const noNumber = (machine: Machine, text: string): FleetError =>
  refused(machine, `${foundText(text.slice(0, 30))} where a number is expected`);

/** What a letter after a backslash stands for in a string literal of Python. */
const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** A string literal of Python 2, as repr() writes it: bytes. */
function quoted(machine: Machine, text: string): Buffer {
  const literal = text.trim();
  const quote = literal[0];
  if (literal.length < 2 || (quote !== "'" && quote !== '"') || literal.at(-1) !== quote)
    throw refused(machine, 'STRING without quotes');
  const plain = literal
    .slice(1, -1)
    .replace(/\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)/gs, (_, after: string) => unescaped(after));
  return Buffer.from(plain, 'latin1');
}

/** The character that an escape stands for; one without meaning keeps its backslash. */
function unescaped(after: string): string {
  if (after.length === 3 && after[0] === 'x') return String.fromCharCode(Number.parseInt(after.slice(1), 16));
  if (/^[0-7]/.test(after)) return String.fromCharCode(Number.parseInt(after, 8) & 255);
  return ESCAPES[after] ?? (`'"\\`.includes(after) ? after : `\\${after}`);
}

/** Text in Python's raw-unicode-escape: Latin-1, with backslash u or U for every other character. */
function rawUnicode(machine: Machine, text: string): string {
  return text.replace(/\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g, (_, short?: string, long?: string) => {
    const code = Number.parseInt(short ?? long ?? '', 16);
    if (code > 0x10ffff) throw refused(machine, `UNICODE with character ${code}`);
    return short === undefined ? String.fromCodePoint(code) : String.fromCharCode(code);
  });
}

function append(machine: Machine, items: readonly unknown[]): void {
  const list = top(machine);
  if (!Array.isArray(list)) throw refused(machine, 'APPEND to something that is not a list');
  for (const item of items) list.push(item);
}

function recall(machine: Machine, key: number): void {
  if (!machine.memo.has(key)) throw refused(machine, `memo ${key} is read before it is written`);
  machine.stack.push(machine.memo.get(key));
}

export function popToMark(machine: Machine): unknown[] {
  const mark = machine.stack.lastIndexOf(MARK);
  if (mark < 0) throw refused(machine, 'no MARK on the stack');
  const items = machine.stack.splice(mark + 1);
  machine.stack.pop();
  return items;
}

export function pop(machine: Machine): unknown {
  if (machine.stack.length === 0) throw refused(machine, 'the stack is empty');
  return machine.stack.pop();
}

export function top(machine: Machine): unknown {
  if (machine.stack.length === 0) throw refused(machine, 'the stack is empty');
  return machine.stack.at(-1);
}

/**
 * Key in the details of the error for a pickle that goes on beyond the bytes given: a caller that has more
 * bytes tries again.
 */
export const ENDS_EARLY = 'endsEarly';

function take(machine: Machine, length: number): Buffer {
  const end = machine.at + length;
  if (end > machine.source.length)
    throw refused(machine, `ends at byte ${machine.source.length} within a value of ${length} bytes`, {
      [ENDS_EARLY]: true,
    });
  const part = machine.source.subarray(machine.at, end);
  machine.at = end;
  return part;
}

/** A length of eight bytes. */
function long(machine: Machine): number {
  const value = take(machine, 8).readBigUInt64LE(0);
  if (value > BigInt(machine.source.length))
    throw refused(machine, `a value of ${value} bytes in ${machine.source.length}`, { [ENDS_EARLY]: true });
  return Number(value);
}

/** Text up to a newline. */
export function line(machine: Machine): string {
  const end = machine.source.indexOf(0x0a, machine.at);
  if (end < 0) throw refused(machine, 'a name without end', { [ENDS_EARLY]: true });
  const text = machine.source.toString('latin1', machine.at, end);
  machine.at = end + 1;
  return text;
}

export function refused(machine: Machine, what: string, details: Record<string, unknown> = {}): FleetError {
  return new FleetError('invalidArgument', `${machine.name}: pickle: ${what}`, { details });
}
