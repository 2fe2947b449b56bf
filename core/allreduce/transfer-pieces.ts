// What a transfer of vectors consists of and how far it has come. Pure: which pieces the vectors are cut
// into, which of them are asked for next, whether a piece that came is one that was asked for, and what
// follows when the last one has come.
//
// A piece has CHUNK_ELEMENTS_MAX elements, the last one of a vector fewer, and never spans two vectors. Both
// sides compute the pieces from the lengths alone, so a number names a piece on either side.

import { FleetError } from '../errors.ts';
import { CHUNK_ELEMENTS_MAX } from './plan.ts';

export type Vectors = readonly Float32Array[];

/** What a transfer consists of; travels first, as JSON. */
export interface Contents {
  /** Elements of each vector. */
  readonly lengths: readonly number[];
  /** digest64 of each vector, 16 hex digits. */
  readonly digests: readonly string[];
}

export interface Piece {
  /** Index of the vector. */
  readonly part: number;
  /** First element within the vector. */
  readonly offset: number;
  readonly count: number;
}

/** Pieces that one request may name, and that may be under way at once. */
export const TRANSFER_WINDOW = 8;
/** Complete transfers with a wrong digest after which the vectors count as lost. */
export const TRIES_MAX = 3;
/** What a transfer consists of at most: memory for it is made before its first piece has come. */
export interface TransferBound {
  /** Vectors. */
  readonly parts: number;
  /** Elements of each. */
  readonly elements: number;
}

export function piecesOf(lengths: readonly number[]): Piece[] {
  return lengths.flatMap((length, part) => {
    const pieces: Piece[] = [];
    for (let offset = 0; offset < length; offset += CHUNK_ELEMENTS_MAX)
      pieces.push({ part, offset, count: Math.min(CHUNK_ELEMENTS_MAX, length - offset) });
    return pieces;
  });
}

/** How far one try of a transfer has come. */
export interface Progress {
  readonly pieces: readonly Piece[];
  /** Numbers of pieces that were asked for and have not come. */
  readonly underWay: ReadonlySet<number>;
  /** All pieces from this one on have not been asked for. */
  readonly next: number;
}

/**
 * Numbers of the pieces to ask for now. A new request goes out when half of the window is free: one for each
 * piece would double the messages, and one for each window would leave the wire empty in between.
 */
export function piecesToAsk({ pieces, underWay, next }: Progress): number[] {
  if (underWay.size > TRANSFER_WINDOW / 2) return [];
  const end = Math.min(pieces.length, next + TRANSFER_WINDOW - underWay.size);
  return Array.from({ length: Math.max(0, end - next) }, (_, i) => next + i);
}

export const isTransferComplete = ({ pieces, underWay, next }: Progress): boolean =>
  underWay.size === 0 && next >= pieces.length;

/** A piece that came: `unwanted` when it is not under way, `wrong` when it is not what its number names. */
export function verdictOnPiece(
  { pieces, underWay }: Progress,
  came: { readonly chunk: number; readonly offset: number; readonly count: number; readonly bytes: number },
): 'unwanted' | 'wrong' | 'wanted' {
  const piece = pieces[came.chunk];
  if (piece === undefined || !underWay.has(came.chunk)) return 'unwanted';
  const isThatPiece =
    came.offset === piece.offset && came.count === piece.count && came.bytes === piece.count * 4;
  return isThatPiece ? 'wanted' : 'wrong';
}

export type TransferEnd =
  | { readonly kind: 'right' }
  | { readonly kind: 'again' }
  /** `part`: index of the first vector whose digest is wrong. */
  | { readonly kind: 'lost'; readonly part: number };

/** What follows when all pieces have come. `digestOf` computes the digest of the vector that arrived. */
export function transferEnd(
  contents: Contents,
  digestOf: (part: number) => string,
  tries: number,
): TransferEnd {
  const part = contents.digests.findIndex((digest, i) => digestOf(i) !== digest);
  if (part < 0) return { kind: 'right' };
  return tries < TRIES_MAX ? { kind: 'again' } : { kind: 'lost', part };
}

/** Throws `invalidArgument` when a peer's contents are not lengths within the bound and as many digests. */
export function checkedContents(value: unknown, { parts, elements }: TransferBound): Contents {
  const { lengths, digests } = (value ?? {}) as { lengths?: unknown; digests?: unknown };
  const isLength = (n: unknown): boolean =>
    Number.isInteger(n) && (n as number) >= 0 && (n as number) <= elements;
  if (
    Array.isArray(lengths) &&
    Array.isArray(digests) &&
    lengths.length === digests.length &&
    lengths.length <= parts &&
    lengths.every(isLength) &&
    digests.every((d) => typeof d === 'string')
  )
    return { lengths, digests };
  throw new FleetError(
    'invalidArgument',
    `the contents of a transfer are lengths and as many digests, here of ${parts} vectors of ${elements} numbers at most`,
  );
}
