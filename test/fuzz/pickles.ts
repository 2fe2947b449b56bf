// Pickles that no Python has written: opcodes in any order, which use what is on the stack and in the memo as
// an enemy would. Decides how often they make sense.

import type { RandomStream } from '../../core/rng.ts';
import { draw } from './mutators.ts';

const text = (value: string): Buffer => Buffer.from(value, 'latin1');

function sized(opcode: number, part: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head[0] = opcode;
  head.writeUInt32LE(part.length, 1);
  return Buffer.concat([head, part]);
}

/** BINUNICODE, BINBYTES, BININT, GLOBAL. */
export const pickled = {
  text: (value: string) => sized(0x58, Buffer.from(value)),
  bytes: (value: Uint8Array) => sized(0x42, value),
  integer(value: number): Buffer {
    if (value <= 0x7fffffff) {
      const bytes = Buffer.alloc(5);
      bytes[0] = 0x4a;
      bytes.writeInt32LE(value, 1);
      return bytes;
    }
    return text(`L${BigInt(value)}L\n`);
  },
  global: (module: string, name: string) => text(`c${module}\n${name}\n`),
  put: (place: number) => Buffer.of(0x71, place),
  get: (place: number) => Buffer.of(0x68, place),
  /** A tuple of these. */
  tuple: (...items: readonly Uint8Array[]) => Buffer.concat([text('('), ...items, text('t')]),
  /** A call of a global with these arguments. */
  call: (callee: Uint8Array, ...args: readonly Uint8Array[]) =>
    Buffer.concat([callee, text('('), ...args, text('tR')]),
};

/** What both dialects know, and what neither does. */
const GLOBALS: readonly (readonly [string, string])[] = [
  ['numpy.core.multiarray', '_reconstruct'],
  ['numpy.core.multiarray', 'scalar'],
  ['numpy._core.numeric', '_frombuffer'],
  ['numpy', 'ndarray'],
  ['numpy', 'dtype'],
  ['_codecs', 'encode'],
  ['builtins', 'bytes'],
  ['__builtin__', 'bytearray'],
  ['builtins', 'bool'],
  ['builtins', 'list'],
  ['builtins', 'tuple'],
  ['collections', 'OrderedDict'],
  ['torch._utils', '_rebuild_tensor_v2'],
  ['torch._utils', '_rebuild_parameter'],
  ['torch', 'FloatStorage'],
  ['torch', 'LongStorage'],
  ['os', 'system'],
];
const TEXTS = [
  'u1',
  '<i8',
  '|S0',
  '|V4',
  'S12',
  'O',
  '|b1',
  'f4',
  'latin1',
  'storage',
  '0',
  'cpu',
  '<',
  '>',
  'C',
  'F',
];
/** Opcodes without arguments. */
const BARE = '(0N\x88\x89])ltae\x85\x86\x87R b12}dsuQ\x93\x94'.replace(' ', '');

/** Between one and two hundred opcodes, or some of them over and over. */
export function anyPickle(random: RandomStream): Buffer {
  const parts: Buffer[] = [Buffer.of(0x80, 2)];
  for (let left = random.integer(60); left > 0; left--) {
    const part = anyPart(random);
    const times = random.chance(0.05) ? random.integer(20_000) : 1;
    for (let n = 0; n < times && parts.length < 40_000; n++) parts.push(part);
  }
  parts.push(text(draw.pick(random, ['.', 'e.', '\x86.', 't.', '(((ttt.', ''])));
  return Buffer.concat(parts).subarray(0, 200_000);
}

function anyPart(random: RandomStream): Buffer {
  const count = () => draw.pick(random, [0, 1, 2, 3, 8, draw.extreme(random)]);
  switch (random.integer(9)) {
    case 0:
      return pickled.global(...draw.pick(random, GLOBALS));
    case 1:
      return pickled.text(draw.pick(random, TEXTS));
    case 2:
      return pickled.bytes(draw.bytes(random, draw.pick(random, [0, 1, 8, 1000])));
    case 3:
      return pickled.integer(count());
    case 4:
      return pickled.put(random.integer(4));
    case 5:
      return pickled.get(random.integer(4));
    case 6:
      return doubling(random);
    case 7:
      return pickled.call(pickled.global(...draw.pick(random, GLOBALS)), ...anyArguments(random));
    default:
      return Buffer.of(BARE.charCodeAt(random.integer(BARE.length)));
  }
}

const anyArguments = (random: RandomStream): Buffer[] =>
  Array.from({ length: random.integer(5) }, () => anyArgument(random));

function anyArgument(random: RandomStream): Buffer {
  const numbers = () =>
    Array.from({ length: random.integer(4) }, () => pickled.integer(draw.extreme(random)));
  const dtype = () => pickled.call(pickled.global('numpy', 'dtype'), pickled.text(draw.pick(random, TEXTS)));
  const storage = () =>
    Buffer.concat([
      pickled.tuple(
        pickled.text('storage'),
        pickled.global('torch', 'FloatStorage'),
        pickled.text('0'),
        pickled.text('cpu'),
        pickled.integer(random.chance(0.5) ? 8 : draw.extreme(random)),
      ),
      text('Q'),
    ]);
  return draw.pick(random, [
    () => pickled.tuple(...numbers()),
    dtype,
    storage,
    () => pickled.integer(draw.extreme(random)),
    () => pickled.bytes(draw.bytes(random, random.integer(9))),
    () => pickled.text(draw.pick(random, TEXTS)),
    () => pickled.get(random.integer(4)),
  ])();
}

/** A list that names the same list twice, sixty levels deep. */
function doubling(random: RandomStream): Buffer {
  const level = Buffer.from(']q\x01(h\x00h\x00eh\x01q\x00', 'latin1');
  return Buffer.concat([text(']q\x00'), ...Array.from({ length: random.integer(60) }, () => level)]);
}
