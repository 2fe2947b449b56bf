// ZiCo: how large and how steady the gradients of a network at its initial weights are from batch to batch (Li
// et al., "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients", 2023, eq. 15). For each
// convolution and linear layer, log of the sum over its weights of E |g| / std g over the batches; the score is
// the sum over the layers. A weight whose gradient does not vary is left out, and so is a layer without any
// other.
//
// Legend: B batches, P parameters.

import { FleetError } from '../errors.ts';
import type { Layout } from '../nn/layout.ts';
import type { Network } from '../nn/network.ts';

/** Batches that are needed: the deviation over one is zero. */
const ZICO_BATCHES_MIN = 2;

/**
 * The score. Higher is better. `gradients`: of each batch [P] or longer, in the layout's order; a head's is not
 * read. `invalidArgument` for fewer than two, `outOfRange` where they are not finite or nothing varies.
 */
export function zico(network: Network, layout: Layout, gradients: readonly Float32Array[]): number {
  if (gradients.length < ZICO_BATCHES_MIN)
    throw new FleetError(
      'invalidArgument',
      `ZiCo compares gradients of ${ZICO_BATCHES_MIN} batches or more, and got ${gradients.length}`,
    );
  let score = 0;
  let layers = 0;
  for (const slot of layout.parameters) {
    const kind = network.layers[slot.layer]?.kind;
    if (slot.role !== 'weight' || (kind !== 'conv' && kind !== 'depthwise' && kind !== 'linear')) continue;
    let sum = 0;
    for (let i = slot.offset; i < slot.offset + slot.size; i++) sum += steadiness(gradients, i);
    if (sum === 0) continue;
    score += Math.log(sum);
    layers++;
  }
  if (layers === 0 || !Number.isFinite(score))
    throw new FleetError('outOfRange', 'ZiCo is not finite: the gradients are not, or none of them varies');
  return score;
}

/** E |g| / std g of one weight; 0 where the deviation, that of the batches as a population, is 0. */
function steadiness(gradients: readonly Float32Array[], weight: number): number {
  let mean = 0;
  let size = 0;
  for (const gradient of gradients) {
    mean += gradient[weight]!;
    size += Math.abs(gradient[weight]!);
  }
  mean /= gradients.length;
  let squares = 0;
  for (const gradient of gradients) squares += (gradient[weight]! - mean) ** 2;
  return squares === 0 ? 0 : size / gradients.length / Math.sqrt(squares / gradients.length);
}
