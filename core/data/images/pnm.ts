// Portable grey and colour maps (PGM and PPM, text and binary), which the image library does not read.
// Decides what is well-formed; anything else is an error that names where the file departs from the format.

import { FleetError } from '../../errors.ts';
import type { Pixels } from './pixels.ts';

interface Header {
  readonly width: number;
  readonly height: number;
  /** Largest sample, 1..65535; above 255 a binary sample has two bytes, the higher first. */
  readonly most: number;
  readonly channels: 1 | 3;
  readonly binary: boolean;
  /** Where the samples begin. */
  readonly at: number;
}

const PIXELS_MAX = 1 << 26;

/** Whether the bytes begin as a PGM or PPM does. */
export function isPnm(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && [0x32, 0x33, 0x35, 0x36].includes(bytes[1] ?? 0);
}

/** Width and height of a well-formed header. */
export function pnmSize(bytes: Uint8Array): { readonly width: number; readonly height: number } {
  const { width, height } = readHeader(bytes);
  return { width, height };
}

export function decodePnm(bytes: Uint8Array): Pixels {
  const header = readHeader(bytes);
  const count = header.width * header.height * header.channels;
  const samples = header.binary ? binarySamples(bytes, header, count) : textSamples(bytes, header, count);
  const rgb = new Uint8Array(header.width * header.height * 3);
  const scale = 255 / header.most;
  for (let i = 0; i < rgb.length; i++) {
    const sample = samples[header.channels === 3 ? i : Math.floor(i / 3)]!;
    if (sample > header.most) throw wrong(`sample ${sample} is above the largest value ${header.most}`);
    rgb[i] = Math.round(sample * scale);
  }
  return { width: header.width, height: header.height, rgb };
}

function readHeader(bytes: Uint8Array): Header {
  const format = bytes[1]! - 0x30;
  const cursor = { at: 2 };
  const width = number(bytes, cursor, 'width');
  const height = number(bytes, cursor, 'height');
  const most = number(bytes, cursor, 'largest value');
  if (width < 1 || height < 1 || width * height > PIXELS_MAX)
    throw wrong(`a size of ${width} x ${height} pixels`);
  if (most < 1 || most > 65_535) throw wrong(`a largest value of ${most}, not 1..65535`);
  // Exactly one white byte stands between the header and binary samples.
  return {
    width,
    height,
    most,
    channels: format === 2 || format === 5 ? 1 : 3,
    binary: format >= 5,
    at: cursor.at + 1,
  };
}

function binarySamples(bytes: Uint8Array, header: Header, count: number): ArrayLike<number> {
  const size = header.most > 255 ? 2 : 1;
  if (bytes.length - header.at < count * size)
    throw wrong(`${Math.max(0, bytes.length - header.at)} bytes of samples, ${count * size} needed`);
  if (size === 1) return bytes.subarray(header.at, header.at + count);
  return Uint16Array.from(
    { length: count },
    (_, i) => bytes[header.at + 2 * i]! * 256 + bytes[header.at + 2 * i + 1]!,
  );
}

function textSamples(bytes: Uint8Array, header: Header, count: number): ArrayLike<number> {
  const cursor = { at: header.at };
  // A digit each, and something between them: a header alone makes no memory.
  if (bytes.length - header.at < 2 * count - 1)
    throw wrong(`${Math.max(0, bytes.length - header.at)} bytes of text for ${count} samples`);
  return Uint16Array.from({ length: count }, (_, i) => number(bytes, cursor, `sample ${i}`));
}

/** The next decimal number; white space and comments before it are skipped. */
function number(bytes: Uint8Array, cursor: { at: number }, what: string): number {
  for (;;) {
    const byte = bytes[cursor.at];
    if (byte === 0x23) while (cursor.at < bytes.length && bytes[cursor.at] !== 0x0a) cursor.at += 1;
    else if (byte !== undefined && (byte === 0x20 || (byte >= 0x09 && byte <= 0x0d))) cursor.at += 1;
    else break;
  }
  let value = 0;
  const from = cursor.at;
  for (;;) {
    const digit = (bytes[cursor.at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9 || value > 1e9) break;
    value = value * 10 + digit;
    cursor.at += 1;
  }
  if (cursor.at === from) throw wrong(`${what} is missing at byte ${from}`);
  return value;
}

const wrong = (what: string): FleetError => new FleetError('invalidArgument', `PGM/PPM image: ${what}`);
