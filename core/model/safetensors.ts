// The safetensors format: 8 bytes of little-endian header length, a JSON header, raw little-endian data.
// Reads and writes whole files in memory; nothing in such a file is ever executed.
//
// Written files put wide elements first and pad the header with spaces to a multiple of 8, so that every
// tensor is aligned.

import { FleetError } from '../errors.ts';
import { excerpt } from '../text/printable.ts';
import { DIMENSIONS_MAX, elementCount, shapeText } from './element-types.ts';
import { damaged } from './file-bytes.ts';

const TYPES = {
  F64: { bytes: 8, array: Float64Array },
  I64: { bytes: 8, array: BigInt64Array },
  F32: { bytes: 4, array: Float32Array },
  I32: { bytes: 4, array: Int32Array },
  U8: { bytes: 1, array: Uint8Array },
} as const;

export type TensorType = keyof typeof TYPES;
export type TensorData = Float64Array | BigInt64Array | Float32Array | Int32Array | Uint8Array;

export interface StoredTensor {
  readonly dtype: TensorType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Bytes of a header: more than any has here, and small enough that a garbled length cannot exhaust memory.
 */
const HEADER_BYTES_MAX = 100_000_000;

/** Entries keep their order within an element width. Metadata values are strings, as the format demands. */
export function writeSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const entries = [...tensors].sort(([, a], [, b]) => TYPES[b.dtype].bytes - TYPES[a.dtype].bytes);
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let offset = 0;
  for (const [name, { dtype, shape, data }] of entries) {
    if (data.length !== elementCount(shape))
      throw new FleetError(
        'internal',
        `${name} has ${data.length} values, its shape [${shape}] ${elementCount(shape)}`,
      );
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const headerBytes = Math.ceil(text.length / 8) * 8;
  const file = new Uint8Array(8 + headerBytes + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.set(text, 8);
  file.fill(0x20, 8 + text.length, 8 + headerBytes);
  let at = 8 + headerBytes;
  for (const [, { data }] of entries) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

/** `where` names the file in messages. Tensors are copies; the bytes may be reused. */
export function readSafetensors(bytes: Uint8Array, where = 'the safetensors file'): SafetensorsFile {
  const { entries, metadata, dataStart } = readHeader(bytes, where, bytes.length);
  const tensors = new Map<string, StoredTensor>();
  for (const entry of entries) tensors.set(entry.name, readTensor({ bytes, dataStart, entry, where }));
  return { tensors, metadata };
}

/** A tensor as the header names it; its range is within the file, and of no other tensor. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** First byte, and the one after the last, counted from the end of the header. */
  readonly begin: number;
  readonly end: number;
}

/** What stands before the data. */
export interface SafetensorsHeader {
  /** In the file's order. */
  readonly entries: readonly TensorEntry[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Where the data begins in the file. */
  readonly dataStart: number;
}

/**
 * The header of a file of `fileBytes`, of which at least length and header are given. Throws `dataLoss` for a header
 * that is none, where two tensors share bytes (a file of a megabyte could name a thousand of them), and where bytes of
 * the data belong to none: https://github.com/huggingface/safetensors#format asks for a buffer without holes.
 */
export function readHeader(bytes: Uint8Array, where: string, fileBytes: number): SafetensorsHeader {
  const length = headerLength(bytes, where, fileBytes);
  const { __metadata__: metadata = {}, ...named } = jsonObject(bytes.subarray(8, 8 + length), where);
  if (!isTexts(metadata)) throw damaged(where, 'its metadata are not texts by name');
  const dataStart = 8 + length;
  const entries = Object.entries(named).map(([name, value]) =>
    entryOf({ name, value, dataBytes: fileBytes - dataStart, where }),
  );
  const byPlace = entries.filter(({ begin, end }) => end > begin).sort((a, b) => a.begin - b.begin);
  let end = 0;
  for (const [i, entry] of byPlace.entries()) {
    const { name, begin } = entry;
    if (begin < end)
      throw damaged(where, `tensors ${excerpt(byPlace[i - 1]!.name)} and ${excerpt(name)} share bytes`);
    if (begin > end) throw damaged(where, ofNoTensor(end, begin));
    end = entry.end;
  }
  if (end < fileBytes - dataStart) throw damaged(where, ofNoTensor(end, fileBytes - dataStart));
  return { entries, metadata, dataStart };
}

/** The format leaves no byte of its data to no tensor: such bytes are of another file, or hidden in this one. */
const ofNoTensor = (begin: number, end: number): string =>
  `bytes ${begin}..${end} of its data belong to no tensor`;

/** Bytes of the header that begins behind the first eight of a file; `dataLoss` where there are not so many. */
export function headerLength(bytes: Uint8Array, where: string, fileBytes: number): number {
  if (bytes.length < 8) throw damaged(where, `it has ${bytes.length} bytes, not even a header length`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (length > HEADER_BYTES_MAX || 8 + length > fileBytes)
    throw damaged(where, `its header claims ${length} bytes of ${fileBytes}`);
  return length;
}

function jsonObject(bytes: Uint8Array, where: string): Record<string, unknown> {
  try {
    const header: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof header !== 'object' || header === null || Array.isArray(header))
      throw new Error('not an object');
    return header as Record<string, unknown>;
  } catch (cause) {
    throw damaged(where, 'its header is not a JSON object', cause);
  }
}

function isTexts(value: unknown): value is Record<string, string> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === 'string')
  );
}

function entryOf(of: {
  readonly name: string;
  readonly value: unknown;
  readonly dataBytes: number;
  readonly where: string;
}): TensorEntry {
  const { name, dataBytes, where } = of;
  const { dtype, shape, data_offsets: offsets } = (of.value ?? {}) as Record<string, unknown>;
  if (typeof dtype !== 'string') throw damaged(where, `tensor ${excerpt(name)} has no type`);
  if (!isSizes(shape) || !isSizes(offsets) || offsets.length !== 2 || shape.length > DIMENSIONS_MAX)
    throw damaged(where, `tensor ${excerpt(name)} has no proper shape and offsets`);
  const [begin = 0, end = 0] = offsets;
  if (begin > end || end > dataBytes)
    throw damaged(
      where,
      `tensor ${excerpt(name)} ${shapeText(shape)} does not fit bytes ${begin}..${end} of ${dataBytes}`,
    );
  return { name, dtype, shape, begin, end };
}

/** Throws `dataLoss` where the bytes of a tensor are not as many as its shape and type need. */
export function assertFits(
  { name, shape, begin, end }: TensorEntry,
  elementBytes: number,
  where: string,
): void {
  if (end - begin !== elementCount(shape) * elementBytes)
    throw damaged(where, `tensor ${excerpt(name)} ${shapeText(shape)} does not fit bytes ${begin}..${end}`);
}

/** The refusal of a type; `known` names those that are read. */
export const unknownType = ({ name, dtype }: TensorEntry, where: string, known: string): FleetError =>
  new FleetError(
    'invalidArgument',
    `${where}: tensor ${excerpt(name)} has type ${excerpt(dtype, 20)}; ${known} can be read`,
  );

function readTensor(options: {
  readonly bytes: Uint8Array;
  readonly dataStart: number;
  readonly entry: TensorEntry;
  readonly where: string;
}): StoredTensor {
  const { bytes, dataStart, entry, where } = options;
  const { dtype, shape, begin, end } = entry;
  if (!isType(dtype)) throw unknownType(entry, where, Object.keys(TYPES).join(', '));
  const { bytes: width, array } = TYPES[dtype];
  assertFits(entry, width, where);
  // Not bytes.slice: a Buffer's is a view of memory with an offset of its own.
  const copy = new Uint8Array(end - begin);
  copy.set(bytes.subarray(dataStart + begin, dataStart + end));
  return { dtype, shape, data: new array(copy.buffer, 0, elementCount(shape)) };
}

const isType = (value: string): value is TensorType => Object.hasOwn(TYPES, value);

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}
