// The step loop of one run in one generation: batches, teacher embeddings, the compiled step of each own shard, the sum over
// the gang, the optimiser. Decides the order in which these meet and where the loop may stop (before a step's result is
// applied, never in it). Joining a gang and what happens after the last step are run.ts'.

import { stageEndingAt } from '../../core/spec/schedule.ts';
import { secondsSince, type TrainContext, trainingGraph } from './context.ts';
import { trainStep } from './every-step.ts';
import { trainRound } from './outer.ts';
import { createRate } from './rate.ts';

/** Trains until the last step is committed, or throws the signal's reason. */
export async function train(context: TrainContext): Promise<void> {
  const { schedule, replica, signal, clock } = context;
  const rate = createRate();
  while (replica.step < schedule.stepsTotal) {
    signal.throwIfAborted();
    const startedAt = clock.monotonic();
    const before = replica.step;
    const outcome = await trainOn(context);
    const total = secondsSince(clock, startedAt);
    const steps = replica.step - before;
    const imagesPerSecond = rate.add(schedule.batch * steps, total);
    context.onStep(
      { ...outcome.point, imagesPerSecond, atMs: clock.now() },
      { ...outcome.times, total, steps },
    );
  }
  const last = stageEndingAt(schedule, replica.step);
  if (last > 0) await context.onBoundary(last);
}

/** From one sum over the gang to the next. */
function trainOn(context: TrainContext) {
  const { sync } = context.spec.training;
  if (sync.kind === 'every-step') return trainStep(context);
  return trainRound({ ...context, outer: sync, graph: trainingGraph(context.spec, context.classes) });
}
