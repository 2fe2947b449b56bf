// The chunks of a snapshot: parts of the state and of the index, each deflated by itself, one after the other.
// Decides how large a chunk is, and how much memory one may take that is read. Writing rests after each part for
// longer than the part took, because a leader writes while it decides.
//
// Before a part stand thirteen bytes: its kind, one byte; two numbers; and how many bytes follow, all three with the
// lowest byte last. So a page is found, and kept as it is, without being read.
//
//   0              JSON: some rows of the state                          numbers 0, 0
//   1, 2, 3        JSON: rows of a page of trials, runs, accounts of time     first number, count
//   4              JSON: the names of the index                          numbers 0, 0
//   5              a page of numbers of the index                        list, page

import { promisify } from 'node:util';
import { deflateRaw, inflateRawSync } from 'node:zlib';
import type { Clock } from '../../core/clock.ts';
import { encodeState } from '../model/snapshot.ts';
import { createStateDecoder, snapshotDamage } from '../model/snapshot-decoder.ts';
import { isPage, type PagedRows, type RowsPart, type StatePart } from '../model/snapshot-parts.ts';
import type { State } from '../model/state.ts';
import { createJournalIndex, type IndexPart, type JournalIndex } from './journal-index.ts';

const deflate = promisify(deflateRaw);

/** Bytes after which a chunk ends; with the part that ends it, it is still below what a broker takes as one message. */
const CHUNK_BYTES = 256 * 1024;
/** Bytes of a part that is read, as JSON: the largest may be 500 specs. */
const INFLATED_BYTES_MAX = 256 * 1024 * 1024;
/** Rest after a part, in times of what it took. */
const REST = 2;
/** A part lasts at least so long before a rest, milliseconds: a rest for each of a thousand would take a second. */
const TURN_MS = 4;

const HEADER_BYTES = 13;
const ROWS = 0;
const PAGES = ['trials', 'runs', 'times'] as const satisfies readonly (keyof PagedRows)[];
const NAMES = PAGES.length + 1;
const NUMBERS = PAGES.length + 2;

/** A part of a snapshot. */
export type SnapshotPart = readonly ['state', StatePart] | readonly ['index', IndexPart];

/** What the chunks hold. Throws `dataLoss` when that is not a state of this release. */
export function decodeSnapshot(chunks: readonly Uint8Array[]): {
  readonly state: State;
  readonly index: JournalIndex;
} {
  try {
    const decoder = createStateDecoder();
    const index: IndexPart[] = [];
    for (const frame of chunks.flatMap(framesOf)) {
      const { kind, numbers, bytes } = frame;
      const [first, second] = numbers;
      const of = PAGES[kind - 1];
      if (of !== undefined) decoder.addPage({ of, first, count: second }, () => jsonOf(bytes), bytes);
      else if (kind === ROWS) decoder.add(jsonOf(bytes));
      else if (kind === NAMES) index.push(jsonOf(bytes));
      else if (kind === NUMBERS)
        index.push({
          of: 'numbers',
          list: first,
          page: { page: second, bytes: () => numbersIn(bytes), stored: bytes },
        });
      else throw new Error(`it has a part of the kind ${kind}`);
    }
    return { state: decoder.state(), index: createJournalIndex(index) };
  } catch (cause) {
    throw snapshotDamage(cause);
  }
}

const inflated = (bytes: Uint8Array): Uint8Array =>
  inflateRawSync(bytes, { maxOutputLength: INFLATED_BYTES_MAX });
const jsonOf = <T extends readonly PagedRows[keyof PagedRows][] | RowsPart | IndexPart>(
  bytes: Uint8Array,
): T => JSON.parse(Buffer.from(inflated(bytes)).toString()) as T;

/** The bytes of a page of the index. */
function numbersIn(bytes: Uint8Array): Uint8Array {
  try {
    return inflated(bytes);
  } catch (cause) {
    throw snapshotDamage(cause);
  }
}

/** A part as it stands in a chunk. */
export interface Frame {
  readonly kind: number;
  readonly numbers: readonly [number, number];
  /** Deflated. */
  readonly bytes: Uint8Array;
}

/** The parts of a chunk. Throws when its bytes end within one. */
export function framesOf(chunk: Uint8Array): Frame[] {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
  const frames: Frame[] = [];
  for (let at = 0; at < chunk.length; ) {
    if (at + HEADER_BYTES > chunk.length) throw new Error('a part has no beginning');
    const end = at + HEADER_BYTES + view.getUint32(at + 9);
    if (end > chunk.length) throw new Error('a part has no end');
    const numbers = [view.getUint32(at + 1), view.getUint32(at + 5)] as const;
    frames.push({ kind: view.getUint8(at), numbers, bytes: chunk.subarray(at + HEADER_BYTES, end) });
    at = end;
  }
  return frames;
}

/** The bytes of a part in a chunk. */
export function frameBytes({ kind, numbers, bytes }: Frame): Uint8Array {
  const framed = new Uint8Array(HEADER_BYTES + bytes.length);
  const view = new DataView(framed.buffer);
  view.setUint8(0, kind);
  view.setUint32(1, numbers[0]);
  view.setUint32(5, numbers[1]);
  view.setUint32(9, bytes.length);
  framed.set(bytes, HEADER_BYTES);
  return framed;
}

/** Everything of a snapshot, part by part. */
export function* partsOf(state: State, index: Iterable<IndexPart>): Generator<SnapshotPart> {
  for (const part of encodeState(state)) yield ['state', part];
  for (const part of index) yield ['index', part];
}

/** The parts as the bytes of chunks, with rests in between. Throws the signal's reason. */
export async function* chunksOf(
  parts: Iterable<SnapshotPart>,
  {
    clock,
    signal,
  }: { readonly clock: Pick<Clock, 'monotonic' | 'sleep'>; readonly signal: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  let framed: Uint8Array[] = [];
  let size = 0;
  let startedAt = clock.monotonic();
  for (const part of parts) {
    const bytes = frameBytes(await frameOf(part));
    framed.push(bytes);
    size += bytes.length;
    if (size >= CHUNK_BYTES) {
      yield Buffer.concat(framed);
      framed = [];
      size = 0;
    }
    if (clock.monotonic() - startedAt < TURN_MS) continue;
    await clock.sleep(REST * (clock.monotonic() - startedAt), signal);
    startedAt = clock.monotonic();
  }
  if (framed.length > 0) yield Buffer.concat(framed);
}

async function frameOf([of, part]: SnapshotPart): Promise<Frame> {
  if (of === 'state') {
    if (!isPage(part)) return { kind: ROWS, numbers: [0, 0], bytes: await deflated(JSON.stringify(part)) };
    const head = { kind: PAGES.indexOf(part.of) + 1, numbers: [part.first, part.count] as const };
    if ('stored' in part) return { ...head, bytes: part.stored };
    return { ...head, bytes: await deflated(JSON.stringify(part.rows)) };
  }
  if (part.of === 'names')
    return { kind: NAMES, numbers: [0, 0], bytes: await deflated(JSON.stringify(part)) };
  const { list, page } = part;
  const bytes = page.stored ?? (await deflated(page.bytes()));
  return { kind: NUMBERS, numbers: [list, page.page], bytes };
}

const deflated = (bytes: string | Uint8Array): Promise<Uint8Array> => deflate(bytes, { level: 1 });
