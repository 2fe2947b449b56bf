// What names the batches of a run beside step and shard: runs for which it is equal see the same bytes in the same
// places, so that the embeddings of a teacher serve all of them.

import { canonicalJson } from './canonical-json.ts';
import { type DataOfRun, dataKeyOf } from './data-key.ts';
import type { TeacherSchedule } from './distillation.ts';
import type { RunSpec } from './run.ts';
import { orderOf } from './training.ts';

/** What students of one teacher have in common that may share its embeddings: their order, and the stage of each epoch. */
export function sharedOrderOf({ schedule, ...of }: SharedOrder): string {
  const { epochs, exact } = of.training;
  return canonicalJson({ order: orderKeyOf(of), epochs, exact, schedule });
}

/** What an order follows from. */
export type Ordered = Pick<RunSpec, 'training'> & DataOfRun;

/** What students share embeddings by. */
export type SharedOrder = Ordered & { readonly schedule: TeacherSchedule | undefined };

/**
 * Data, order, cut of the steps and flips as one text. Runs that promise no equal bits have keys of their own: what is
 * shared among them may come from any device.
 */
export function orderKeyOf({ training, data, digest }: Ordered): string {
  const { batch, shards, flip, fraction, exact } = training;
  const of = { data: dataKeyOf({ data, digest }), order: orderOf(training), batch, shards, flip, fraction };
  return canonicalJson(exact ? of : { ...of, exact });
}
