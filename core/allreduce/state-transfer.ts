// Vectors from a member that has them to one that needs them. Decides the order of requests, what is repeated
// and when the transfer counts as complete.
//
//   asker                                          giver
//     │── ask-state, no words ───────────────────────►│  asks for the contents
//     │◄─ state, chunk CONTENTS_CHUNK ────────────────│  lengths and digests of the vectors, JSON
//     │── ask-state, words 0..7 ─────────────────────►│  asks for pieces
//     │◄─ state, chunk 0 ... state, chunk 7 ──────────│
//     │── ask-state, words 8..11 ────────────────────►│  as soon as half of the window is free
//     │        ...                                    │
//     │   all pieces here: digests are compared       │  wrong: the pieces are asked for again, three tries in all
//
// The asker pulls, and the giver keeps nothing of it: a giver that pushed would have to know what has
// arrived, and what to drop when the asker dies. So any loss costs the asker a quiet time, after which it
// asks again for all that is under way, and any repetition is recognised by its number. The digest is over
// the whole vector, because the state must be the same bits as the giver's; TCP and the broker do not
// guarantee that from end to end.

import { createDeferred } from '../deferred.ts';
import { digest64 } from '../digest.ts';
import { FleetError } from '../errors.ts';
import { sharedFloats } from '../shared-memory.ts';
import { bytesOf, encodeJson, encodeWords, type Header, jsonOf, wordsOf } from './message.ts';
import {
  type Contents,
  checkedContents,
  isTransferComplete,
  type Piece,
  piecesOf,
  piecesToAsk,
  TRANSFER_WINDOW,
  TRIES_MAX,
  type TransferBound,
  transferEnd,
  type Vectors,
  verdictOnPiece,
} from './transfer-pieces.ts';
import type { Wire } from './wire.ts';

/** What is asked for: the state of a replica, or what compression left of one shard. */
export type Subject = { readonly kind: 'state' } | { readonly kind: 'residual'; readonly shard: number };

/** Chunk number of the message that carries the contents. */
const CONTENTS_CHUNK = 0xffff_ffff;

/** The header's node names the subject: no shard for the state, one shard for a residual. */
const fieldsOf = (subject: Subject): { shardFirst: number; shardCount: number } =>
  subject.kind === 'state' ? { shardFirst: 0, shardCount: 0 } : { shardFirst: subject.shard, shardCount: 1 };
const subjectOf = ({ shardFirst, shardCount }: Header): Subject =>
  shardCount === 0 ? { kind: 'state' } : { kind: 'residual', shard: shardFirst };

export interface Provider {
  answerRequest(header: Header, data: Uint8Array): Promise<void>;
}

/**
 * `vectorsOf` gives what a request asks for as long as that is still the right answer, and undefined from
 * then on.
 */
export function createProvider(
  wire: Wire,
  vectorsOf: (subject: Subject, step: number) => Promise<Vectors | undefined>,
): Provider {
  /** The last contents that were sent, so that digests are not computed again for each asker. */
  let last: { readonly vectors: Vectors; readonly contents: Contents } | undefined;

  async function answerRequest(request: Header, data: Uint8Array): Promise<void> {
    const { source, step } = request;
    const subject = subjectOf(request);
    const wanted = wordsOf(data).slice(0, TRANSFER_WINDOW);
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
  return { answerRequest };
}

export interface Fetch {
  /** In shared memory. */
  readonly vectors: Promise<Vectors>;
  acceptPiece(header: Header, data: Uint8Array): void;
  /** Asks again for what is under way, once it has been quiet for long enough. */
  repeatRequest(): void;
  failFetch(error: FleetError): void;
}

/** Fetches what rank `provider` has for `step`; TRIES_MAX transfers with wrong digests are `dataLoss`. */
export function createFetch(options: {
  readonly wire: Wire;
  readonly step: number;
  readonly provider: number;
  readonly subject: Subject;
  readonly bound: TransferBound;
}): Fetch {
  const { wire, step, provider, subject, bound } = options;
  const fields = fieldsOf(subject);
  const done = createDeferred<Vectors>();
  let contents: Contents | undefined;
  let pieces: readonly Piece[] = [];
  let vectors: Float32Array[] = [];
  const underWay = new Set<number>();
  let next = 0;
  let tries = 1;
  let quietSince = wire.now();

  function ask(chunks: readonly number[]): void {
    wire.sendTo(provider, wire.header('ask-state', step, fields), encodeWords(chunks));
  }

  function beginTry({ lengths }: Contents): void {
    vectors = lengths.map(sharedFloats);
    pieces = piecesOf(lengths);
    next = 0;
    goOn();
  }

  /** Asks for more, or ends the try when everything has come. */
  function goOn(): void {
    const chunks = piecesToAsk({ pieces, underWay, next });
    for (const chunk of chunks) underWay.add(chunk);
    next += chunks.length;
    if (chunks.length > 0) ask(chunks);
    if (isTransferComplete({ pieces, underWay, next })) endTry(contents!);
  }

  function endTry(announced: Contents): void {
    const end = transferEnd(announced, (part) => digest64(vectors[part]!), tries);
    if (end.kind === 'right') done.resolve(vectors);
    else if (end.kind === 'again') {
      tries++;
      beginTry(announced);
    } else
      done.reject(
        new FleetError(
          'dataLoss',
          `part ${end.part} of the ${subject.kind} of step ${step} from ${wire.nameOf(provider)} arrived with a wrong digest ${TRIES_MAX} times`,
        ),
      );
  }

  function acceptPiece(header: Header, data: Uint8Array): void {
    const { source, chunk, shardFirst, shardCount } = header;
    if (source !== provider || header.step !== step) return;
    if (shardFirst !== fields.shardFirst || shardCount !== fields.shardCount) return;
    if (chunk === CONTENTS_CHUNK) {
      if (contents !== undefined) return;
      contents = checkedContents(jsonOf(data), bound);
      quietSince = wire.now();
      beginTry(contents);
      return;
    }
    const verdict = verdictOnPiece({ pieces, underWay, next }, { ...header, bytes: data.length });
    if (verdict === 'unwanted') return;
    if (verdict === 'wrong')
      throw new FleetError('invalidArgument', `${wire.nameOf(provider)} gave another piece than asked for`);
    const piece = pieces[chunk]!;
    bytesOf(vectors[piece.part]!).set(data, piece.offset * 4);
    underWay.delete(chunk);
    quietSince = wire.now();
    goOn();
  }

  ask([]);
  return {
    vectors: done.promise,
    acceptPiece,
    repeatRequest() {
      if (wire.now() - quietSince < wire.stallMs) return;
      quietSince = wire.now();
      wire.stats.nacks++;
      ask([...underWay]);
    },
    failFetch: (error) => done.reject(error),
  };
}

function contentsOf(vectors: Vectors): Contents {
  return { lengths: vectors.map(({ length }) => length), digests: vectors.map(digest64) };
}
