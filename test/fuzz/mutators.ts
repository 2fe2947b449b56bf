// Changes to valid inputs that a careless program, a bad disk or an enemy makes. Decides which, from a seeded
// stream alone, so that a case is the same wherever it is repeated.

import type { RandomStream } from '../../core/rng.ts';
import type { Sections } from './target.ts';

/** Inputs grow to this at most: what is bounded by the input is bounded then. */
const BYTES_MAX = 256 << 10;
/** Lengths, counts and offsets at which arithmetic goes wrong. */
const EXTREMES = [
  ...[0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x10000, 0xffffff, 2 ** 26, 2 ** 29, 2 ** 30],
  ...[2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 2 ** 64 - 1],
];
/** The same in text, and what is no number. */
const NUMBER_TEXTS = [
  ...['-1', '0', '00', '1e309', '-1e309', 'NaN', 'Infinity', '1.5', '0x10', '2147483648', '4294967295'],
  ...['9007199254740991', '9007199254740993', '1e15', '99999999999999999999999999', '', '9'.repeat(400)],
];
/** Characters that a terminal, a log or a subject must not get, and names that objects have already. */
const TEXTS = [
  ...['\u001b[31m', '\n', '\r\n', '\0', '\u202e', '\ufeff', '\u2028', '\ud800', '../../etc/passwd', '*', '>'],
  ...[
    '.',
    '__proto__',
    'constructor',
    'toString',
    '{}',
    '[]',
    'null',
    'a'.repeat(5_000),
    '\u{1f600}',
    '"',
    '\\',
  ],
];
/** Values that no field expects. */
const VALUES: readonly unknown[] = [
  ...[null, true, false, [], {}, '', [[]], -1, 0.5, 2 ** 31, 2 ** 53, 1e308, -0, '1', [null], { kind: 'x' }],
];

const pick = <T>(random: RandomStream, items: readonly T[]): T => items[random.integer(items.length)]!;

/** One to four changes, each in one of the sections. */
export function mutated(random: RandomStream, corpus: readonly Sections[]): Sections {
  const sections: Buffer[] = pick(random, corpus).map((section) => Buffer.from(section));
  for (let left = 1 + random.integer(4); left > 0; left--) {
    const at = random.integer(sections.length);
    if (sections.length > 1 && random.chance(0.05)) {
      const other = random.integer(sections.length);
      [sections[at], sections[other]] = [sections[other]!, sections[at]!];
    } else {
      const others = pick(random, corpus)[at] ?? Buffer.alloc(0);
      sections[at] = changed(random, sections[at]!, Buffer.from(others)).subarray(0, BYTES_MAX);
    }
  }
  return sections;
}

type Change = (random: RandomStream, bytes: Buffer, other: Buffer) => Buffer;

const place = (random: RandomStream, bytes: Buffer) => random.integer(bytes.length + 1);

function range(random: RandomStream, bytes: Buffer): readonly [number, number] {
  const from = place(random, bytes);
  const most = random.chance(0.5) ? 16 : bytes.length;
  return [from, Math.min(bytes.length, from + 1 + random.integer(most + 1))];
}

const put = (bytes: Buffer, from: number, to: number, part: Uint8Array): Buffer =>
  Buffer.concat([bytes.subarray(0, from), part, bytes.subarray(to)]);

function randomBytes(random: RandomStream, count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, () => random.integer(256)));
}

/** A number of 1, 2, 4 or 8 bytes in either order. */
function numberBytes(random: RandomStream): Buffer {
  const value = BigInt(pick(random, EXTREMES));
  const size = pick(random, [1, 2, 4, 4, 8, 8]);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
  const own = bytes.subarray(0, size);
  return random.chance(0.3) ? Buffer.from(own).reverse() : own;
}

const CHANGES: readonly Change[] = [
  // A bit, a byte, a number that may be a length.
  (random, bytes) => {
    const at = random.integer(Math.max(1, bytes.length));
    return put(bytes, at, at + 1, Buffer.of((bytes[at] ?? 0) ^ (1 << random.integer(8))));
  },
  (random, bytes) => {
    const at = place(random, bytes);
    return put(bytes, at, at + 1, randomBytes(random, 1));
  },
  (random, bytes) => {
    const at = place(random, bytes);
    const number = numberBytes(random);
    return put(bytes, at, at + number.length, number);
  },
  // The same in the first bytes, where headers are.
  (random, bytes) => {
    const at = random.integer(Math.min(64, bytes.length) + 1);
    const number = numberBytes(random);
    return put(bytes, at, at + number.length, number);
  },
  // Cut off, cut out, doubled, moved.
  (random, bytes) => bytes.subarray(0, place(random, bytes)),
  (random, bytes) => bytes.subarray(place(random, bytes)),
  (random, bytes) => put(bytes, ...range(random, bytes), Buffer.alloc(0)),
  (random, bytes) => {
    const [from, to] = range(random, bytes);
    const times = random.chance(0.1) ? 1 + random.integer(64) : 1;
    const part = bytes.subarray(from, to);
    const doubled = Buffer.concat(Array.from({ length: times }, () => part));
    return put(bytes, to, to, doubled);
  },
  (random, bytes) => {
    const [from, to] = range(random, bytes);
    const part = Buffer.from(bytes.subarray(from, to));
    const rest = put(bytes, from, to, Buffer.alloc(0));
    const at = place(random, rest);
    return put(rest, at, at, part);
  },
  // The end or a part of another input, and noise.
  (random, bytes, other) =>
    Buffer.concat([bytes.subarray(0, place(random, bytes)), other.subarray(place(random, other))]),
  (random, bytes, other) => {
    const [from, to] = range(random, other);
    const at = place(random, bytes);
    return put(bytes, at, at, other.subarray(from, to));
  },
  (random, bytes) => {
    const at = place(random, bytes);
    return put(bytes, at, at, randomBytes(random, 1 + random.integer(32)));
  },
  (random) => randomBytes(random, random.integer(256)),
  // Text.
  (random, bytes) => replacedNumber(random, bytes),
  (random, bytes) => {
    const at = place(random, bytes);
    return put(bytes, at, at, Buffer.from(pick(random, TEXTS)));
  },
  (random, bytes) => changedJson(random, bytes),
];

function changed(random: RandomStream, bytes: Buffer, other: Buffer): Buffer {
  return pick(random, CHANGES)(random, bytes, other);
}

/** Digits that stand somewhere become another number. */
function replacedNumber(random: RandomStream, bytes: Buffer): Buffer {
  const text = bytes.subarray(0, BYTES_MAX).toString('latin1');
  const found = [...text.matchAll(/\d+/g)];
  if (found.length === 0) return bytes;
  const { index, 0: digits } = pick(random, found);
  return put(bytes, index, index + digits.length, Buffer.from(pick(random, NUMBER_TEXTS)));
}

/** A text that is JSON stays JSON, with another value somewhere. */
function changedJson(random: RandomStream, bytes: Buffer): Buffer {
  try {
    return Buffer.from(JSON.stringify(hostileValue(random, JSON.parse(bytes.toString('utf8')))) ?? '');
  } catch {
    return bytes;
  }
}

/** The value with one part replaced, renamed, left out, doubled or wrapped. */
export function hostileValue(random: RandomStream, value: unknown): unknown {
  const inside = typeof value === 'object' && value !== null && Object.keys(value).length > 0;
  if (!inside || random.chance(0.15)) return replacement(random, value);
  if (Array.isArray(value)) {
    const at = random.integer(value.length);
    switch (random.integer(5)) {
      case 0:
        return value.toSpliced(at, 1);
      case 1:
        return value.toSpliced(at, 0, value[random.integer(value.length)]);
      default:
        return value.with(at, hostileValue(random, value[at]));
    }
  }
  const entries = Object.entries(value);
  const at = random.integer(entries.length);
  const [key, inner] = entries[at]!;
  switch (random.integer(6)) {
    case 0:
      entries.splice(at, 1);
      break;
    case 1:
      entries[at] = [pick(random, TEXTS), inner];
      break;
    default:
      entries[at] = [key, hostileValue(random, inner)];
  }
  return ownEntries(entries);
}

/** `Object.fromEntries`, for a key __proto__ too. */
function ownEntries(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  return Object.fromEntries(entries);
}

/** A value that stands for any field of a message: extremes of numbers, and texts that nobody expects. */
export function replacement(random: RandomStream, value: unknown): unknown {
  if (typeof value === 'number' && random.chance(0.7)) {
    const extreme = pick(random, EXTREMES);
    return random.chance(0.3) ? -extreme : extreme;
  }
  if (typeof value === 'string' && random.chance(0.7)) {
    const text = pick(random, TEXTS);
    return random.chance(0.5) ? text : value + text;
  }
  const copies = typeof value === 'object' ? 8 : 2_000;
  if (random.chance(0.2)) return Array.from({ length: random.integer(copies) }, () => value);
  return pick(random, VALUES);
}

/** Names, numbers and texts for the composers of targets. */
export const draw = {
  pick,
  extreme: (random: RandomStream): number => pick(random, EXTREMES),
  text: (random: RandomStream): string => pick(random, TEXTS),
  bytes: randomBytes,
};
