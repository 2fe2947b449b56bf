// Lets go of what retention does not keep, run by run, whenever something has happened to a run: a stage is
// stored, it has ended, its student has got further, another candidate is better. The rules are retention.ts.

import { type TeacherSchedule, teacherStagesFrom } from '../../core/spec/distillation.ts';
import { isBeingJudged, leaseOf } from '../model/halted.ts';
import { identityOf } from '../model/identity.ts';
import { hasFront, isKeptTrial } from '../model/kept-trials.ts';
import { isEmbedding } from '../model/orders.ts';
import { openTwins, originOf } from '../model/results.ts';
import {
  type EndedRun,
  endingOf,
  hasEnded,
  isWhole,
  planWith,
  type RunState,
  runWith,
  type State,
  type SweepState,
  sweepWith,
  trialWith,
  wholeRunWith,
} from '../model/state.ts';
import { type Draft, emit } from './draft.ts';
import { hasMoreStudents, plannedStudentsOf } from './plan-students.ts';
import {
  dropsOf,
  type HeldStage,
  isPassing,
  knownText,
  type RetentionFacts,
  type StudentOf,
} from './retention.ts';

/** Decides about the stages of one run. */
export function retain(draft: Draft, runId: string): void {
  const run = wholeRunWith(draft.state, runId);
  if (run === undefined) {
    retainEnded(draft, runId);
    return;
  }
  const facts = factsOf(draft.state, run);
  for (const drop of dropsOf(facts)) emit(draft, { kind: 'stage.dropped', runId, ...drop });
  const { pausedStep } = run;
  const reason = pausedStep && whyStepGoes(facts, pausedStep.step, run.checkpoints.at(-1)?.step ?? 0);
  if (pausedStep !== undefined && reason !== undefined)
    emit(draft, { kind: 'step.dropped', runId, step: pausedStep.step, reason });
}

/** Whether a stage that is being stored, the newest of a candidate, is all that stays of it. */
export function isOnlyStage(state: State, run: RunState, stage: number): boolean {
  if (run.trialId === undefined || stage <= (run.checkpoints.at(-1)?.stage ?? 0)) return false;
  const { stages, ...facts } = factsOf(state, run);
  return isPassing(dropsOf({ ...facts, stages: [...stages, { stage, held: 'all', kept: undefined }] }));
}

/** Why the state that a pause has stored within a stage is needed no more; undefined while it is. */
function whyStepGoes({ candidate }: RetentionFacts, step: number, newest: number): string | undefined {
  if (newest >= step) return 'a later stage is stored';
  return candidate.isReplaced ? 'another attempt has taken its place' : undefined;
}

/**
 * A candidate whose result is known has left memory: nothing of it is kept unless it is among the best. Its events
 * tell it apart from one that was decided about before.
 */
function retainEnded(draft: Draft, runId: string): void {
  const run = runWith(draft.state, runId);
  if (run === undefined || isWhole(run) || run.isLetGo || isKeptCandidate(draft.state, runId)) return;
  // One that was not trained has stored nothing.
  if (run.fidelity?.inherited !== undefined) return;
  if (leaseOf(draft.state, run) !== undefined) return;
  // One that took the result of another has stored nothing.
  if (originOf(draft.state, runId) !== runId) return;
  const sweep = sweepWith(draft.state, run.sweepId ?? '');
  const reason = knownText(sweep !== undefined && hasFront(sweep));
  // What somebody asked to keep stays.
  const { kept, stages: newest } = run;
  const others = kept && stagesUpTo(newest).filter((stage) => !kept.some((one) => one.stage === stage));
  if (others?.length === 0) return;
  emit(draft, {
    ...{ kind: 'stage.dropped', runId, parts: 'all', reason },
    ...(others === undefined ? {} : { stages: others }),
  });
}

const stagesUpTo = (newest: number): number[] => Array.from({ length: newest }, (_, i) => i + 1);

/** The stages of a candidate that has left memory which are stored. */
export function storedOfEnded(state: State, run: EndedRun): number[] {
  const kept = (run.kept ?? []).map(({ stage }) => stage);
  const staysWithNewest = isKeptCandidate(state, run.id) || leaseOf(state, run) !== undefined;
  return staysWithNewest && !kept.includes(run.stages) ? [...kept, run.stages] : kept;
}

/**
 * Whether the newest stage of a candidate that has left memory stays: it is the best of its sweep, or on its front, and
 * nobody has deleted it.
 */
function isKeptCandidate(state: State, runId: string): boolean {
  const run = runOfCandidate(state, runId);
  if (run === undefined || run.isLetGo) return false;
  const sweep = sweepWith(state, run.sweepId);
  if (sweep === undefined || !isKeptTrial(sweep, run.trialId)) return false;
  return trialWith(state, run.trialId)?.runIds.at(-1) === runId;
}

function runOfCandidate(
  state: State,
  runId: string,
): { sweepId: string; trialId: string; isLetGo: boolean } | undefined {
  const run = runWith(state, runId);
  if (run?.trialId === undefined || run.sweepId === undefined) return undefined;
  const isLetGo = !isWhole(run) && run.isLetGo === true;
  return { sweepId: run.sweepId, trialId: run.trialId, isLetGo };
}

/** The student as a teacher's retention sees it. */
export function studentOf(run: RunState): StudentOf {
  return {
    id: run.id,
    isDone: run.state === 'done',
    newest: run.checkpoints.at(-1)?.stage ?? 0,
    schedule: run.job.distillation?.schedule ?? 'multi-step',
    epochs: run.job.training.epochs,
  };
}

/**
 * Who learns from a teacher: students, and sweeps, whose candidates do. What an embedding run reads, a student needs.
 */
export function studentsOf(
  state: State,
  { studentRunIds, taughtSweepIds = [] }: Pick<RunState, 'studentRunIds' | 'taughtSweepIds'>,
): StudentOf[] {
  return [
    ...studentRunIds.flatMap((id) => {
      const student = wholeRunWith(state, id);
      return student === undefined || isEmbedding(student) ? [] : [studentOf(student)];
    }),
    ...taughtSweepIds.flatMap((id) => sweepWith(state, id) ?? []).map(sweepAsStudent),
  ];
}

/** A further candidate begins with the first stage. */
function sweepAsStudent({ id, state, job }: SweepState): StudentOf {
  const schedule = job.distillation?.schedule ?? 'multi-step';
  return {
    id,
    isDone: state !== 'running' && state !== 'paused',
    newest: 0,
    schedule,
    epochs: job.training.epochs,
  };
}

/** What the retention of a run follows from. */
export function factsOf(state: State, run: RunState): RetentionFacts {
  const { job, trialId, planId } = run;
  const trial = trialId === undefined ? undefined : trialWith(state, trialId);
  const sweep = trial === undefined ? undefined : sweepWith(state, trial.sweepId);
  const plan = planId === undefined ? undefined : planWith(state, planId);
  return {
    kind: job.kind === 'embedding' || job.kind === 'search' ? 'student' : job.kind,
    policy: job.checkpoints?.keep,
    epochs: job.training.epochs,
    isDone: run.state === 'done',
    stages: run.checkpoints.flatMap(({ stage, held, kept }): HeldStage[] =>
      held === 'nothing' ? [] : [{ stage, held: held ?? 'all', kept }],
    ),
    students: [
      ...studentsOf(state, run),
      ...(job.kind === 'teacher' ? plannedStudentsOf(state, run.id) : []),
    ],
    moreStudents:
      hasWaitingStudents(state, run) ||
      (plan !== undefined && plan.teacherRunId === run.id && !hasEnded(plan) && hasMoreStudents(state, plan)),
    candidate: {
      isReplaced: trial !== undefined && trial.runIds.at(-1) !== run.id,
      hasResult: trial?.state === 'done' && !isBeingJudged(state, run),
      isBest: sweep !== undefined && trialId !== undefined && isKeptTrial(sweep, trialId),
      hasFront: sweep !== undefined && hasFront(sweep),
    },
  };
}

/** Students of runs that wait for the result of this one will learn from its stages. */
function hasWaitingStudents(state: State, run: RunState): boolean {
  const identity = run.job.kind === 'teacher' ? identityOf(state, run) : undefined;
  return (
    identity !== undefined &&
    openTwins(state, identity).some((twin) => twin.twinRunId === run.id && twin.studentRunIds.length > 0)
  );
}

/** What a student that has stored its stage `newest` and no later one will learn from. */
interface Learning {
  readonly schedule: TeacherSchedule;
  readonly epochs: number;
  readonly newest: number;
}

/**
 * That a teacher failed or was cancelled before a stage that a student needs, as a sentence; undefined where it is
 * open or done, or has stored all that the student needs.
 */
export function endedShort(teacher: RunState, { schedule, epochs, newest }: Learning): string | undefined {
  if (teacher.state !== 'failed' && teacher.state !== 'cancelled') return undefined;
  const teacherStages = teacher.job.training.epochs;
  const stored = new Set(teacher.checkpoints.map(({ stage }) => stage));
  const needed = teacherStagesFrom({ schedule, epochs, teacherStages }, newest);
  const short = needed.find((stage) => !stored.has(stage));
  return short === undefined
    ? undefined
    : `${endingOf(teacher)}; it ended short of stage ${short}, which is needed`;
}

/**
 * Why a student cannot learn from this teacher any more, as a sentence; undefined while every stage that it
 * needs is there or still to come.
 */
export function missingStage(teacher: RunState, student: Learning): string | undefined {
  const { schedule, epochs, newest } = student;
  const teacherStages = teacher.job.training.epochs;
  const short = endedShort(teacher, student);
  if (short !== undefined) return short;
  const needed = new Set(teacherStagesFrom({ schedule, epochs, teacherStages }, newest));
  const gone = teacher.checkpoints.filter(
    ({ stage, held, damage }) => needed.has(stage) && (held === 'nothing' || damage?.isLost),
  );
  if (gone.length === 0) return undefined;
  const [one] = gone;
  if (one!.damage?.isLost) return `stage ${one!.stage} of ${teacher.id} is lost: ${one!.damage.reason}`;
  return `${stagesText(gone.map(({ stage }) => stage))} of ${teacher.id} ${gone.length === 1 ? 'is' : 'are'} not kept any more (checkpoints.keep decides that), and a ${typeof schedule === 'string' ? `${schedule} student` : 'student with this list of stages'} learns from ${gone.length === 1 ? 'it' : 'them'}`;
}

/** `stage 3`, `stages 1 to 4, 7`. */
export function stagesText(stages: readonly number[]): string {
  const parts: string[] = [];
  for (let at = 0; at < stages.length; ) {
    let end = at;
    while (stages[end + 1] === stages[end]! + 1) end += 1;
    parts.push(end - at < 2 ? stages.slice(at, end + 1).join(', ') : `${stages[at]} to ${stages[end]}`);
    at = end + 1;
  }
  return `${stages.length === 1 ? 'stage' : 'stages'} ${parts.join(', ')}`;
}
