// What names the batches of a run beside step and shard: runs for which it is equal see the same bytes in the same
// places, so that the embeddings of a teacher serve all of them.

import { canonicalJson } from './canonical-json.ts';
import type { RunSpec } from './run.ts';
import { orderOf } from './training.ts';

/** Data, order, cut of the steps and flips as one text. */
export function orderKeyOf({ training, data }: Pick<RunSpec, 'training' | 'data'>): string {
  const { batch, shards, flip, fraction } = training;
  return canonicalJson({ data, order: orderOf(training), batch, shards, flip, fraction });
}
