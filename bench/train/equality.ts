// Whether the ways compute the same thing: before anything is timed, each makes one pass from the same
// weights and images, and what comes out is compared number by number. A comparison of speeds of different
// things would be worth nothing.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FleetError } from '../../core/errors.ts';
import type { Field } from './ways.ts';
import type { Prepared } from './work.ts';

/** Relative L2 distances from ours. */
export interface Difference {
  readonly maker: string;
  /** Embeddings, or of a training pass the batch statistics of every batch norm and the loss. */
  readonly forward: number;
  /** 0 for embeddings. */
  readonly gradient: number;
}

const FORWARD_MAX = 1e-5;
/**
 * Rounding grows on the way back: where two pixels of a window are equal but for rounding, a max-pool's
 * gradient goes to the one or the other, and an activation near zero picks the one slope or the other.
 */
const GRADIENT_MAX = 2e-2;

export async function compareMakers(field: Field, { work, layout }: Prepared): Promise<Difference[]> {
  const parameters = work.kind === 'train' ? layout.parameterCount : 0;
  const vectors = new Map<string, Float32Array>();
  for (const { maker, form, threads, members } of field.ways) {
    if (form === 'compile' || vectors.has(maker)) continue;
    const file = join(field.folder, `check-${threads}.bin`);
    await members[0]!.ask(`check ${file}`);
    vectors.set(maker, new Float32Array(new Uint8Array(readFileSync(file)).buffer));
  }
  const [[, ours], ...others] = [...vectors] as [[string, Float32Array], ...[string, Float32Array][]];
  return others.map(([maker, theirs]) => {
    const found = {
      maker,
      forward: distance(ours.subarray(parameters), theirs.subarray(parameters)),
      gradient: parameters === 0 ? 0 : distance(ours.subarray(0, parameters), theirs.subarray(0, parameters)),
    };
    // Written so that NaN is no agreement.
    if (!(found.forward <= FORWARD_MAX && found.gradient <= GRADIENT_MAX))
      throw new FleetError(
        'internal',
        `${maker} computes something else for ${work.name}: forward ${found.forward}, gradient ${found.gradient} away from ours`,
      );
    return found;
  });
}

function distance(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.NaN;
  let [difference, size] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += a[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}
