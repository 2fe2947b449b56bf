// What a text would do, without doing it: its parts in the order in which they begin, each with runs, steps, images
// and multiply-adds, and the worker-seconds of that by what runs took before on each device class. A search is
// rehearsed by its own strategy. Failures and their repetition are left out.

import { costsOf } from '../../core/nn/space.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import { scheduleOf } from '../../core/spec/schedule.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { TrainingSpec } from '../../core/spec/training.ts';
import type {
  Forecast,
  ForecastPart,
  ForecastRange,
  ForecastTime,
} from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { CheckedDocument } from '../decisions/inputs.ts';
import { attachedWorkers, type State, wholeRunWith } from '../model/state.ts';
import {
  type LoadTime,
  type MeasuredRun,
  measuredRuns,
  type Range,
  timesOf,
  withTeacher,
} from '../scheduling/measured-times.ts';
import {
  drawnAccuracies,
  type Evaluation,
  isForeseen,
  type Rehearsal,
  rehearse,
} from '../strategies/rehearsal.ts';
import { lagOf } from '../strategies/strategies.ts';

/** What a forecast is made from. */
export interface ForecastContext {
  readonly state: State;
  readonly speedOf: (runId: string, workerId: string) => number | undefined;
  /** Milliseconds of any clock: a rehearsal is cut off by it. */
  readonly now: () => number;
}

/** Searches of a strategy that learns are rehearsed so many times, with other results each time. */
const REHEARSALS = 3;

/** The forecast of a whole text. */
export async function forecastOf(
  documents: readonly CheckedDocument[],
  context: ForecastContext,
): Promise<Forecast> {
  const measured = measuredRuns(context.state, context.speedOf);
  const parts: ForecastPart[] = [];
  for (const [at, document] of documents.entries()) {
    const about = { document: at + 1, images: document.facts.trainingImages, measured };
    if (document.kind === 'plan') parts.push(...(await planParts(document.spec, about, context)));
    else if (document.kind === 'sweep')
      parts.push((await searchPart(document.spec, { ...about, field: '' }, context)).part);
    else {
      const { spec } = document;
      const teacher = spec.distillation && teacherOf(spec.distillation.teacher, documents, context.state);
      const begins = teacher === undefined ? 'at once' : `with the first checkpoint of ${teacher.name}`;
      const network = exactly(costsOf(spec.network).multiplyAdds);
      parts.push(
        runPart({ ...spec, network, teacher: teacher?.multiplyAdds }, { ...about, field: '', begins }),
      );
    }
  }
  const untimed =
    measured.length === 0 ? 'no run of this fleet is done or trains, so no speed was measured' : '';
  return { parts, times: totalTimes(parts), untimed };
}

/** Where a part stands, and what it is judged by. */
interface About {
  readonly document: number;
  readonly field: string;
  /** Training images of the data. */
  readonly images: number;
  readonly measured: readonly MeasuredRun[];
}

const exactly = (value: number): Range => ({ low: value, likely: value, high: value });

async function planParts(
  spec: PlanSpec,
  about: Omit<About, 'field'>,
  context: ForecastContext,
): Promise<ForecastPart[]> {
  const parts: ForecastPart[] = [];
  let best: Range | undefined;
  if (spec.search !== undefined) {
    const search: SweepSpec = { ...spec.search, kind: 'sweep', name: 'search', data: spec.data };
    const searched = await searchPart(search, { ...about, field: 'search' }, context);
    parts.push(searched.part);
    best = searched.network;
  }
  const afterSearch = spec.search === undefined ? 'at once' : 'when the search has ended';
  const { teacher } = spec;
  const teacherAdds = teacher && costsOf(teacher.network).multiplyAdds;
  if (teacher !== undefined) {
    const begins = teacher.start === 'at-once' ? 'at once' : afterSearch;
    const run = { ...teacher, kind: 'teacher' as const, network: exactly(teacherAdds!) };
    const part = runPart(run, { ...about, field: 'teacher', begins });
    if (teacher.start === 'at-once') parts.unshift(part);
    else parts.push(part);
  }
  for (const [at, student] of spec.students.entries()) {
    const network = student.network === 'best' ? best! : exactly(costsOf(student.network).multiplyAdds);
    const isTaught = student.distillation !== undefined;
    const begins = isTaught ? `${afterSearch}, with the first checkpoint of ${teacher!.name}` : afterSearch;
    const run = {
      ...{ name: student.name, training: student.training, kind: 'student' as const, network },
      teacher: isTaught ? teacherAdds : undefined,
    };
    const note = student.network === 'best' ? 'the network is one of the candidates' : '';
    parts.push(runPart(run, { ...about, field: `students.${at}`, begins, note }));
  }
  return parts;
}

/** The teacher that a run by itself names: one of the same text, or a run of the fleet. */
function teacherOf(named: string, documents: readonly CheckedDocument[], state: State) {
  for (const { kind, spec } of documents)
    if (kind === 'run' && spec.kind === 'teacher' && spec.name === named)
      return { name: named, multiplyAdds: costsOf(spec.network as NetworkSpec).multiplyAdds };
  const run = wholeRunWith(state, named);
  return { name: named, multiplyAdds: run?.costs.multiplyAdds ?? 0 };
}

function runPart(
  run: {
    readonly name: string;
    readonly kind: MeasuredRun['kind'];
    readonly training: TrainingSpec;
    /** Multiply-adds of an image. */
    readonly network: Range;
    readonly teacher?: number | undefined;
  },
  about: About & { readonly begins: string; readonly note?: string },
): ForecastPart {
  const { document, field, begins, note = '', measured } = about;
  const { name, kind, training, network, teacher } = run;
  const steps = scheduleOf(training, about.images).stepsTotal;
  const images = steps * training.batch;
  const timeOf = (of: keyof Range) => {
    const multiplyAdds = withTeacher(network[of], teacher);
    return timesOf(measured, { kind, runs: 1, work: multiplyAdds * images, multiplyAdds });
  };
  const [low, likely, high] = [timeOf('low'), timeOf('likely'), timeOf('high')];
  return {
    ...{ document, field, name, kind, begins, note },
    ...{ runs: exactly(1), steps: exactly(steps), images: exactly(images) },
    multiplyAdds: scaled(network, images),
    times: likely.map((time, at) => forecastTime([low[at]!, time, high[at]!], time)),
  };
}

/** A search, and the multiply-adds of an image in its candidates. */
async function searchPart(
  spec: SweepSpec,
  { document, field, images, measured }: About,
  { state, now }: ForecastContext,
): Promise<{ readonly part: ForecastPart; readonly network: Range }> {
  const workers = attachedWorkers(state);
  const parallelism = spec.parallelism > 0 ? spec.parallelism : Math.max(1, workers);
  const rehearsals: Rehearsal[] = [];
  for (let seed = 1; seed <= (isForeseen(spec) ? 1 : REHEARSALS); seed++) {
    const accuracyOf = drawnAccuracies(seed);
    rehearsals.push(await rehearse(spec, { lag: lagOf(spec, workers) ?? 1, parallelism, accuracyOf, now }));
  }
  const totals = rehearsals.map((one) => totalOf(one, spec.evaluation.training, images));
  const times = totals.map(({ runs, multiplyAdds }, at) =>
    timesOf(measured, {
      kind: 'candidate',
      runs,
      work: multiplyAdds,
      multiplyAdds: meanAdds(rehearsals[at]!),
    }),
  );
  const adds = rehearsals.flatMap(({ evaluations }) => evaluations.map(({ costs }) => costs.multiplyAdds));
  const part: ForecastPart = {
    ...{
      document,
      field,
      name: spec.name,
      kind: 'search',
      begins: 'at once',
      note: searchNote(spec, rehearsals),
    },
    runs: rangeOf(totals.map(({ runs }) => runs)),
    steps: rangeOf(totals.map(({ steps }) => steps)),
    images: rangeOf(totals.map((total) => total.images)),
    multiplyAdds: rangeOf(totals.map(({ multiplyAdds }) => multiplyAdds)),
    times: (times[0] ?? []).map((time, at) =>
      forecastTime(
        times.map((of) => of[at]!),
        time,
      ),
    ),
  };
  return { part, network: rangeOf(adds) };
}

const meanAdds = ({ evaluations }: Rehearsal): number =>
  evaluations.reduce((sum, { costs }) => sum + costs.multiplyAdds, 0) / Math.max(1, evaluations.length);

/** What the evaluations of a rehearsed search come to, those that were cut off in proportion. */
function totalOf({ evaluations, share }: Rehearsal, training: TrainingSpec, dataImages: number) {
  let [steps, images, multiplyAdds] = [0, 0, 0];
  for (const evaluation of evaluations) {
    const own = stepsOf(evaluation, training, dataImages);
    steps += own;
    images += own * training.batch;
    multiplyAdds += own * training.batch * evaluation.costs.multiplyAdds;
  }
  const whole = (value: number) => Math.round(value / share);
  return {
    runs: whole(evaluations.filter(({ before }) => before === 0).length),
    steps: whole(steps),
    images: whole(images),
    multiplyAdds: whole(multiplyAdds),
  };
}

/** Steps of an evaluation: one that goes on to more epochs begins where the one before ended. */
function stepsOf(
  { before, epochs, images: part }: Evaluation,
  training: TrainingSpec,
  images: number,
): number {
  const fraction = part * (training.fraction ?? 1);
  const upTo = (epoch: number) =>
    epoch === 0 ? 0 : scheduleOf({ ...training, epochs: epoch, fraction }, images).stepsTotal;
  return upTo(epochs) - upTo(before);
}

function searchNote(spec: SweepSpec, rehearsals: readonly Rehearsal[]): string {
  const [{ trials, share } = { trials: 0, share: 1 }] = rehearsals;
  const { strategy } = spec;
  const parts = [
    isForeseen(spec) ? '' : `${strategy.kind} learns from results: ${REHEARSALS} searches with drawn ones`,
    share < 1 ? `${trials} of ${strategy.trials} trials were rehearsed, the others are in proportion` : '',
    share === 1 && trials < strategy.trials ? `the space has ${trials} candidates that can be tried` : '',
  ];
  return parts.filter((part) => part !== '').join('; ');
}

const rangeOf = (values: readonly number[]): ForecastRange => together(values.map(exactly));

/** The least and the most of several cases, and the mean between. */
function together(cases: readonly Range[]): ForecastRange {
  if (cases.length === 0) return exactly(0);
  const low = cases.reduce((least, one) => Math.min(least, one.low), Number.POSITIVE_INFINITY);
  const high = cases.reduce((most, one) => Math.max(most, one.high), Number.NEGATIVE_INFINITY);
  const mean = cases.reduce((sum, { likely }) => sum + likely, 0) / cases.length;
  // A sum of equal numbers may round to either side of them.
  return { low, likely: Math.min(high, Math.max(low, mean)), high };
}

const scaled = ({ low, likely, high }: Range, by: number): ForecastRange => ({
  ...{ low: low * by, likely: likely * by, high: high * by },
});

const LIKE: Readonly<Record<LoadTime['like'], string>> = {
  kind: 'of this kind and size',
  size: 'of this size',
  none: 'of other sizes',
};

/** The times of several cases together; what they were measured on is said of one. */
function forecastTime(cases: readonly LoadTime[], one: LoadTime): ForecastTime {
  const { deviceClass, runs: measuredRuns, like, isLive } = one;
  const live = isLive ? ', which train now: what runs take beside their steps is not in it' : '';
  return {
    ...{
      deviceClass,
      measuredRuns,
      basis: `${measuredRuns} ${measuredRuns === 1 ? 'run' : 'runs'} ${LIKE[like]}${live}`,
    },
    workerSeconds: together(cases.map(({ seconds }) => seconds)),
  };
}

function totalTimes(parts: readonly ForecastPart[]): ForecastTime[] {
  const totals = new Map<string, ForecastTime>();
  for (const { times } of parts)
    for (const { deviceClass, workerSeconds, measuredRuns } of times) {
      const before = totals.get(deviceClass);
      const add = (of: keyof Range) => (before?.workerSeconds?.[of] ?? 0) + (workerSeconds?.[of] ?? 0);
      totals.set(deviceClass, {
        ...{ deviceClass, basis: '', measuredRuns: Math.max(before?.measuredRuns ?? 0, measuredRuns) },
        workerSeconds: { low: add('low'), likely: add('likely'), high: add('high') },
      });
    }
  return [...totals.values()];
}
