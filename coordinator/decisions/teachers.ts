// Which run a student or a search names as its teacher, decided when it is submitted: from then on it is known by id.

import { FleetError } from '../../core/errors.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { type DistillationSpec, withTeacherSize } from '../../core/spec/distillation.ts';
import { isSearched, otherTeacherOf, type PlanSpec, runOfStudent } from '../../core/spec/plan.ts';
import { foundCells, sweepIn } from '../../core/spec/plan-search.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { find } from '../model/find.ts';
import { identityOf } from '../model/identity.ts';
import { NO_CODE, originOf, resultOf, VOID } from '../model/results.ts';
import {
  type DataFacts,
  newestRunOf,
  type RunState,
  runWith,
  type State,
  sweepWith,
  trialOf,
  wholeRunWith,
} from '../model/state.ts';
import { missingStage } from './retaining.ts';
import { type Fleet, hasResult } from './reuse.ts';

/** Ids of the teacher runs of a text, by name. */
export type TeachersOfText = ReadonlyMap<string, string>;

/**
 * The run that a student names as its teacher, by id or by a name that only one run has. Throws why it cannot
 * be one.
 */
export function usableTeacher(state: State, named: string, field = 'distillation.teacher'): RunState {
  const refuse = (why: string) =>
    new FleetError('invalidArgument', `${field}: ${why}`, { details: { field } });
  const { found, total } = find(state, named, ['run']);
  const [only] = found;
  if (only === undefined)
    throw refuse(
      `${JSON.stringify(named)} is neither a teacher run of this text nor a run of this fleet; see \`pocketfleet runs\``,
    );
  if (total > 1)
    throw refuse(
      `${total} runs are named ${named}; give the id of one, e.g. ${found.map(({ id }) => id).join(', ')}`,
    );
  const { id } = only;
  const teacher = wholeRunWith(state, id);
  if (teacher?.job.kind !== 'teacher')
    throw refuse(`${id} is ${KINDS[teacher?.job.kind ?? 'candidate']}, not a teacher`);
  return teacher;
}

const KINDS: Readonly<Record<RunSpec['kind'] | 'embedding' | 'search', string>> = {
  ...{ teacher: 'a teacher', student: 'a student', candidate: 'a candidate', search: 'a search' },
  embedding: 'a run that computes embeddings',
};

/** What a student computes, as far as it is known. */
interface Student {
  readonly spec: RunSpec;
  readonly facts: DataFacts;
}

/** A student whose network is found by a search. */
interface Later extends Pick<RunSpec, 'training' | 'distillation'> {
  readonly spec?: undefined;
}

/** The candidates of a search, with the distillation that they get. */
interface Candidates {
  readonly search: Pick<SweepSpec, 'space' | 'strategy' | 'evaluation' | 'reuse'>;
  readonly data: SweepSpec['data'];
  readonly facts: DataFacts;
}

/** Who learns from a teacher. */
export interface Taught {
  readonly distillation: Pick<DistillationSpec, 'schedule'>;
  readonly epochs: number;
  /** Takes a result where there is one; absent: nothing is taken. */
  readonly asking?: Student | Later | Candidates | undefined;
}

/**
 * Why a student cannot learn from this teacher, whose stages are its own; undefined where it can, and where it need not
 * because its result is there.
 */
export function lackOf(
  fleet: Fleet,
  teacher: RunState,
  { distillation: { schedule }, epochs, asking }: Taught,
): string | undefined {
  const missing = missingStage(teacher, { schedule, epochs, newest: 0 });
  if (missing === undefined || asking === undefined) return missing;
  return mayBeThere(fleet, teacher, asking) ? undefined : missing;
}

function mayBeThere(fleet: Fleet, teacher: RunState, asking: NonNullable<Taught['asking']>): boolean {
  const { state } = fleet;
  if ('search' in asking) return hasSearched(state, teacher, asking);
  if (asking.spec === undefined) return hasTaught(state, teacher, asking);
  return hasResult(fleet, asking, identityOf(state, teacher));
}

/** Whether the same search is done, and its best result still counts: so do those of its other candidates. */
export function hasSearched(
  state: State,
  { taughtSweepIds = [] }: RunState,
  { search, data, facts }: Candidates,
): boolean {
  if (search.reuse === 'none') return false;
  const keyOf = (
    { space, strategy, evaluation }: Candidates['search'],
    of: SweepSpec['data'],
    digest: string | undefined,
  ) => canonicalJson({ space, strategy, evaluation, of, digest });
  const wanted = keyOf(search, data, facts.digest);
  return taughtSweepIds.some((id) => {
    const sweep = sweepWith(state, id);
    if (sweep?.state !== 'done' || sweep.bestTrialId === undefined) return false;
    // A candidate that failed is tried again.
    if (sweep.endedBadly.size > 0) return false;
    if (keyOf(sweep.spec, sweep.spec.data, sweep.facts.digest) !== wanted) return false;
    const best = runWith(state, newestRunOf(trialOf(state, sweep.bestTrialId)) ?? '');
    const identity = best && identityOf(state, best);
    const number = identity && state.code !== NO_CODE ? resultOf(state, identity, state.code) : undefined;
    return number !== undefined && number !== VOID;
  });
}

/** Whether a student that was trained in the same way has finished: the network of that one may be found again. */
function hasTaught(state: State, { studentRunIds }: RunState, { training, distillation }: Later): boolean {
  const wanted = canonicalJson({ training, distillation });
  return studentRunIds.some((id) => {
    const student = wholeRunWith(state, id);
    if (student?.state !== 'done') return false;
    const { job } = student;
    return canonicalJson({ training: job.training, distillation: job.distillation }) === wanted;
  });
}

/**
 * The distillation with the id of the run whose stages are learned from. Throws why that run cannot be the teacher of
 * so many epochs; the error names the field.
 */
export function namedTeacher(
  fleet: Fleet,
  {
    distillation,
    epochs,
    teachers,
    asking,
    field = 'distillation.teacher',
  }: {
    readonly distillation: DistillationSpec;
    readonly epochs: number;
    readonly teachers: TeachersOfText;
    /** Who learns, with the distillation that they get. */
    readonly asking: (learns: DistillationSpec) => Taught['asking'];
    readonly field?: string;
  },
): DistillationSpec {
  const { state } = fleet;
  const named = distillation.teacher;
  const teacher = originOf(state, usableTeacher(state, teachers.get(named) ?? named, field).id);
  const run = wholeRunWith(state, teacher)!;
  const learns = { ...withTeacherSize(distillation, run.job.network!.embedding), teacher };
  const lack = lackOf(fleet, run, { distillation, epochs, asking: asking(learns) });
  if (lack !== undefined)
    throw new FleetError('invalidArgument', `${field}: ${lack}`, { details: { field } });
  return learns;
}

/** A search whose candidates learn from a teacher, with the teacher's run. */
export function searchWithTeacher<S extends Candidates['search']>(
  fleet: Fleet,
  { spec, data, facts }: { readonly spec: S } & Pick<Candidates, 'data' | 'facts'>,
  teachers: TeachersOfText,
): S {
  const { evaluation } = spec;
  const { distillation, training } = evaluation;
  if (distillation === undefined) return spec;
  const field = 'evaluation.distillation.teacher';
  const learns = namedTeacher(fleet, {
    ...{ distillation, epochs: training.epochs, teachers, field },
    asking: (learns) => candidatesOf(spec, { learns, data, facts }),
  });
  return { ...spec, evaluation: { ...evaluation, distillation: learns } };
}

/** The candidates of a search that learn in this way. */
export function candidatesOf(
  search: Candidates['search'],
  { learns, data, facts }: { readonly learns: DistillationSpec } & Pick<Candidates, 'data' | 'facts'>,
): Candidates {
  const { space, strategy, evaluation, reuse } = search;
  return {
    search: { ...{ space, strategy, reuse }, evaluation: { ...evaluation, distillation: learns } },
    ...{ data, facts },
  };
}

/**
 * As `searchWithTeacher`, for the search of a plan and for its students; the plan's own teacher has no run before the
 * search begins.
 */
export function planWithTeacher(
  fleet: Fleet,
  { spec, facts }: { readonly spec: PlanSpec; readonly facts: DataFacts },
  teachers: TeachersOfText,
): PlanSpec {
  const students = spec.students.map((student, i) => {
    const { distillation, training } = student;
    const teacher = otherTeacherOf(spec, student);
    if (distillation === undefined || teacher === undefined) return student;
    const learns = namedTeacher(fleet, {
      ...{ distillation: { ...distillation, teacher }, epochs: training.epochs, teachers },
      field: `students.${i}.distillation.teacher`,
      asking: (learns) => askingOf(spec, { student, learns, facts }),
    });
    return { ...student, distillation: learns };
  });
  const search = sweepIn(spec);
  if (search === undefined || learnsFromOwn(spec)) return { ...spec, students };
  return {
    ...spec,
    students,
    search: searchWithTeacher(fleet, { spec: search, data: spec.data, facts }, teachers),
  };
}

/** A student of a plan with its distillation, as far as it is known before the search has ended. */
export function askingOf(
  plan: PlanSpec,
  {
    student,
    learns,
    facts,
  }: {
    readonly student: PlanSpec['students'][number];
    readonly learns: DistillationSpec;
    readonly facts: DataFacts;
  },
): Taught['asking'] {
  const { network, training } = student;
  if (isSearched(network) || foundCells(plan, network) !== undefined)
    return { training, distillation: learns };
  return { spec: runOfStudent(plan, student, { network, distillation: learns }), facts };
}

/** Whether the candidates of a plan learn from the plan's teacher. */
export function learnsFromOwn(spec: PlanSpec): boolean {
  const named = sweepIn(spec)?.evaluation.distillation?.teacher;
  return named !== undefined && named === spec.teacher?.name;
}
