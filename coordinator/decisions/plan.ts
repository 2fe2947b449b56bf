// What a plan does next. Pure: a plan and the state go in, one step comes out, and nothing is remembered
// between two steps, so that a coordinator that was killed between them goes on with the second. A search
// comes first; then its winner is known, and the teacher and all students start together; then the run to
// export is chosen.

import { genotypeOfText } from '../../core/nn/genotype-code.ts';
import { bestFirst, rankedRun } from '../../core/search/best-first.ts';
import { childName } from '../../core/spec/common.ts';
import { type DistillationSpec, withTeacherSize } from '../../core/spec/distillation.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import { isSearched, otherTeacherOf, type PlanSpec, runOfStudent } from '../../core/spec/plan.ts';
import { foundCells, searchRunIn, sweepIn } from '../../core/spec/plan-search.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { originOf } from '../model/results.ts';
import { networkOf } from '../model/spec-of.ts';
import {
  endingOf,
  hasEnded,
  ownRunIdsOf,
  type PlanState,
  type RunState,
  runOf,
  type State,
  sweepOf,
  trialOf,
} from '../model/state.ts';
import { stageFound } from './found.ts';
import { type FrontMember, type PlannedStudent, studentsOfPlan } from './plan-students.ts';
import { learnsFromOwn } from './teachers.ts';

/** What a plan does next: wait, start its search, start a run, or end. */
export type PlanStep =
  | { readonly kind: 'wait' }
  | { readonly kind: 'search'; readonly spec: SweepSpec }
  | {
      readonly kind: 'train';
      readonly role: 'search' | 'teacher' | 'student';
      readonly spec: RunSpec;
      readonly reason: string;
    }
  | { readonly kind: 'fail'; readonly reason: string }
  | { readonly kind: 'done'; readonly reason: string; readonly winnerRunId?: string };

/** The next step of an open plan. */
export function nextOfPlan(state: State, plan: PlanState): PlanStep {
  const { spec } = plan;
  const failure = failureOf(state, plan);
  if (failure !== undefined) return { kind: 'fail', reason: failure };
  if (plan.state === 'paused') return { kind: 'wait' };
  const isTaught = learnsFromOwn(spec);
  if (sweepIn(spec) && plan.sweepId === undefined && (!isTaught || plan.teacherRunId !== undefined))
    return { kind: 'search', spec: searchSpec(state, plan) };
  const cells = searchRunIn(spec);
  if (cells !== undefined && plan.searchRunId === undefined)
    return { kind: 'train', role: 'search', spec: cells, reason: `search of ${plan.id}` };
  const searched = isSearchedThrough(state, plan, isTaught);
  if (spec.teacher && plan.teacherRunId === undefined && (searched || spec.teacher.start === 'at-once'))
    return {
      kind: 'train',
      role: 'teacher',
      spec: teacherSpec(spec),
      reason: searched ? `teacher of ${plan.id}` : `teacher of ${plan.id}, beside its search`,
    };
  if (!searched) return { kind: 'wait' };
  const student = studentsOfPlan(state, plan)[plan.studentRunIds.length];
  if (student !== undefined) return studentStep(state, plan, student);
  return ending(state, plan);
}

/** Whether the search of a plan has ended, if it has one. */
function isSearchedThrough(state: State, { sweepId, searchRunId }: PlanState, isTaught: boolean): boolean {
  if (searchRunId !== undefined) return hasEnded(runOf(state, searchRunId));
  return sweepId === undefined ? !isTaught : hasEnded(sweepOf(state, sweepId));
}

/**
 * Why a plan fails: its search or one of its runs has failed or was cancelled, so that the plan cannot be
 * fulfilled. A teacher that has stored its last stage before is of use to its students all the same.
 */
function failureOf(state: State, plan: PlanState): string | undefined {
  if (plan.sweepId !== undefined) {
    const sweep = sweepOf(state, plan.sweepId);
    if (sweep.state === 'failed' || sweep.state === 'cancelled') return `its search ${endingOf(sweep)}`;
  }
  for (const run of runsOf(state, plan)) {
    if (isSpent(run)) continue;
    if (run.state === 'failed' || run.state === 'cancelled')
      return `its ${run.job.kind} ${run.name}, ${endingOf(run)}`;
  }
  return undefined;
}

/** A teacher that failed or was cancelled once its last stage was stored. */
const isSpent = (run: RunState): boolean =>
  run.job.kind === 'teacher' &&
  (run.state === 'failed' || run.state === 'cancelled') &&
  run.checkpoints.at(-1)?.stage === run.job.training.epochs;

/** The plan's own runs, its search and teacher first: those of a sweep are its trials'. */
export const runsOf = (state: State, plan: PlanState): RunState[] =>
  ownRunIdsOf(plan).map((id) => runOf(state, id));

/** The end of a plan all of whose runs are started: the best student is exported. */
function ending(state: State, plan: PlanState): PlanStep {
  const all = runsOf(state, plan);
  const spent = all.find(isSpent);
  // A teacher alone has nobody who goes on with its stages.
  if (spent !== undefined && all.length === 1)
    return { kind: 'fail', reason: `its ${spent.job.kind} ${spent.name}, ${endingOf(spent)}` };
  const runs = all.filter((run) => run !== spent);
  if (runs.some((run) => run.state !== 'done')) return { kind: 'wait' };
  const without = spent === undefined ? '' : `; its teacher, ${endingOf(spent)}, had stored its last stage`;
  if (plan.spec.export === undefined) return { kind: 'done', reason: `${runs.length} runs done${without}` };
  const students = plan.studentRunIds.map((id) => runOf(state, id));
  const ranked = students.map((run, i) => ({ run, rank: rankedRun({ ...run, ...run.costs }, i) }));
  const winner = ranked.sort((a, b) => bestFirst(a.rank, b.rank))[0]!.run;
  return {
    kind: 'done',
    winnerRunId: winner.id,
    reason: `${runs.length} runs done; ${winner.name} is the most accurate of ${students.length} students (${(winner.evaluation?.accuracy ?? -1).toFixed(4)})${without}`,
  };
}

function searchSpec(state: State, { spec, teacherRunId }: PlanState): SweepSpec {
  const sweep = sweepIn(spec)!;
  const reuse = sweep.reuse ?? spec.reuse;
  const { evaluation } = sweep;
  const { distillation } = evaluation;
  const taught =
    learnsFromOwn(spec) && distillation !== undefined
      ? {
          ...withTeacherSize(distillation, spec.teacher!.network.embedding),
          teacher: originOf(state, teacherRunId!),
        }
      : undefined;
  return {
    ...{ ...sweep, kind: 'sweep' as const, name: childName(spec.name, 'search'), data: spec.data },
    ...(taught === undefined ? {} : { evaluation: { ...evaluation, distillation: taught } }),
    ...(reuse === undefined ? {} : { reuse }),
  };
}

/** The teacher of a plan that has one. */
export function teacherSpec(spec: PlanSpec): RunSpec {
  const { start: _start, ...teacher } = spec.teacher!;
  return { kind: 'teacher', data: spec.data, ...teacher, ...reuseOf(spec) };
}

const reuseOf = ({ reuse }: PlanSpec) => (reuse === undefined ? {} : { reuse });

/** A student, or why it has no network. */
function studentStep(state: State, plan: PlanState, planned: PlannedStudent): PlanStep {
  const chosen = networkOfStudent(state, plan, planned);
  if (typeof chosen === 'string')
    return { kind: 'fail', reason: `its student ${planned.name} has no network: ${chosen}` };
  return { kind: 'train', role: 'student', ...studentSpec(state, plan, { ...planned, chosen }) };
}

/** A network, and why it is that one. */
interface Chosen {
  readonly network: NetworkSpec;
  readonly reason: string;
}

/** The network that a student trains, or why there is none. */
function networkOfStudent(state: State, plan: PlanState, { entry, member }: PlannedStudent): Chosen | string {
  const { network } = plan.spec.students[entry]!;
  if (isSearched(network)) return candidateOf(state, plan, member);
  const cells = foundCells(plan.spec, network);
  if (cells === undefined) return { network, reason: 'network of the plan' };
  const search = runOf(state, plan.searchRunId!);
  const stage = stageFound(search, cells.epoch);
  if (typeof stage === 'string') return stage;
  return {
    network: { ...cells.network, genotype: genotypeOfText(stage.genotype) },
    reason: `cells of ${search.id}@${stage.stage}`,
  };
}

function studentSpec(
  state: State,
  plan: PlanState,
  { entry, name, chosen }: PlannedStudent & { readonly chosen: Chosen },
): { spec: RunSpec; reason: string } {
  const student = plan.spec.students[entry]!;
  const { distillation } = student;
  return {
    spec: runOfStudent(plan.spec, student, {
      ...{ name, network: chosen.network },
      // Its stages are those of the run whose result the teacher has taken, if it has.
      ...(distillation ? { distillation: learning(state, plan, distillation) } : {}),
    }),
    reason: `student of ${plan.id}: ${chosen.reason}`,
  };
}

/** How a student learns: from the teacher that it names, else from the plan's. */
function learning(
  state: State,
  plan: PlanState,
  distillation: NonNullable<PlanSpec['students'][number]['distillation']>,
): DistillationSpec {
  // The size of a teacher that it names was filled in at submit.
  const other = otherTeacherOf(plan.spec, { distillation });
  if (other !== undefined) return { ...distillation, teacher: originOf(state, other) };
  const sized = withTeacherSize(distillation, plan.spec.teacher!.network.embedding);
  return { ...sized, teacher: originOf(state, plan.teacherRunId!) };
}

/** The winner of the search, or a member of its front. */
function candidateOf(state: State, plan: PlanState, member: FrontMember | undefined): Chosen {
  const sweep = sweepOf(state, plan.sweepId!);
  const trial = trialOf(state, member?.trialId ?? sweep.bestTrialId!);
  const accuracy = (trial.objectives?.accuracy ?? Number.NaN).toFixed(4);
  const reason =
    member === undefined
      ? `winner of ${sweep.id} with ${accuracy}`
      : `${member.place} of ${member.of} that cover the front of ${sweep.id}: accuracy ${accuracy}, ${trial.costs.parameters} parameters`;
  return { network: networkOf(sweep, trial), reason: `network of ${trial.id}, ${reason}` };
}
