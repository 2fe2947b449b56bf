// The messages of a gang on the wire: a 64-byte little-endian header and, from offset 64 on, data. Decides the
// bytes and what is well-formed; exchange.ts and sync.ts decide what a message means. The header is inside the payload
// (not a NATS header) so that a receiver reads it first and then lets the data go where it belongs.
//
//  0 u32 magic        4 u8 version      5 u8 kind          6 u8 encoding      7 u8 zero          8 u32 generation
// 12 u32 run hash    16 f64 step       24 u16 source      26 u16 ranks       28 u32 shard first 32 u32 shard count
// 36 u32 chunk       40 u32 offset     44 u32 count       48 u32 digest high 52 u32 digest low  56 u32 data bytes   60 u32 zero

import { FleetError } from '../errors.ts';
import type { Encoding } from './reduce.ts';

/**
 * contribution: a chunk of a node's sum, to the slice's owner. result: a finished chunk, from its owner to all.
 * missing: asks the receiver for contributions and results that did not arrive. hello: where a member stands.
 * ask-state, state: pieces of the state for a member that is behind. stop: the run cannot go on, with the reason. here: answers
 * missing when there is nothing to give yet.
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
] as const;
export type Kind = (typeof KINDS)[number];
const ENCODINGS = ['none', 'bf16', 'int8'] as const satisfies readonly Encoding[];

export interface Header {
  readonly kind: Kind;
  /** Of the data of a contribution or result. */
  readonly encoding: Encoding;
  readonly generation: number;
  readonly runHash: number;
  /** -1: without state. */
  readonly step: number;
  readonly source: number;
  readonly ranks: number;
  /** Node of the canonical tree that a contribution sums; ask-state and state: what is asked for; 0, 0 otherwise. */
  readonly shardFirst: number;
  readonly shardCount: number;
  readonly chunk: number;
  /** Elements of the vector that the data covers. */
  readonly offset: number;
  readonly count: number;
  /** 16 hex digits: contribution and hello: the sender's weights at the start of the step. */
  readonly digest: string;
}

export const HEADER_BYTES = 64;
const MAGIC = 0x31584650; // 'PFX1'
const VERSION = 2;
export const NO_DIGEST = '0000000000000000';

export function encodeHeader(header: Header, dataBytes: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, VERSION);
  view.setUint8(5, KINDS.indexOf(header.kind));
  view.setUint8(6, ENCODINGS.indexOf(header.encoding));
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
  return bytes;
}

/** Throws `invalidArgument` that says what is wrong with the bytes; a peer's mistake, never an assertion. */
export function decodeHeader(head: Uint8Array, dataBytes: number): Header {
  if (head.length < HEADER_BYTES)
    throw new FleetError('invalidArgument', `a message of ${head.length} bytes has no header`);
  const view = new DataView(head.buffer, head.byteOffset, HEADER_BYTES);
  if (view.getUint32(0, true) !== MAGIC || view.getUint8(4) !== VERSION)
    throw new FleetError('invalidArgument', 'the message is of another format or version');
  const kind = KINDS[view.getUint8(5)];
  if (kind === undefined)
    throw new FleetError('invalidArgument', `message kind ${view.getUint8(5)} is unknown`);
  const encoding = ENCODINGS[view.getUint8(6)];
  if (encoding === undefined)
    throw new FleetError('invalidArgument', `message encoding ${view.getUint8(6)} is unknown`);
  const promised = view.getUint32(56, true);
  if (promised !== dataBytes)
    throw new FleetError('invalidArgument', `the header promises ${promised} bytes and ${dataBytes} follow`);
  return {
    kind,
    encoding,
    generation: view.getUint32(8, true),
    runHash: view.getUint32(12, true),
    step: view.getFloat64(16, true),
    source: view.getUint16(24, true),
    ranks: view.getUint16(26, true),
    shardFirst: view.getUint32(28, true),
    shardCount: view.getUint32(32, true),
    chunk: view.getUint32(36, true),
    offset: view.getUint32(40, true),
    count: view.getUint32(44, true),
    digest: hexAt(view, 48) + hexAt(view, 52),
  };
}

function hexAt(view: DataView, at: number): string {
  return view.getUint32(at, true).toString(16).padStart(8, '0');
}

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

/** FNV-1a over UTF-16 units: tells runs apart whose subjects were mixed up. */
export function hashOf(runId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < runId.length; i++) hash = Math.imul(hash ^ runId.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
