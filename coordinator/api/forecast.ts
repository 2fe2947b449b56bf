// What a text would do, without doing it: its parts in the order in which they begin, each with runs, steps, images
// and multiply-adds, and the worker-seconds of that by what runs took before on each device class. A search is
// rehearsed by its own strategy. Results that would be taken are counted apart. Failures and their repetition are left out.

import { genotypeOfKey } from '../../core/nn/genotype-code.ts';
import { candidateNetwork, costsOf } from '../../core/nn/space.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import { isSearched, namesOfStudent, otherTeacherOf, type PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
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
import { teacherSpec } from '../decisions/plan.ts';
import type { Fleet, Needs } from '../decisions/reuse.ts';
import { learnsFromOwn } from '../decisions/teachers.ts';
import { startAtSubmit, withStartById } from '../decisions/warm-start.ts';
import { find } from '../model/find.ts';
import { type Identity, identityOf, identityOfSpec } from '../model/identity.ts';
import { attachedWorkers, type DataFacts, type State, wholeRunWith } from '../model/state.ts';
import { priorsOf } from '../model/warm-start.ts';
import {
  type LoadTime,
  type MeasuredRun,
  measuredRuns,
  type Range,
  timesOf,
  withTeacher,
} from '../scheduling/measured-times.ts';
import { drawnAccuracies, isForeseen, type Rehearsal, rehearse } from '../strategies/rehearsal.ts';
import { lagOf } from '../strategies/strategies.ts';
import { foreseenCandidates, foreseenRun } from './foreseen.ts';
import { sharingIn } from './shared-passes.ts';
import { wholeDevicesNote } from './whole-devices.ts';

/** What a forecast is made from. */
export interface ForecastContext {
  readonly state: State;
  readonly speedOf: (runId: string, workerId: string) => number | undefined;
  /** Milliseconds of any clock: a rehearsal is cut off by it. */
  readonly now: () => number;
  /** Workers by what a run may require, for what it would take of others. */
  readonly pools: Fleet['pools'];
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
    const { facts } = document;
    const about = { document: at + 1, images: facts.trainingImages, measured, facts };
    if (document.kind === 'plan') parts.push(...(await planParts(document.spec, about, context)));
    else if (document.kind === 'sweep')
      parts.push(
        (
          await searchPart(
            document.spec,
            { ...about, field: '', teacher: teacherOfSearch(document.spec, documents, context.state) },
            context,
          )
        ).part,
      );
    else parts.push(runByItself(document, documents, about, context));
  }
  const untimed =
    measured.length === 0 ? 'no run of this fleet is done or trains, so no speed was measured' : '';
  return { parts, times: totalTimes(parts), untimed };
}

function runByItself(
  { spec, facts }: Extract<CheckedDocument, { kind: 'run' }>,
  documents: readonly CheckedDocument[],
  about: Omit<About, 'field'>,
  context: ForecastContext,
): ForecastPart {
  const teacher = spec.distillation && teacherOf(spec.distillation.teacher, documents, context.state);
  const begins = teacher === undefined ? 'at once' : `with the first checkpoint of ${teacher.name}`;
  const network = exactly(costsOf(spec.network).multiplyAdds);
  const needs = spec.kind === 'teacher' ? needsIn({ kind: 'run', spec, facts }, documents, context) : [];
  const reused = foreseenRun(context, { spec, facts, teacher: teacher?.identity, needs });
  const run = { ...spec, network, teacher: teacher?.multiplyAdds };
  const note = wholeDevicesNote(spec, context.state);
  return runPart(run, { ...about, field: '', begins, note, reused });
}

/** Where a part stands, and what it is judged by. */
interface About {
  readonly document: number;
  readonly field: string;
  /** Training images of the data. */
  readonly images: number;
  readonly facts: DataFacts;
  readonly measured: readonly MeasuredRun[];
}

const exactly = (value: number): Range => ({ low: value, likely: value, high: value });

async function planParts(
  spec: PlanSpec,
  about: Omit<About, 'field'>,
  context: ForecastContext,
): Promise<ForecastPart[]> {
  const parts: ForecastPart[] = [];
  const { facts } = about;
  const { teacher } = spec;
  const teacherAdds = teacher && costsOf(teacher.network).multiplyAdds;
  const identity = teacher && identityOfSpec(teacherSpec(spec), facts);
  let best: Range | undefined;
  let winner: NetworkSpec | undefined;
  if (spec.search !== undefined) {
    const reuse = spec.search.reuse ?? spec.reuse;
    const learns = learnsFromOwn(spec) ? identity : teacherOfSearch(spec.search, [], context.state);
    const search: SweepSpec = {
      ...{ ...spec.search, kind: 'sweep', name: 'search', data: spec.data },
      ...(reuse === undefined ? {} : { reuse }),
    };
    const searched = await searchPart(search, { ...about, field: 'search', teacher: learns }, context);
    parts.push(searched.part);
    best = searched.network;
    winner = searched.best === undefined ? undefined : candidateNetwork(search, genotypeOfKey(searched.best));
  }
  const afterSearch = spec.search === undefined ? 'at once' : 'when the search has ended';
  const students = spec.students.map((student) => {
    const { network: named } = student;
    const network = named === 'best' ? winner : isSearched(named) ? undefined : named;
    const taught = student.distillation === undefined ? undefined : identity;
    const run = network && runOfStudent(spec, student, network);
    return { student, network, reused: run && foreseenRun(context, { spec: run, facts, teacher: taught }) };
  });
  if (teacher !== undefined) {
    const begins = teacher.start === 'at-once' ? 'at once' : afterSearch;
    const run = { ...teacher, kind: 'teacher' as const, network: exactly(teacherAdds!) };
    const needs = students.flatMap(({ student: { distillation, training }, reused }) =>
      distillation === undefined || reused !== undefined
        ? []
        : [{ schedule: distillation.schedule, epochs: training.epochs, newest: 0 }],
    );
    const reused = foreseenRun(context, { spec: teacherSpec(spec), facts, needs });
    const note = wholeDevicesNote(teacher, context.state);
    const part = runPart(run, { ...about, field: 'teacher', begins, note, reused });
    if (teacher.start === 'at-once') parts.unshift(part);
    else parts.push(part);
  }
  const sharing = sharingIn(
    students.flatMap(({ student, network, reused }) => {
      const { distillation, training, workers } = student;
      if (distillation === undefined || reused !== undefined) return [];
      // Passes of another teacher are no passes of the plan's.
      if (otherTeacherOf(spec, student) !== undefined) return [];
      const adds = network === undefined ? best!.likely : costsOf(network).multiplyAdds;
      return namesOfStudent(student).map((name) => ({
        ...{ name, data: spec.data, training, distillation, adds, workersMax: workers.max },
      }));
    }),
    { teacher: teacherAdds ?? 0, attached: attachedWorkers(context.state) },
  );
  for (const [at, { student, network, reused }] of students.entries()) {
    const isTaught = student.distillation !== undefined;
    const named = otherTeacherOf(spec, student);
    const other = named === undefined ? undefined : teacherOf(named, [], context.state);
    const begins = isTaught
      ? `${afterSearch}, with the first checkpoint of ${(other ?? teacher)?.name}`
      : afterSearch;
    const notes = [network === undefined ? 'the network is one of the candidates' : ''];
    const note = [...notes, wholeDevicesNote(student, context.state)]
      .filter((text) => text !== '')
      .join('; ');
    for (const name of namesOfStudent(student)) {
      const shared = sharing.get(name);
      const run = {
        ...{ name, training: student.training, kind: 'student' as const },
        network: network === undefined ? best! : exactly(costsOf(network).multiplyAdds),
        teacher: isTaught ? (other?.multiplyAdds ?? teacherAdds ?? 0) * (shared?.passes ?? 1) : undefined,
      };
      const told = [note, shared?.note ?? ''].filter((text) => text !== '').join('; ');
      parts.push(runPart(run, { ...about, field: `students.${at}`, begins, note: told, reused }));
    }
  }
  return parts;
}

/** The run of a student of a plan, as far as decides what it computes. */
function runOfStudent(
  { data, reuse }: PlanSpec,
  { distillation, ...student }: PlanSpec['students'][number],
  network: NetworkSpec,
): RunSpec {
  return {
    ...{ kind: 'student', data, ...student, network },
    ...(reuse === undefined ? {} : { reuse }),
    ...(distillation === undefined ? {} : { distillation: { ...distillation, teacher: 'teacher' } }),
  };
}

/** The teacher that a run by itself names: one of the same text, or a run of the fleet. */
function teacherOf(named: string, documents: readonly CheckedDocument[], state: State) {
  for (const { kind, spec, facts } of documents)
    if (kind === 'run' && spec.kind === 'teacher' && spec.name === named)
      return {
        name: named,
        multiplyAdds: costsOf(spec.network).multiplyAdds,
        identity: identityOfSpec(spec, facts),
      };
  const { found, total } = find(state, named, ['run']);
  const run = total === 1 ? wholeRunWith(state, found[0]!.id) : undefined;
  const identity = run && identityOf(state, run);
  return { name: named, multiplyAdds: run?.costs.multiplyAdds ?? 0, identity };
}

/** What the teacher of a search's candidates computes, where they have one. */
function teacherOfSearch(
  { evaluation }: Pick<SweepSpec, 'evaluation'>,
  documents: readonly CheckedDocument[],
  state: State,
): Identity | undefined {
  const { distillation } = evaluation;
  return distillation && teacherOf(distillation.teacher, documents, state).identity;
}

/** What the students of the same text need of a teacher: those that take no result themselves. */
function needsIn(
  { spec, facts }: Extract<CheckedDocument, { kind: 'run' }>,
  documents: readonly CheckedDocument[],
  context: ForecastContext,
): Needs[] {
  const teacher = identityOfSpec(spec, facts);
  return documents.flatMap((one): Needs[] => {
    if (one.kind !== 'run' || one.spec.distillation?.teacher !== spec.name) return [];
    const { distillation, training } = one.spec;
    if (foreseenRun(context, { spec: one.spec, facts: one.facts, teacher }) !== undefined) return [];
    return [{ schedule: distillation.schedule, epochs: training.epochs, newest: 0 }];
  });
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
  about: About & { readonly begins: string; readonly note?: string; readonly reused: string | undefined },
): ForecastPart {
  const { document, field, begins, note = '', measured, reused } = about;
  const { name, kind, training, network, teacher } = run;
  if (reused !== undefined)
    return {
      ...{
        document,
        field,
        name,
        kind,
        begins: 'at once',
        note: `its result is there, and taken: ${reused}`,
      },
      ...{ runs: exactly(1), reused: exactly(1), steps: exactly(0), images: exactly(0) },
      ...{ multiplyAdds: exactly(0), times: [] },
    };
  const steps = scheduleOf(training, about.images).stepsTotal;
  const images = steps * training.batch;
  const timeOf = (of: keyof Range) => {
    const multiplyAdds = withTeacher(network[of], teacher);
    return timesOf(measured, { kind, runs: 1, work: multiplyAdds * images, multiplyAdds });
  };
  const [low, likely, high] = [timeOf('low'), timeOf('likely'), timeOf('high')];
  return {
    ...{ document, field, name, kind, begins, note },
    ...{ runs: exactly(1), reused: exactly(0), steps: exactly(steps), images: exactly(images) },
    multiplyAdds: scaled(network, images),
    times: likely.map((time, at) => forecastTime([low[at]!, time, high[at]!], time)),
  };
}

/** A search, the multiply-adds of an image in its candidates, and the key of the best one where that is known. */
async function searchPart(
  spec: SweepSpec,
  { document, field, images, measured, facts, teacher }: About & { readonly teacher: Identity | undefined },
  { state, now, pools }: ForecastContext,
): Promise<{ readonly part: ForecastPart; readonly network: Range; readonly best?: string | undefined }> {
  const workers = attachedWorkers(state);
  const parallelism = spec.parallelism > 0 ? spec.parallelism : Math.max(1, workers);
  const prior = priorsOf(state, spec, startAtSubmit(state, withStartById(state, spec)).start);
  const known = foreseenCandidates({ state, pools }, spec, facts, teacher);
  const rehearsals: Rehearsal[] = [];
  for (let seed = 1; seed <= (isForeseen(spec) ? 1 : REHEARSALS); seed++) {
    const how = { lag: lagOf(spec, workers) ?? 1, parallelism, prior, known, now };
    rehearsals.push(await rehearse(spec, { ...how, accuracyOf: drawnAccuracies(seed) }));
    // With every result known each rehearsal is the same.
    if (rehearsals[0]!.best !== undefined) break;
  }
  const totals = rehearsals.map((one) => totalOf(one, spec.evaluation.training, images));
  const times = totals.map(({ computed, multiplyAdds }, at) =>
    timesOf(measured, {
      ...{ kind: 'candidate', runs: computed, work: multiplyAdds },
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
      note: searchNote(spec, rehearsals, prior.length),
    },
    runs: rangeOf(totals.map(({ runs }) => runs)),
    reused: rangeOf(totals.map(({ reused }) => reused)),
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
