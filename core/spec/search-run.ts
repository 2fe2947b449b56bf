// A submitted search as the run that the fleet trains: the network that its cells make stands for the one to be
// found, and its training is that of the weights, on their half of the images. Decides where each field goes, so
// that everything that places, counts and shows runs sees one like any other.

import { SUPERNET_EMBEDDING } from './network.ts';
import { anyRunSchema, type RunSpec } from './run.ts';
import type { SearchSpec } from './search.ts';

/** The part of the training images that is the half of the weights. */
const HALF = 0.5;

/** The run of a search. */
export function runOfSearch(spec: SearchSpec): RunSpec {
  const { supernet, halves, search, ...rest } = spec;
  const {
    epochs,
    batch,
    shards,
    seed,
    flip,
    weights,
    exact,
    recompute,
    force: _force,
    head: _,
    ...own
  } = search;
  return anyRunSchema.parse({
    ...rest,
    network: { kind: 'pocketnet', ...supernet, embedding: SUPERNET_EMBEDDING, genotype: 'casia' },
    training: {
      ...{ epochs, batch, shards, seed, flip, exact, optimizer: weights },
      ...(recompute === undefined ? {} : { recompute }),
      fraction: HALF,
    },
    search: { supernet, halves, ...own },
  });
}
