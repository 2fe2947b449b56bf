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
import { originOf } from '../model/results.ts';
import { type DataFacts, type RunState, type State, wholeRunWith } from '../model/state.ts';
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

/** Who learns from a teacher. */
export interface Taught {
  readonly distillation: Pick<DistillationSpec, 'schedule'>;
  readonly epochs: number;
  /**
   * Takes a result where there is one. Absent for the candidates of a search,
   * of which one may be new.
   */
  readonly asking?: Student | Later | undefined;
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
  const { state } = fleet;
  const mayBeThere =
    asking.spec === undefined
      ? hasTaught(state, teacher, asking)
      : hasResult(fleet, asking, identityOf(state, teacher));
  return mayBeThere ? undefined : missing;
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
 * The distillation with the id of the run whose stages are learned from. Throws why that run cannot be the teacher of so
 * many epochs; the error names the field.
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
    /** The student with the distillation that it gets; absent for the candidates of a search. */
    readonly asking?: (learns: DistillationSpec) => Taught['asking'];
    readonly field?: string;
  },
): DistillationSpec {
  const { state } = fleet;
  const named = distillation.teacher;
  const teacher = originOf(state, usableTeacher(state, teachers.get(named) ?? named, field).id);
  const run = wholeRunWith(state, teacher)!;
  const learns = { ...withTeacherSize(distillation, run.job.network!.embedding), teacher };
  const lack = lackOf(fleet, run, { distillation, epochs, asking: asking?.(learns) });
  if (lack !== undefined)
    throw new FleetError('invalidArgument', `${field}: ${lack}`, { details: { field } });
  return learns;
}

/** A search whose candidates learn from a teacher, with the teacher's run. */
export function searchWithTeacher<S extends Pick<SweepSpec, 'evaluation'>>(
  fleet: Fleet,
  spec: S,
  teachers: TeachersOfText,
): S {
  const { evaluation } = spec;
  const { distillation, training } = evaluation;
  if (distillation === undefined) return spec;
  const field = 'evaluation.distillation.teacher';
  const learns = namedTeacher(fleet, { distillation, epochs: training.epochs, teachers, field });
  return { ...spec, evaluation: { ...evaluation, distillation: learns } };
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
  return { ...spec, students, search: searchWithTeacher(fleet, search, teachers) };
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
