// How long runs take, as far as it was measured: what is left of a running one by the speed of its members,
// and what a queued one would take by how fast others compute on such workers. Preparing, checkpoints and the
// verification at the end are left out. Without a measurement there is no estimate.

import { haltedAt, scheduleOf } from '../../core/spec/schedule.ts';
import type { Observed } from '../model/observed.ts';
import { isEmbedding } from '../model/orders.ts';
import type { RunState } from '../model/state.ts';

/** Images that a run has still to compute, by its last report or its newest checkpoint. */
function imagesLeft(run: RunState, observed: Observed): number {
  const { stepsTotal, batch } = haltedAt(
    scheduleOf(run.job.training, run.facts.trainingImages),
    run.haltStage,
  );
  const step = Math.max(observed.stepOf?.(run.id) ?? 0, run.checkpoints.at(-1)?.step ?? 0);
  return Math.max(0, stepsTotal - step) * batch;
}

/**
 * When a running run ends, milliseconds since the epoch; a step takes as long as its slowest member needs. While
 * the speed of a member is unknown it follows from the pace of others; undefined without that.
 */
export function endOf(run: RunState, pace: number | undefined, observed: Observed): number | undefined {
  const duration = measuredDuration(run, observed) ?? durationOf(run, run.gang.length, pace, observed);
  return duration === undefined ? undefined : observed.now + duration;
}

function measuredDuration(run: RunState, observed: Observed): number | undefined {
  const perImage = secondsAnImageOf(run, observed);
  return perImage === undefined ? undefined : 1_000 * imagesLeft(run, observed) * perImage;
}

/**
 * How long its gang takes from one sum over its shards to the next, milliseconds: a step, or the steps of a round.
 * Undefined while the speed of a member is unknown.
 */
export function roundMsOf(run: RunState, observed: Observed): number | undefined {
  const perImage = secondsAnImageOf(run, observed);
  if (perImage === undefined) return undefined;
  const { roundSteps, batch } = scheduleOf(run.job.training, run.facts.trainingImages);
  return 1_000 * roundSteps * batch * perImage;
}

/** Of a gang: that of its slowest member. */
function secondsAnImageOf(run: RunState, observed: Observed): number | undefined {
  const { shards } = run.job.training;
  let secondsAnImage = 0;
  for (const { workerId, shardCount } of run.gang) {
    const speed = observed.speedOf?.(run.id, workerId);
    if (speed === undefined || !(speed > 0)) return undefined;
    secondsAnImage = Math.max(secondsAnImage, shardCount / shards / speed);
  }
  return secondsAnImage;
}

/**
 * Multiply-adds a second of one worker, the mean over the members of those of these runs that train; undefined without
 * a measurement.
 */
export function paceOf(runs: readonly RunState[], observed: Observed): number | undefined {
  let sum = 0;
  let count = 0;
  for (const run of runs.filter((one) => !isEmbedding(one)))
    for (const { workerId } of run.gang) {
      const speed = observed.speedOf?.(run.id, workerId);
      if (speed === undefined || !(speed > 0)) continue;
      sum += speed * run.costs.multiplyAdds;
      count += 1;
    }
  return count === 0 ? undefined : sum / count;
}

/** What is left of a run takes so long on so many workers of this pace, milliseconds. */
export function durationOf(
  run: RunState,
  workers: number,
  pace: number | undefined,
  observed: Observed,
): number | undefined {
  if (pace === undefined) return undefined;
  return (1_000 * imagesLeft(run, observed) * run.costs.multiplyAdds) / (pace * workers);
}
