// Whether a network's row for an image depends on the batch that it is in. Kernels may give the rows of one batch bits of
// their own (oneDNN's AVX2 code gives the last two of eight others than the first six), and batches of other sizes
// may take other code. Decides that by a proof with the network itself: one image in every place of a batch has equal
// bits everywhere, and the same bits among other images. Sizes that give this image equal bits are one group.

import { IMAGE_BYTES } from '../../core/data/images/pixels.ts';
import { integers } from '../../core/rng.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';

/** What a proof has found. */
export type RowProof =
  | { readonly isProven: true; readonly group: number }
  /** `reason`: part of a sentence. */
  | { readonly isProven: false; readonly reason: string };

/** The rows [b, E] of a batch of b images. */
export type EmbedPass = (batch: number, images: Uint8Array) => Promise<Float32Array>;

/** Proofs of one worker, whose device, code and number of threads do not change. */
export interface RowProofs {
  /**
   * The proof for a network and a size of batch, made once. A proof of a size after the first takes passes of all
   * groups that are known, with the values that `pass` has.
   */
  of(network: NetworkSpec, batch: number, pass: EmbedPass): Promise<RowProof>;
}

export function createRowProofs(): RowProofs {
  const proofs = new Map<string, Map<number, Promise<RowProof>>>();
  return {
    of(network, batch, pass) {
      const name = canonicalJson(network);
      const ofNetwork = proofs.get(name) ?? new Map<number, Promise<RowProof>>();
      proofs.set(name, ofNetwork);
      const known = ofNetwork.get(batch);
      if (known !== undefined) return known;
      const others = [...ofNetwork.values()];
      const begun = prove(batch, others, pass);
      ofNetwork.set(batch, begun);
      // Whoever asks next tries again.
      begun.catch(() => ofNetwork.delete(batch));
      return begun;
    },
  };
}

async function prove(
  batch: number,
  others: readonly Promise<RowProof>[],
  pass: EmbedPass,
): Promise<RowProof> {
  const image = probe(0);
  const everywhere = bitsOf(await pass(batch, repeated(image, batch)), batch);
  const odd = everywhere.findIndex((row) => !isEqual(row, everywhere[0]!));
  if (odd !== -1)
    return {
      isProven: false,
      reason: `in a batch of ${batch} the same image has other bits in place ${odd} than in place 0`,
    };
  const amongOthers = bitsOf(await pass(batch, amongNeighbours(image, batch)), batch).at(-1)!;
  if (!isEqual(amongOthers, everywhere[0]!))
    return {
      isProven: false,
      reason: `in a batch of ${batch} an image has other bits among other images than among its like`,
    };
  const groups = new Set<number>();
  for (const other of await Promise.allSettled(others))
    if (other.status === 'fulfilled' && other.value.isProven) groups.add(other.value.group);
  for (const group of groups) {
    const [row] = bitsOf(await pass(group, repeated(image, group)), group);
    if (isEqual(row!, everywhere[0]!)) return { isProven: true, group };
  }
  return { isProven: true, group: batch };
}

/** An image of noise, of which each number has another. */
const probe = (number: number): Uint8Array =>
  Uint8Array.from(integers(number, 'row proof', IMAGE_BYTES, 256));

/** Other images around the one that is looked at. */
const NEIGHBOURS = 3;

/** The image that is looked at in the last place of a batch of others. */
function amongNeighbours(image: Uint8Array, batch: number): Uint8Array {
  const neighbours = Array.from({ length: NEIGHBOURS }, (_, i) => probe(i + 1));
  const out = new Uint8Array(batch * IMAGE_BYTES);
  for (let place = 0; place < batch; place++)
    out.set(place === batch - 1 ? image : neighbours[place % NEIGHBOURS]!, place * IMAGE_BYTES);
  return out;
}

function repeated(image: Uint8Array, batch: number): Uint8Array {
  const out = new Uint8Array(batch * IMAGE_BYTES);
  for (let place = 0; place < batch; place++) out.set(image, place * IMAGE_BYTES);
  return out;
}

/** The rows of a batch as bits: -0 and 0 differ. */
function bitsOf(values: Float32Array, batch: number): Uint32Array[] {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  const length = bits.length / batch;
  return Array.from({ length: batch }, (_, row) => bits.subarray(row * length, (row + 1) * length));
}

const isEqual = (a: Uint32Array, b: Uint32Array): boolean =>
  a.length === b.length && a.every((value, i) => value === b[i]);
