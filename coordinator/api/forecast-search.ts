// The search of a forecast: rehearsed by its own strategy, some times with drawn results where it learns from them.
// Decides what is said beside its numbers.

import { scheduleOf } from '../../core/spec/schedule.ts';
import { withSeeds } from '../../core/spec/seed-searches.ts';
import { trialsOf } from '../../core/spec/strategy.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { TrainingSpec } from '../../core/spec/training.ts';
import type { ForecastPart } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startAtSubmit, withStartById } from '../decisions/warm-start.ts';
import { attachedWorkers } from '../model/state.ts';
import { priorsOf } from '../model/warm-start.ts';
import { type Range, timesOf, withTeacher } from '../scheduling/measured-times.ts';
import { drawnAccuracies, isForeseen, type Rehearsal, rehearse } from '../strategies/rehearsal.ts';
import { lagOf } from '../strategies/strategies.ts';
import { type About, type ForecastContext, forecastTime, rangeOf } from './forecast-amounts.ts';
import { seedParts } from './forecast-seeds.ts';
import type { SearchTeacher } from './forecast-teachers.ts';
import { foreseenCandidates } from './foreseen.ts';

/** Searches of a strategy that learns are rehearsed so many times, with other results each time. */
const REHEARSALS = 3;

/** A search, the multiply-adds of an image in its candidates, and the key of the best one where that is known. */
export async function searchParts(
  spec: SweepSpec,
  about: About & { readonly begins: string; readonly teacher: SearchTeacher | undefined },
  context: ForecastContext,
): Promise<{
  readonly parts: readonly ForecastPart[];
  readonly network: Range;
  readonly best?: string | undefined;
}> {
  const seeds = withSeeds(spec);
  if (seeds !== undefined) return seedParts(seeds, about, context);
  const { part, ...found } = await searchPart(spec, about, context);
  return { parts: [part], ...found };
}

/** As `searchParts`, of a search whose candidates are proposed. */
async function searchPart(
  spec: SweepSpec,
  about: About & { readonly begins: string; readonly teacher: SearchTeacher | undefined },
  { state, now, pools }: ForecastContext,
): Promise<{ readonly part: ForecastPart; readonly network: Range; readonly best?: string | undefined }> {
  const { document, field, begins, images, measured, facts, teacher } = about;
  const workers = attachedWorkers(state);
  const parallelism = spec.parallelism > 0 ? spec.parallelism : Math.max(1, workers);
  const prior = priorsOf(state, spec, startAtSubmit(state, withStartById(state, spec)).start);
  const known = foreseenCandidates({ state, pools }, spec, facts, teacher?.identity);
  const rehearsals: Rehearsal[] = [];
  for (let seed = 1; seed <= (isForeseen(spec) ? 1 : REHEARSALS); seed++) {
    const how = { lag: lagOf(spec, workers) ?? 1, parallelism, prior, known, now };
    rehearsals.push(await rehearse(spec, { ...how, accuracyOf: drawnAccuracies(seed) }));
    // With every result known each rehearsal is the same.
    if (rehearsals[0]!.best !== undefined) break;
  }
  const shared = teacher?.passes({
    adds: meanAdds(rehearsals[0]!),
    atOnce: Math.min(parallelism, trialsOf(spec.strategy)),
  });
  const taught = teacher && teacher.multiplyAdds * shared!.passes;
  const totals = rehearsals.map((one) => totalOf(one, spec.evaluation.training, images));
  const times = totals.map(({ computed, multiplyAdds, images }, at) =>
    timesOf(measured, {
      ...{ kind: 'candidate', runs: computed, work: withTeacher(multiplyAdds, taught && taught * images) },
      multiplyAdds: withTeacher(meanAdds(rehearsals[at]!), taught),
    }),
  );
  const adds = rehearsals.flatMap(({ evaluations }) => evaluations.map(({ costs }) => costs.multiplyAdds));
  const part: ForecastPart = {
    ...{
      document,
      field,
      name: spec.name,
      kind: 'search',
      begins,
      note: [searchNote(spec, rehearsals, prior.length), shared?.note ?? '']
        .filter((text) => text !== '')
        .join('; '),
    },
    runs: rangeOf(totals.map(({ runs }) => runs)),
    reused: rangeOf(totals.map(({ reused }) => reused)),
    steps: rangeOf(totals.map(({ steps }) => steps)),
    images: rangeOf(totals.map((total) => total.images)),
    multiplyAdds: rangeOf(totals.map((total) => total.multiplyAdds + (taught ?? 0) * total.images)),
    times: (times[0] ?? []).map((time, at) =>
      forecastTime(
        times.map((of) => of[at]!),
        time,
      ),
    ),
  };
  return { part, network: rangeOf(adds), best: rehearsals[0]?.best };
}

const meanAdds = ({ evaluations }: Rehearsal): number =>
  evaluations.reduce((sum, { costs }) => sum + costs.multiplyAdds, 0) / Math.max(1, evaluations.length);

/** What the evaluations of a rehearsed search come to, those that were cut off in proportion. */
function totalOf({ evaluations, share }: Rehearsal, training: TrainingSpec, dataImages: number) {
  let [steps, images, multiplyAdds] = [0, 0, 0];
  /** Epochs that each trial has computed: one that goes on begins where its own run has ended. */
  const computed = new Map<number, number>();
  for (const { trial, before, epochs, images: part, costs, isKnown } of evaluations) {
    if (isKnown) continue;
    const fraction = part * (training.fraction ?? 1);
    const upTo = (epoch: number) =>
      epoch === 0 ? 0 : scheduleOf({ ...training, epochs: epoch, fraction }, dataImages).stepsTotal;
    const own = upTo(epochs) - upTo(before === 0 ? 0 : (computed.get(trial) ?? 0));
    computed.set(trial, epochs);
    steps += own;
    images += own * training.batch;
    multiplyAdds += own * training.batch * costs.multiplyAdds;
  }
  const whole = (value: number) => Math.round(value / share);
  return {
    runs: whole(evaluations.filter(({ before }) => before === 0).length),
    computed: whole(computed.size),
    reused: whole(evaluations.filter(({ isKnown }) => isKnown).length),
    steps: whole(steps),
    images: whole(images),
    multiplyAdds: whole(multiplyAdds),
  };
}

function searchNote(spec: SweepSpec, rehearsals: readonly Rehearsal[], prior: number): string {
  const [{ trials, share, evaluations, scored } = { trials: 0, share: 1, evaluations: [], scored: 0 }] =
    rehearsals;
  const { strategy } = spec;
  const reused = evaluations.filter(({ isKnown }) => isKnown).length;
  const isDrawn = !isForeseen(spec) && reused < evaluations.length;
  const parts = [
    prior === 0 ? '' : `begins with ${prior} results of ${'from' in strategy ? strategy.from : ''}`,
    reused === 0 ? '' : `the results of ${reused} of ${evaluations.length} evaluations are there, and taken`,
    isDrawn ? `${strategy.kind} learns from results: ${REHEARSALS} searches with drawn ones` : '',
    scored === 0
      ? ''
      : `${scored} candidates are scored before, by drawn scores here; their time is not in it`,
    share < 1 ? `${trials} of ${trialsOf(strategy)} trials were rehearsed, the others are in proportion` : '',
    share === 1 && trials < trialsOf(strategy) ? `the space has ${trials} candidates that can be tried` : '',
  ];
  return parts.filter((part) => part !== '').join('; ');
}
