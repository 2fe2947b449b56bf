// The safetensors format: 8 bytes of little-endian header length, a JSON header, raw little-endian data.
// Reads and writes whole files in memory; nothing in such a file is ever executed.
//
// Written files put wide elements first and pad the header with spaces to a multiple of 8, so that every
// tensor is aligned.

import { FleetError } from '../errors.ts';

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
    if (data.length !== elements(shape))
      throw new FleetError(
        'internal',
        `${name} has ${data.length} values, its shape [${shape}] ${elements(shape)}`,
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
  const { header, dataStart } = readHeader(bytes, where);
  const tensors = new Map<string, StoredTensor>();
  let metadata: Readonly<Record<string, string>> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') metadata = entry as Record<string, string>;
    else tensors.set(name, readTensor({ bytes, dataStart, name, entry, where }));
  }
  return { tensors, metadata };
}

/** The header of a file, of which at least length and header are given. */
export function readHeader(
  bytes: Uint8Array,
  where: string,
): { header: Record<string, unknown>; dataStart: number } {
  if (bytes.length < 8) throw damaged(where, `it has ${bytes.length} bytes, not even a header length`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (length > HEADER_BYTES_MAX || 8 + length > bytes.length)
    throw damaged(where, `its header claims ${length} bytes of ${bytes.length}`);
  try {
    const header: unknown = JSON.parse(
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, 8 + length)),
    );
    if (typeof header !== 'object' || header === null || Array.isArray(header))
      throw new Error('not an object');
    return { header: header as Record<string, unknown>, dataStart: 8 + length };
  } catch (cause) {
    throw damaged(where, 'its header is not a JSON object', cause);
  }
}

function readTensor(options: {
  bytes: Uint8Array;
  dataStart: number;
  name: string;
  entry: unknown;
  where: string;
}): StoredTensor {
  const { bytes, dataStart, name, where } = options;
  const { dtype, shape, data_offsets } = (options.entry ?? {}) as Record<string, unknown>;
  if (!isType(dtype))
    throw new FleetError(
      'invalidArgument',
      `${where}: tensor ${name} has type ${String(dtype)}; ${Object.keys(TYPES).join(', ')} can be read`,
    );
  if (!isSizes(shape) || !isSizes(data_offsets) || data_offsets.length !== 2)
    throw damaged(where, `tensor ${name} has no proper shape and offsets`);
  const [begin = 0, end = 0] = data_offsets;
  const { bytes: width, array } = TYPES[dtype];
  if (end - begin !== elements(shape) * width || dataStart + end > bytes.length)
    throw damaged(
      where,
      `tensor ${name} [${shape}] does not fit bytes ${begin}..${end} of ${bytes.length - dataStart}`,
    );
  // Not bytes.slice: a Buffer's is a view of memory with an offset of its own.
  const copy = new Uint8Array(end - begin);
  copy.set(bytes.subarray(dataStart + begin, dataStart + end));
  return { dtype, shape, data: new array(copy.buffer, 0, elements(shape)) };
}

function isType(value: unknown): value is TensorType {
  return typeof value === 'string' && Object.hasOwn(TYPES, value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function damaged(where: string, what: string, cause?: unknown): FleetError {
  return new FleetError('dataLoss', `${where} is damaged: ${what}`, { cause });
}
