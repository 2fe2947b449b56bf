// The chunks of a snapshot: JSON, one part of the state or of the index a line, deflated. Decides how large a chunk
// is, and how much memory one may take that is read. Writing rests after each part for longer than the part took,
// because a leader writes while it decides.

import { promisify } from 'node:util';
import { deflateRaw, inflateRaw } from 'node:zlib';
import type { Clock } from '../../core/clock.ts';
import { FleetError } from '../../core/errors.ts';
import { foundText } from '../../core/text/printable.ts';
import { createStateDecoder, encodeState, type StatePart } from '../model/snapshot.ts';
import type { State } from '../model/state.ts';
import { createJournalIndex, type IndexPart, type JournalIndex } from './journal-index.ts';

const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

/** Bytes of JSON after which a chunk ends, before it is deflated. */
const CHUNK_BYTES = 1024 * 1024;
/** Bytes of JSON of a chunk that is read: the last part of a chunk may be as large as 500 specs. */
const INFLATED_BYTES_MAX = 256 * CHUNK_BYTES;
/** Rest after a part, in times of what it took. */
const REST = 2;

/** A line of a chunk. */
export type ChunkLine = readonly ['state', StatePart] | readonly ['index', IndexPart];

/** What the chunks hold. Throws `dataLoss` when that is not a state of this release. */
export async function decodeSnapshot(
  chunks: readonly Uint8Array[],
): Promise<{ readonly state: State; readonly index: JournalIndex }> {
  try {
    const decoder = createStateDecoder();
    const index: IndexPart[] = [];
    for (const chunk of chunks)
      for (const text of (await inflate(chunk, { maxOutputLength: INFLATED_BYTES_MAX }))
        .toString()
        .split('\n')) {
        const [of, part] = JSON.parse(text) as ChunkLine;
        if (of === 'state') decoder.add(part);
        else index.push(part);
      }
    return { state: decoder.state(), index: createJournalIndex(index) };
  } catch (cause) {
    // The parts are not looked at field by field, because a start reads a hundred thousand rows.
    const why = foundText(cause instanceof Error ? cause.message : cause);
    throw new FleetError('dataLoss', `it is no state that this release has written (${why})`, { cause });
  }
}

/** Everything of a snapshot, line by line. */
export function* linesOf(state: State, index: Iterable<IndexPart>): Generator<ChunkLine> {
  for (const part of encodeState(state)) yield ['state', part];
  for (const part of index) yield ['index', part];
}

/** The lines as the bytes of chunks, with a rest after each. Throws the signal's reason. */
export async function* chunksOf(
  lines: Iterable<ChunkLine>,
  {
    clock,
    signal,
  }: { readonly clock: Pick<Clock, 'monotonic' | 'sleep'>; readonly signal: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  let texts: string[] = [];
  let size = 0;
  const chunk = () => deflate(texts.join('\n'), { level: 1 });
  let startedAt = clock.monotonic();
  for (const line of lines) {
    const text = JSON.stringify(line);
    texts.push(text);
    size += text.length;
    if (size >= CHUNK_BYTES) {
      yield await chunk();
      texts = [];
      size = 0;
    }
    await clock.sleep(REST * (clock.monotonic() - startedAt), signal);
    startedAt = clock.monotonic();
  }
  if (texts.length > 0) yield await chunk();
}
