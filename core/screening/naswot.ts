// NASWOT: how differently a network at its initial weights treats the images of a batch (Mellor et al.,
// "Neural Architecture Search without Training", 2021, eq. 2). Each image switches each unit of each PReLU on
// or off by the sign of the unit's input. K[i, j] is the number of units in which the images i and j agree, and
// the score is log |det K|.
//
// With a [N, M] of zeros and ones, the units that both switch on are a a', so K = M - r - r' + 2 a a' with r
// the diagonal of a a'. Counts of one PReLU stay below 2^24 and are exact in single precision; their sum is
// made in double precision.
//
// Legend: N images, L PReLUs, M units of one PReLU.

import { FleetError } from '../errors.ts';
import type { Network } from '../nn/network.ts';

/** PReLUs that read the same map switch alike, so the map is looked at once and counts so many times. */
interface Switch {
  /** Index of the layer that is read. */
  readonly input: number;
  readonly times: number;
  /** M. */
  readonly units: number;
}

/** What switches, in the order of `sharedUnits`. */
export function switchesOf({ layers }: Network): Switch[] {
  const times = new Map<number, number>();
  for (const { kind, inputs } of layers)
    if (kind === 'prelu') times.set(inputs[0]!, (times.get(inputs[0]!) ?? 0) + 1);
  return [...times].map(([input, count]) => {
    const { height, width, channels } = layers[input]!.shape;
    return { input, times: count, units: height * width * channels };
  });
}

/**
 * The score. Higher is better. `shared` [L, N, N]: for each of switchesOf, how many units
 * two images both switch on (core/screening/initial-pass.ts). `invalidArgument` where K is singular, as it
 * is when two images of the batch are the same.
 */
export function naswot(network: Network, images: number, shared: Float32Array): number {
  const agreement = new Float64Array(images * images);
  switchesOf(network).forEach(({ times, units }, layer) => {
    const at = (i: number, j: number) => shared[(layer * images + i) * images + j]!;
    for (let i = 0; i < images; i++)
      for (let j = 0; j < images; j++)
        agreement[i * images + j]! += times * (units - at(i, i) - at(j, j) + 2 * at(i, j));
  });
  return logDeterminant(agreement, images);
}

/** By Cholesky's decomposition: K is a sum of Gram matrices, so no pivot is negative. K is overwritten. */
function logDeterminant(k: Float64Array, size: number): number {
  const largest = k[0]!;
  let logarithm = 0;
  for (let j = 0; j < size; j++) {
    const pivot = k[j * size + j]!;
    // What rounding leaves of a zero is below this.
    if (!(pivot > largest * size * Number.EPSILON))
      throw new FleetError(
        'invalidArgument',
        'NASWOT has no value: two images of the batch switch all units alike; give images that differ',
      );
    logarithm += Math.log(pivot);
    for (let i = j + 1; i < size; i++) {
      const factor = k[i * size + j]! / pivot;
      for (let c = j; c < size; c++) k[i * size + c]! -= factor * k[j * size + c]!;
    }
  }
  return logarithm;
}
