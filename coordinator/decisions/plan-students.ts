// The students of a plan: one for an entry of its text, or one for each network of the front of its search. Decides
// which candidates of a front those are. It follows from the state alone, once the search has ended.

import { coveringSubset, frontOf } from '../../core/search/pareto.ts';
import { namesOfStudent, otherTeacherOf } from '../../core/spec/plan.ts';
import { sweepIn } from '../../core/spec/plan-search.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { numberAt } from '../model/roll.ts';
import {
  hasEnded,
  type PlanState,
  planOf,
  type State,
  type SweepState,
  sweepOf,
  type TrialState,
  trialOf,
} from '../model/state.ts';
import { rowsOf } from '../model/table.ts';
import { aimsOf, scoresOf } from '../strategies/standing.ts';
import type { StudentOf } from './retention.ts';

/** A student that a plan has or will have. */
export interface PlannedStudent {
  /** Its entry in the text, from 0. */
  readonly entry: number;
  readonly name: string;
  /** The candidate of a front whose network it trains. */
  readonly member?: FrontMember;
}

/** A candidate of a front. */
export interface FrontMember {
  readonly trialId: string;
  /** From 1 in the order in which they were chosen, and how many were. */
  readonly place: number;
  readonly of: number;
}

/** Whether a plan will have a further student. */
export function hasMoreStudents(state: State, plan: PlanState): boolean {
  const { sweepId, spec, studentRunIds } = plan;
  if (sweepIn(spec) === undefined) return studentRunIds.length < spec.students.length;
  const isSearched = sweepId !== undefined && hasEnded(sweepOf(state, sweepId));
  return isSearched ? studentRunIds.length < studentsOfPlan(state, plan).length : spec.students.length > 0;
}

/** Students that open plans will have of a run that is no part of them, each as one that has learned nothing yet. */
export function plannedStudentsOf(state: State, runId: string): StudentOf[] {
  return [...rowsOf(state.openPlans)].flatMap(([number]) => {
    const plan = planOf(state, `plan-${number}`);
    const taught = plan.spec.students.filter((student) => otherTeacherOf(plan.spec, student) === runId);
    if (taught.length === 0 || !hasMoreStudents(state, plan)) return [];
    return taught.map(({ distillation, training: { epochs } }) => {
      const { schedule = 'multi-step' as const } = distillation ?? {};
      return { ...{ id: plan.id, isDone: false, newest: 0 }, schedule, epochs };
    });
  });
}

/** All students of a plan whose search has ended, if it has one. */
export function studentsOfPlan(state: State, { spec, sweepId }: PlanState): PlannedStudent[] {
  return spec.students.flatMap((student, entry): PlannedStudent[] => {
    const { network } = student;
    const names = namesOfStudent(student);
    if (network === 'best' || !('pareto' in network)) return [{ entry, name: names[0]! }];
    const members = membersOf(state, sweepOf(state, sweepId!), network.pareto);
    return members.map((trialId, at) => ({
      ...{ entry, name: names[at]! },
      member: { trialId, place: at + 1, of: members.length },
    }));
  });
}

/** By sweep as it ended; a plan is looked at again with each of its events. */
const known = new WeakMap<SweepState, Map<number, readonly string[]>>();

function membersOf(state: State, sweep: SweepState, count: number): readonly string[] {
  const counts = known.get(sweep) ?? new Map<number, readonly string[]>();
  known.set(sweep, counts);
  const found = counts.get(count) ?? chosenOf(state, sweep, count);
  counts.set(count, found);
  return found;
}

function chosenOf(state: State, sweep: SweepState, count: number): string[] {
  const aims = frontAims(sweep.spec);
  const points: { readonly trial: TrialState; readonly scores: number[] }[] = [];
  for (let number = 1; number <= sweep.trialsProposed; number++) {
    const trial = trialOf(state, `trial-${numberAt(sweep.trialIds, number)}`);
    const { objectives } = trial;
    if (trial.state !== 'done' || trial.fidelity !== undefined || objectives === undefined) continue;
    const scores = scoresOf(aims, { objectives, costs: trial.costs });
    if (scores !== undefined) points.push({ trial, scores });
  }
  const all = points.map(({ scores }) => scores);
  const front = frontOf(all).sort((a, b) => all[b]![0]! - all[a]![0]! || a - b);
  const worst = aims.objectives.map((_, at) =>
    all.reduce((low, scores) => Math.min(low, scores[at]!), Number.POSITIVE_INFINITY),
  );
  const chosen = coveringSubset(
    front.map((at) => all[at]!),
    count,
    worst,
  );
  return chosen.map((at) => points[front[at]!]!.trial.id);
}

/**
 * What a front of a search is over: what it looks for, and beside one objective alone the parameters, or the accuracy.
 */
function frontAims(spec: Pick<SweepSpec, 'objectives'>): {
  objectives: NonNullable<SweepSpec['objectives']>;
} {
  const aims = aimsOf(spec);
  if (aims.length > 1) return { objectives: [...aims] };
  const beside =
    aims[0]!.name === 'parameters'
      ? { name: 'accuracy' as const, direction: 'maximise' as const }
      : { name: 'parameters' as const, direction: 'minimise' as const };
  return { objectives: [...aims, beside] };
}
