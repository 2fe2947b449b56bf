// Messages of the contract whose bytes are well-formed and whose values are not what a sender means: extremes
// of numbers, texts that nobody expects, fields that are missing, doubled or in another order. Decides nothing
// about the message: it goes by the wire format alone (https://protobuf.dev/programming-guides/encoding).

import type { RandomStream } from '../../core/rng.ts';
import { draw } from './mutators.ts';

interface Field {
  readonly number: number;
  readonly wire: number;
  readonly value: bigint | Buffer;
}

/** The message with one of its values changed, at any depth; other bytes as they are where they are none. */
export function otherMessage(random: RandomStream, bytes: Buffer, depth = 0): Buffer {
  const fields = fieldsOf(bytes);
  if (fields === undefined || fields.length === 0) return bytes;
  const at = random.integer(fields.length);
  const field = fields[at]!;
  switch (random.integer(8)) {
    case 0:
      fields.splice(at, 1);
      break;
    case 1:
      fields.splice(random.integer(fields.length), 0, field);
      break;
    case 2:
      fields.push(...fields.splice(at, 1));
      break;
    default:
      fields[at] = { ...field, value: otherValue(random, field, depth) };
  }
  return bytesOf(fields);
}

const DOUBLES = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -1,
  -0,
  0.5,
  1e308,
  2 ** 53,
  -(2 ** 53),
  2 ** 60,
  5e-324,
];

function otherValue(random: RandomStream, { wire, value }: Field, depth: number): bigint | Buffer {
  if (typeof value === 'bigint') return BigInt.asUintN(64, BigInt(draw.extreme(random)));
  if (wire === 1) {
    const double = Buffer.alloc(8);
    double.writeDoubleLE(draw.pick(random, DOUBLES));
    return double;
  }
  if (wire === 5) return draw.bytes(random, 4);
  // A text and a message look the same on the wire.
  if (depth < 8 && random.chance(0.85)) return otherMessage(random, value, depth + 1);
  return random.chance(0.5)
    ? Buffer.from(draw.text(random))
    : Buffer.concat([value, Buffer.from(draw.text(random))]);
}

function fieldsOf(bytes: Buffer): Field[] | undefined {
  const fields: Field[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = varint(bytes, at);
    if (tag === undefined) return undefined;
    const [number, wire] = [Number(tag.value >> 3n), Number(tag.value & 7n)];
    at = tag.next;
    if (wire === 0) {
      const value = varint(bytes, at);
      if (value === undefined) return undefined;
      fields.push({ number, wire, value: value.value });
      at = value.next;
      continue;
    }
    const length = wire === 2 ? varint(bytes, at) : { value: wire === 1 ? 8n : 4n, next: at };
    if (length === undefined || ![1, 2, 5].includes(wire) || number === 0) return undefined;
    const end = length.next + Number(length.value);
    if (end > bytes.length) return undefined;
    fields.push({ number, wire, value: bytes.subarray(length.next, end) });
    at = end;
  }
  return fields;
}

function varint(bytes: Buffer, from: number): { value: bigint; next: number } | undefined {
  let value = 0n;
  for (let at = from; at < bytes.length && at < from + 10; at++) {
    value |= BigInt(bytes[at]! & 0x7f) << BigInt(7 * (at - from));
    if (bytes[at]! < 0x80) return { value, next: at + 1 };
  }
  return undefined;
}

function bytesOf(fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.flatMap(({ number, wire, value }) => {
      const tag = encodedVarint(BigInt(number * 8 + wire));
      if (typeof value === 'bigint') return [tag, encodedVarint(value)];
      return wire === 2 ? [tag, encodedVarint(BigInt(value.length)), value] : [tag, value];
    }),
  );
}

function encodedVarint(value: bigint): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left >>= 7n) {
    if (left < 0x80n) return Buffer.from([...bytes, Number(left)]);
    bytes.push(Number(left & 0x7fn) | 0x80);
  }
}
