// The words of a `missing` message: each names one message that did not arrive. Decides their bits alone.
//
//   31 30 .. 24 23 ........ 0
//    0  node     chunk          a contribution of the receiver: node by its index in the plan, chunk of the
//                               sender's slices
//    1  chunk ............      a result of the receiver: chunk of the receiver's slices
//
// Neither field can overflow. The largest nodes inside a block of shards are two for each level of the tree
// at most, far fewer than 128. A chunk has 256 elements at least (apart from the last), so 2^24 of them would
// be 16 GiB, which no exchange's memory holds.

const RESULT_BIT = 0x8000_0000;
const CHUNK_BITS = 24;
const CHUNK_MASK = 2 ** CHUNK_BITS - 1;

export type Request =
  | { readonly kind: 'contribution'; readonly index: number; readonly chunk: number }
  | { readonly kind: 'result'; readonly chunk: number };

export const contributionWord = (index: number, chunk: number): number => index * 2 ** CHUNK_BITS + chunk;
export const resultWord = (chunk: number): number => RESULT_BIT + chunk;

export function requestOf(word: number): Request {
  if ((word & RESULT_BIT) !== 0) return { kind: 'result', chunk: word & ~RESULT_BIT };
  return { kind: 'contribution', index: word >>> CHUNK_BITS, chunk: word & CHUNK_MASK };
}
