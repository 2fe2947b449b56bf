// Which run a student or a search names as its teacher, decided when it is submitted: from then on it is known by id.

import { FleetError } from '../../core/errors.ts';
import { type DistillationSpec, withTeacherSize } from '../../core/spec/distillation.ts';
import { otherTeacherOf, type PlanSpec } from '../../core/spec/plan.ts';
import { sweepIn } from '../../core/spec/plan-search.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { find } from '../model/find.ts';
import { originOf } from '../model/results.ts';
import { type RunState, type State, wholeRunWith } from '../model/state.ts';
import { missingStage } from './retaining.ts';

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
    throw refuse(`${id} is a ${teacher?.job.kind ?? 'candidate'}, not a teacher`);
  return teacher;
}

/**
 * The distillation with the id of the run whose stages are learned from. Throws why that run cannot be the teacher of so
 * many epochs; the error names the field.
 */
export function namedTeacher(
  state: State,
  {
    distillation,
    epochs,
    teachers,
    field = 'distillation.teacher',
  }: {
    readonly distillation: DistillationSpec;
    readonly epochs: number;
    readonly teachers: TeachersOfText;
    readonly field?: string;
  },
): DistillationSpec {
  const named = distillation.teacher;
  const teacher = originOf(state, usableTeacher(state, teachers.get(named) ?? named, field).id);
  const run = wholeRunWith(state, teacher)!;
  const { schedule } = distillation;
  const missing = missingStage(run, { schedule, epochs, newest: 0 });
  if (missing !== undefined)
    throw new FleetError('invalidArgument', `${field}: ${missing}`, { details: { field } });
  return { ...withTeacherSize(distillation, run.job.network!.embedding), teacher };
}

/** A search whose candidates learn from a teacher, with the teacher's run. */
export function searchWithTeacher<S extends Pick<SweepSpec, 'evaluation'>>(
  state: State,
  spec: S,
  teachers: TeachersOfText,
): S {
  const { evaluation } = spec;
  const { distillation, training } = evaluation;
  if (distillation === undefined) return spec;
  const field = 'evaluation.distillation.teacher';
  const learns = namedTeacher(state, { distillation, epochs: training.epochs, teachers, field });
  return { ...spec, evaluation: { ...evaluation, distillation: learns } };
}

/**
 * As `searchWithTeacher`, for the search of a plan and for its students; the plan's own teacher has no run before the
 * search begins.
 */
export function planWithTeacher(state: State, spec: PlanSpec, teachers: TeachersOfText): PlanSpec {
  const students = spec.students.map((student, i) => {
    const { distillation, training } = student;
    const teacher = otherTeacherOf(spec, student);
    if (distillation === undefined || teacher === undefined) return student;
    const learns = namedTeacher(state, {
      ...{ distillation: { ...distillation, teacher }, epochs: training.epochs, teachers },
      field: `students.${i}.distillation.teacher`,
    });
    return { ...student, distillation: learns };
  });
  const search = sweepIn(spec);
  if (search === undefined || learnsFromOwn(spec)) return { ...spec, students };
  return { ...spec, students, search: searchWithTeacher(state, search, teachers) };
}

/** Whether the candidates of a plan learn from the plan's teacher. */
export function learnsFromOwn(spec: PlanSpec): boolean {
  const named = sweepIn(spec)?.evaluation.distillation?.teacher;
  return named !== undefined && named === spec.teacher?.name;
}
