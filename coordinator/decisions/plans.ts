// Performing what a plan does next, until it has to wait or has ended. Each step becomes one event, and the
// next step is derived from the state with that event: several steps may follow within one decision, and none
// is skipped.

import { costsOfRun } from '../../core/nn/space.ts';
import { namesOfStudent, otherTeacherOf } from '../../core/spec/plan.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { originOf } from '../model/results.ts';
import { type PlanState, planOf, runOf, wholeRunWith } from '../model/state.ts';
import { type Draft, emit, nextId } from './draft.ts';
import { nextOfPlan, type PlanStep, teacherSpec } from './plan.ts';
import { fleetOf, reuse } from './reuse.ts';
import { recordSpec } from './specs.ts';
import { lagAtSubmit } from './sweeps.ts';
import { candidatesOf, lackOf } from './teachers.ts';
import { startAtSubmit } from './warm-start.ts';

/** Performs the steps of an open plan that are possible now. */
export function settlePlan(draft: Draft, planId: string): void {
  for (;;) {
    const plan = planOf(draft.state, planId);
    const next = nextOfPlan(draft.state, plan);
    switch (next.kind) {
      case 'wait':
        return;
      case 'search': {
        const again = teacherBefore(draft, plan, next.spec);
        if (again !== undefined) {
          train(draft, plan, again);
          break;
        }
        emit(draft, {
          kind: 'sweep.submitted',
          sweepId: nextId(draft.state, 'sweep'),
          spec: recordSpec(draft, next.spec),
          facts: plan.facts,
          planId,
          ...taughtBy(next.spec),
          ...lagAtSubmit(draft, next.spec),
          ...startAtSubmit(draft.state, next.spec),
        });
        break;
      }
      case 'train': {
        const reason = withoutTeacher(draft, plan, next);
        if (reason !== undefined) {
          emit(draft, { kind: 'plan.ended', planId, state: 'failed', reason });
          return;
        }
        train(draft, plan, teacherAgain(draft, plan, next) ?? next);
        break;
      }
      case 'fail':
        emit(draft, { kind: 'plan.ended', planId, state: 'failed', reason: next.reason });
        return;
      case 'done': {
        const { reason, winnerRunId } = next;
        emit(draft, {
          kind: 'plan.ended',
          planId,
          state: 'done',
          reason,
          ...(winnerRunId === undefined ? {} : { winnerRunId }),
        });
        return;
      }
    }
  }
}

const taughtBy = ({ evaluation }: SweepSpec) =>
  evaluation.distillation === undefined ? {} : { teacherRunId: evaluation.distillation.teacher };

type Training = Extract<PlanStep, { kind: 'train' }>;

/** Creates a run of a plan; it may take the result of another one at once. */
function train(draft: Draft, plan: PlanState, { spec, role, reason }: Training): void {
  const runId = nextId(draft.state, 'run');
  const teacherRunId = spec.distillation?.teacher;
  emit(draft, {
    kind: 'run.created',
    ...{ runId, spec: recordSpec(draft, spec), facts: plan.facts, costs: costsOfRun(spec, plan.facts) },
    ...{ reason, planId: plan.id, role },
    ...(teacherRunId === undefined ? {} : { teacherRunId }),
  });
  reuse(draft, runId);
}

/** Why a student cannot learn from the teacher that it names and that is no part of the plan; undefined: it can. */
function withoutTeacher(
  draft: Draft,
  { spec: whole, facts }: PlanState,
  { spec, role }: Training,
): string | undefined {
  const { name, distillation, training } = spec;
  if (role !== 'student' || distillation === undefined) return undefined;
  const named = whole.students.find((student) => namesOfStudent(student).includes(name));
  if (named === undefined || otherTeacherOf(whole, named) === undefined) return undefined;
  const { teacher: id } = distillation;
  const teacher = wholeRunWith(draft.state, id);
  const taught = { distillation, epochs: training.epochs, asking: { spec, facts } };
  const lack = teacher === undefined ? `${id} was removed` : lackOf(fleetOf(draft), teacher, taught);
  return lack && `its student ${name} has no teacher: ${lack}`;
}

/**
 * A plan may have taken the result of a teacher whose earlier stages are not kept any more, since no student may need
 * them. Where one does, because nobody has trained it yet, the teacher is trained before it.
 */
function teacherAgain(draft: Draft, plan: PlanState, { spec }: Training): Training | undefined {
  const { distillation, training } = spec;
  if (distillation === undefined || plan.teacherRunId === undefined) return undefined;
  const origin = originOf(draft.state, plan.teacherRunId);
  if (origin === plan.teacherRunId || distillation.teacher !== origin) return undefined;
  const taught = { distillation, epochs: training.epochs, asking: { spec, facts: plan.facts } };
  const missing = lackOf(fleetOf(draft), runOf(draft.state, origin), taught);
  return missing === undefined ? undefined : onceMore(plan, `for ${spec.name}: ${missing}`);
}

/** As `teacherAgain`, for the candidates of the plan's search. */
function teacherBefore(draft: Draft, plan: PlanState, search: SweepSpec): Training | undefined {
  const { distillation: learns, training } = search.evaluation;
  const { teacherRunId, facts } = plan;
  if (learns === undefined || teacherRunId === undefined || learns.teacher === teacherRunId) return undefined;
  if (learns.teacher !== originOf(draft.state, teacherRunId)) return undefined;
  const asking = candidatesOf(search, { learns, data: search.data, facts });
  const taught = { distillation: learns, epochs: training.epochs, asking };
  const missing = lackOf(fleetOf(draft), runOf(draft.state, learns.teacher), taught);
  return missing === undefined ? undefined : onceMore(plan, `for its search: ${missing}`);
}

const onceMore = ({ id, spec }: PlanState, why: string): Training => ({
  ...{ kind: 'train', role: 'teacher', reason: `teacher of ${id} once more, ${why}` },
  spec: { ...teacherSpec(spec), reuse: 'none' },
});
