// Vectors from a member that has them to one that needs them: the asker pulls pieces in a window and asks again for what does
// not come; the giver keeps nothing. Decides layout, pace and verification of the transfer; what the vectors are, and who
// gives to whom when, is sync.ts'.

import { createDeferred } from '../deferred.ts';
import { digest64 } from '../digest.ts';
import { FleetError } from '../errors.ts';
import { bytesOf, encodeJson, encodeWords, type Header, jsonOf, wordsOf } from './message.ts';
import { CHUNK_ELEMENTS_MAX } from './plan.ts';
import type { Wire } from './wire.ts';

/** What is asked for: the state of a replica, or what compression left of one shard. */
export type Subject = { readonly kind: 'state' } | { readonly kind: 'residual'; readonly shard: number };
export type Vectors = readonly Float32Array[];

/** What a transfer consists of: sent first, as JSON. */
interface Contents {
  readonly lengths: readonly number[];
  readonly digests: readonly string[];
}

interface Piece {
  readonly part: number;
  readonly offset: number;
  readonly count: number;
}

/** Chunk number of the message that carries the contents. */
const CONTENTS_CHUNK = 0xffff_ffff;
const WINDOW = 8;
const TRIES_MAX = 3;
const PARTS_MAX = 16;

/** Named in the header in place of a node: none for the state, one shard for a residual. */
const fieldsOf = (subject: Subject): { shardFirst: number; shardCount: number } =>
  subject.kind === 'state' ? { shardFirst: 0, shardCount: 0 } : { shardFirst: subject.shard, shardCount: 1 };
const subjectOf = ({ shardFirst, shardCount }: Header): Subject =>
  shardCount === 0 ? { kind: 'state' } : { kind: 'residual', shard: shardFirst };

export interface Provider {
  answer(header: Header, data: Uint8Array): Promise<void>;
}

/** `vectorsOf` gives what a request asks for as long as it is right, and undefined from then on. */
export function createProvider(
  wire: Wire,
  vectorsOf: (subject: Subject, step: number) => Promise<Vectors | undefined>,
): Provider {
  /** Digests are not computed for each asker anew. */
  let last: { readonly vectors: Vectors; readonly contents: Contents } | undefined;

  async function answer(request: Header, data: Uint8Array): Promise<void> {
    const { source, step } = request;
    const subject = subjectOf(request);
    const wanted = wordsOf(data).slice(0, WINDOW);
    const vectors = await vectorsOf(subject, step);
    if (vectors === undefined) return;
    const fields = fieldsOf(subject);
    if (wanted.length === 0) {
      if (last?.vectors !== vectors) last = { vectors, contents: contentsOf(vectors) };
      const header = wire.header('state', step, { ...fields, chunk: CONTENTS_CHUNK });
      wire.sendTo(source, header, encodeJson(last.contents));
      return;
    }
    const pieces = piecesOf(vectors.map(({ length }) => length));
    for (const chunk of wanted) {
      const piece = pieces[chunk];
      if (piece === undefined) continue;
      const { part, offset, count } = piece;
      wire.sendTo(
        source,
        wire.header('state', step, { ...fields, chunk, offset, count }),
        bytesOf(vectors[part]!.subarray(offset, offset + count)),
      );
    }
  }
  return { answer };
}

export interface Fetch {
  /** In shared memory. */
  readonly vectors: Promise<Vectors>;
  take(header: Header, data: Uint8Array): void;
  tick(): void;
  fail(error: FleetError): void;
}

/** Fetches what rank `provider` has for `step`; three transfers with wrong digests are `dataLoss`. */
export function createFetch(options: {
  readonly wire: Wire;
  readonly step: number;
  readonly provider: number;
  readonly subject: Subject;
}): Fetch {
  const { wire, step, provider, subject } = options;
  const fields = fieldsOf(subject);
  const done = createDeferred<Vectors>();
  let contents: Contents | undefined;
  let pieces: Piece[] = [];
  let vectors: Float32Array[] = [];
  const open = new Set<number>();
  let next = 0;
  let tries = 1;
  let heardAt = wire.now();

  function ask(chunks: readonly number[]): void {
    wire.sendTo(provider, wire.header('ask-state', step, fields), encodeWords(chunks));
  }

  function begin(): void {
    vectors = contents!.lengths.map((length) => new Float32Array(new SharedArrayBuffer(length * 4)));
    pieces = piecesOf(contents!.lengths);
    next = 0;
    askMore();
    finishIfComplete();
  }

  function askMore(): void {
    const chunks: number[] = [];
    while (open.size < WINDOW && next < pieces.length) {
      chunks.push(next);
      open.add(next++);
    }
    if (chunks.length > 0) ask(chunks);
  }

  function take(header: Header, data: Uint8Array): void {
    const { source, chunk, offset, count, shardFirst, shardCount } = header;
    if (source !== provider || header.step !== step) return;
    if (shardFirst !== fields.shardFirst || shardCount !== fields.shardCount) return;
    if (chunk === CONTENTS_CHUNK) {
      if (contents !== undefined) return;
      contents = checkedContents(jsonOf(data));
      heardAt = wire.now();
      begin();
      return;
    }
    const piece = pieces[chunk];
    if (piece === undefined || !open.has(chunk)) return;
    if (offset !== piece.offset || count !== piece.count || data.length !== count * 4)
      throw new FleetError('invalidArgument', `${wire.nameOf(provider)} gave another piece than asked for`);
    bytesOf(vectors[piece.part]!).set(data, piece.offset * 4);
    open.delete(chunk);
    heardAt = wire.now();
    // Ask in halves of the window: a request for each piece would double the messages.
    if (open.size <= WINDOW / 2) askMore();
    finishIfComplete();
  }

  function finishIfComplete(): void {
    if (open.size > 0 || next < pieces.length) return;
    const wrong = vectors.findIndex((vector, i) => digest64(vector) !== contents!.digests[i]);
    if (wrong < 0) done.resolve(vectors);
    else if (tries++ < TRIES_MAX) begin();
    else
      done.reject(
        new FleetError(
          'dataLoss',
          `part ${wrong} of the ${subject.kind} of step ${step} from ${wire.nameOf(provider)} arrived with a wrong digest ${TRIES_MAX} times`,
        ),
      );
  }

  ask([]);
  return {
    vectors: done.promise,
    take,
    tick() {
      if (wire.now() - heardAt < wire.stallMs) return;
      heardAt = wire.now();
      wire.stats.nacks++;
      ask([...open]);
    },
    fail: (error) => done.reject(error),
  };
}

function contentsOf(vectors: Vectors): Contents {
  return { lengths: vectors.map(({ length }) => length), digests: vectors.map(digest64) };
}

function piecesOf(lengths: readonly number[]): Piece[] {
  return lengths.flatMap((length, part) => {
    const pieces: Piece[] = [];
    for (let offset = 0; offset < length; offset += CHUNK_ELEMENTS_MAX)
      pieces.push({ part, offset, count: Math.min(CHUNK_ELEMENTS_MAX, length - offset) });
    return pieces;
  });
}

function checkedContents(value: unknown): Contents {
  const { lengths, digests } = (value ?? {}) as { lengths?: unknown; digests?: unknown };
  const isLength = (n: unknown): boolean =>
    Number.isInteger(n) && (n as number) >= 0 && (n as number) < 2 ** 30;
  if (
    Array.isArray(lengths) &&
    Array.isArray(digests) &&
    lengths.length === digests.length &&
    lengths.length <= PARTS_MAX &&
    lengths.every(isLength) &&
    digests.every((d) => typeof d === 'string')
  )
    return { lengths, digests };
  throw new FleetError('invalidArgument', 'the contents of a transfer are lengths and as many digests');
}
