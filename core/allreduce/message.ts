// The messages of a gang on the wire: a 64-byte little-endian header and, from offset 64 on, data. Decides
// the bytes and what is well-formed. docs/exchange.md describes each kind: who sends it when, and what the
// receiver must do.
//
//   offset  type  field              offset  type  field             offset  type  field
//        0  u32   magic                  16  f64   step                  40  u32   offset
//        4  u8    version                24  u16   source                44  u32   count
//        5  u8    kind                   26  u16   ranks                 48  u32   digest, high half
//        6  u8    encoding               28  u32   shard first           52  u32   digest, low half
//        7  u8    in memory              32  u32   shard count           56  u32   data bytes
//        8  u32   generation             36  u32   chunk                 60  u32   owner
//       12  u32   run hash
//
// The header is inside the payload and not a header of NATS, so that a receiver reads it first and lets the
// data go straight from the socket to where it belongs: no copy, and no garbage of the size of a chunk.

import { FleetError } from '../errors.ts';
import type { Encoding } from './reduce.ts';

/**
 * A kind's place is its number on the wire. contribution: a chunk of a node's sum, to the owner of the slice or to
 * who speaks to that owner. result: a finished chunk, from its owner or from who brings it to a host. missing:
 * asks the receiver for contributions and results that did not arrive. hello: where the sender stands. ask-state,
 * state: a request for pieces of a state or residual, and a piece. stop: the run cannot go on, with the reason.
 * here: the sender is there and has nothing to give yet. neighbour: who reads whose memory (neighbours.ts).
 */
export const KINDS = [
  'contribution',
  'result',
  'missing',
  'hello',
  'ask-state',
  'state',
  'stop',
  'here',
  'neighbour',
] as const;
export type Kind = (typeof KINDS)[number];
const ENCODINGS = ['none', 'bf16', 'int8'] as const satisfies readonly Encoding[];

export interface Header {
  readonly kind: Kind;
  /** How the numbers of a contribution or result are encoded; none for all other kinds. */
  readonly encoding: Encoding;
  /**
   * Of a contribution or result: the data lies in the sender's memory, which the receiver reads, and what follows the
   * header is a note about it (notes.ts).
   */
  readonly inMemory: boolean;
  readonly generation: number;
  /** hashOf the run's id. */
  readonly runHash: number;
  /** Step that the message is about; a hello of a member without state has -1. */
  readonly step: number;
  /** Rank of the sender. */
  readonly source: number;
  /** Number of members of the generation. */
  readonly ranks: number;
  /**
   * Node of the canonical tree that a contribution sums. In ask-state and state: (0, 0) for the state,
   * (shard, 1) for a residual. (0, 0) in all other kinds.
   */
  readonly shardFirst: number;
  readonly shardCount: number;
  /** Rank of the member whose slices a contribution, result or missing is about; 0 in all other kinds. */
  readonly owner: number;
  /** Chunk of the owner's slices; piece of a transfer, 0xffffffff for its contents; round of a hello. */
  readonly chunk: number;
  /** First element that the data covers, within the vector or within the part of a transfer. */
  readonly offset: number;
  /** Number of elements that the data covers. */
  readonly count: number;
  /**
   * Digest of the sender's weights at the start of the step, 16 hex digits, in contribution, result and
   * hello.
   */
  readonly digest: string;
}

export const HEADER_BYTES = 64;
const MAGIC = 0x31584650; // 'PFX1'
const VERSION = 4;
export const NO_DIGEST = '0000000000000000';

export function encodeHeader(header: Header, dataBytes: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, VERSION);
  view.setUint8(5, KINDS.indexOf(header.kind));
  view.setUint8(6, ENCODINGS.indexOf(header.encoding));
  view.setUint8(7, header.inMemory ? 1 : 0);
  view.setUint32(8, header.generation, true);
  view.setUint32(12, header.runHash, true);
  view.setFloat64(16, header.step, true);
  view.setUint16(24, header.source, true);
  view.setUint16(26, header.ranks, true);
  view.setUint32(28, header.shardFirst, true);
  view.setUint32(32, header.shardCount, true);
  view.setUint32(36, header.chunk, true);
  view.setUint32(40, header.offset, true);
  view.setUint32(44, header.count, true);
  view.setUint32(48, Number.parseInt(header.digest.slice(0, 8), 16), true);
  view.setUint32(52, Number.parseInt(header.digest.slice(8), 16), true);
  view.setUint32(56, dataBytes, true);
  view.setUint32(60, header.owner, true);
  return bytes;
}

/** Throws `invalidArgument` that names what is wrong with the bytes: a peer's mistake, never an assertion. */
export function decodeHeader(head: Uint8Array, dataBytes: number): Header {
  if (head.length < HEADER_BYTES)
    throw new FleetError('invalidArgument', `a message of ${head.length} bytes has no header`);
  const view = new DataView(head.buffer, head.byteOffset, HEADER_BYTES);
  if (view.getUint32(0, true) !== MAGIC)
    throw new FleetError('invalidArgument', 'the message is of another format');
  const version = view.getUint8(4);
  if (version !== VERSION)
    throw new FleetError(
      'invalidArgument',
      `a member speaks version ${version} of the exchange and this one ${VERSION}; start all workers from one release`,
    );
  const kind = KINDS[view.getUint8(5)];
  if (kind === undefined)
    throw new FleetError('invalidArgument', `message kind ${view.getUint8(5)} is unknown`);
  const encoding = ENCODINGS[view.getUint8(6)];
  if (encoding === undefined)
    throw new FleetError('invalidArgument', `message encoding ${view.getUint8(6)} is unknown`);
  const step = view.getFloat64(16, true);
  if (!Number.isSafeInteger(step) || step < -1)
    throw new FleetError('invalidArgument', `a message about step ${step}, which is no step`);
  const promised = view.getUint32(56, true);
  if (promised !== dataBytes)
    throw new FleetError('invalidArgument', `the header promises ${promised} bytes and ${dataBytes} follow`);
  return {
    kind,
    encoding,
    inMemory: view.getUint8(7) === 1,
    generation: view.getUint32(8, true),
    runHash: view.getUint32(12, true),
    step,
    source: view.getUint16(24, true),
    ranks: view.getUint16(26, true),
    shardFirst: view.getUint32(28, true),
    shardCount: view.getUint32(32, true),
    owner: view.getUint32(60, true),
    chunk: view.getUint32(36, true),
    offset: view.getUint32(40, true),
    count: view.getUint32(44, true),
    digest: hexAt(view, 48) + hexAt(view, 52),
  };
}

function hexAt(view: DataView, at: number): string {
  return view.getUint32(at, true).toString(16).padStart(8, '0');
}

/** Words of 32 bits, little-endian. */
export function encodeWords(words: readonly number[]): Uint8Array {
  const data = new Uint8Array(words.length * 4);
  const view = new DataView(data.buffer);
  words.forEach((word, i) => {
    view.setUint32(i * 4, word, true);
  });
  return data;
}

export function wordsOf(data: Uint8Array): number[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Array.from({ length: Math.floor(data.length / 4) }, (_, i) => view.getUint32(i * 4, true));
}

export const encodeJson = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

export function jsonOf(data: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(data));
  } catch (cause) {
    throw new FleetError('invalidArgument', 'the data of the message is not JSON', { cause });
  }
}

/** The bytes of a vector, not copied. Both ends are little-endian; connecting asserts it. */
export function bytesOf(vector: Float32Array): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
}

/**
 * FNV-1a over UTF-16 units, 32 bits: a message of another run is refused even when subjects were mixed up.
 */
export function hashOf(runId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < runId.length; i++) hash = Math.imul(hash ^ runId.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
