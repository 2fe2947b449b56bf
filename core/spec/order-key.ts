// What names the batches of a run beside step and shard: runs for which it is equal see the same bytes in the same
// places, so that the embeddings of a teacher serve all of them.

import { canonicalJson } from './canonical-json.ts';
import { type DataOfRun, dataKeyOf } from './data-key.ts';
import { blockFormOf, type DistillationSpec } from './distillation.ts';
import type { RunSpec } from './run.ts';
import { orderOf } from './training.ts';

/** What students of one teacher have in common that may share its embeddings: their order, and the stage of each epoch. */
export function sharedOrderOf(of: SharedOrder): string {
  const { epochs, exact } = of.training;
  return canonicalJson({ order: orderKeyOf(of), epochs, exact, schedule: of.distillation?.schedule });
}

/** What an order follows from. */
export type Ordered = Pick<RunSpec, 'training'> &
  DataOfRun & { readonly distillation?: Pick<DistillationSpec, 'blocks'> | undefined };

/** What students share embeddings by. */
export type SharedOrder = Ordered & {
  readonly distillation?: Pick<DistillationSpec, 'blocks' | 'schedule'> | undefined;
};

/**
 * Data, order, cut of the steps and flips as one text. Runs that promise no equal bits have keys of their own, because what
 * is shared among them may come from any device; and so have those whose embeddings are rounded.
 */
export function orderKeyOf({ training, data, digest, distillation }: Ordered): string {
  const { batch, shards, flip, fraction, exact } = training;
  const of = { data: dataKeyOf({ data, digest }), order: orderOf(training), batch, shards, flip, fraction };
  const form = blockFormOf(distillation);
  const blocks = form === 'float32' ? undefined : form;
  return canonicalJson({ ...of, ...(exact ? {} : { exact }), ...(blocks === undefined ? {} : { blocks }) });
}
