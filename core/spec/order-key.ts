// What names the batches of a run beside step and shard: runs for which it is equal see the same bytes in the same
// places, so that the embeddings of a teacher serve all of them.

import { canonicalJson } from './canonical-json.ts';
import type { TeacherSchedule } from './distillation.ts';
import type { RunSpec } from './run.ts';
import { orderOf } from './training.ts';

/** What students of one teacher have in common that may share its embeddings: their order, and the stage of each epoch. */
export function sharedOrderOf({
  training,
  data,
  schedule,
}: Pick<RunSpec, 'training' | 'data'> & { readonly schedule: TeacherSchedule | undefined }): string {
  const { epochs, exact } = training;
  return canonicalJson({ order: orderKeyOf({ data, training }), epochs, exact, schedule });
}

/**
 * Data, order, cut of the steps and flips as one text. Runs that promise no equal bits have keys of their own: what is
 * shared among them may come from any device.
 */
export function orderKeyOf({ training, data }: Pick<RunSpec, 'training' | 'data'>): string {
  const { batch, shards, flip, fraction, exact } = training;
  const of = { data, order: orderOf(training), batch, shards, flip, fraction };
  return canonicalJson(exact ? of : { ...of, exact });
}
