// The batches of a run's own shards, for the open step and for the one after it. Decides that a batch which was
// read ahead, for the teacher's pass, is the one that the step gets.

import type { Loader } from '../../core/data/loading/loader.ts';
import type { Batch, BatchRequest } from '../../core/data/loading/loader-messages.ts';
import type { Schedule } from '../../core/spec/schedule.ts';
import { orderOf, type TrainingSpec } from '../../core/spec/training.ts';

export interface BatchSource {
  /** Of the images that the batches are of. */
  readonly schedule: Schedule;
  /** The batch, for the step that trains with it: it is given out once. */
  take(step: number, shard: number): Promise<Batch>;
  /** The batch before its step; a failure is told to whoever takes it. */
  ahead(step: number, shard: number): Promise<Batch>;
}

export function createBatchSource(options: {
  readonly loader: Pick<Loader, 'batch'>;
  readonly schedule: Schedule;
  readonly training: TrainingSpec;
  /** Of a search: the half of the images that these are of, and how they are cut out. */
  readonly part?: Partial<Pick<BatchRequest, 'half' | 'cropFrom' | 'flip'>>;
}): BatchSource {
  const { loader, schedule, training, part } = options;
  const early = new Map<string, { readonly step: number; readonly batch: Promise<Batch> }>();
  const read = (step: number, shard: number) =>
    loader.batch({ schedule, seed: orderOf(training), flip: training.flip, step, shard, ...part });
  return {
    schedule,
    take(step, shard) {
      const key = `${step}/${shard}`;
      const found = early.get(key);
      early.delete(key);
      return found?.batch ?? read(step, shard);
    },
    ahead(step, shard) {
      // What another shard or an earlier step left behind is not asked for any more.
      for (const [key, other] of early) if (other.step < step) early.delete(key);
      const key = `${step}/${shard}`;
      const found = early.get(key);
      if (found !== undefined) return found.batch;
      const batch = read(step, shard);
      batch.catch(() => undefined);
      early.set(key, { step, batch });
      return batch;
    },
  };
}
