// What of a run's checkpoints stays stored. Decides by the run's policy, and by who may still read a stage;
// why something goes is a sentence with the decision. Pure, and it looks at one run alone.
//
// Without a policy of its own a run keeps:
//
//   its last two stages          whole: it goes on from the last one, and the one before proves and repairs it
//   a teacher's earlier ones     their networks, until every student has passed them; all, while it has none
//   a candidate's                the newest while it is open or may be resumed; nothing once its result is
//                                journalled, unless it is the best of its sweep, or on its front
//
// Whatever the policy: stages that a student may still need stay, those that `checkpoints keep` names, and
// those of a run that somebody reads at the moment.

import { firstTeacherStage, type TeacherSchedule } from '../../core/spec/distillation.ts';
import type { CheckpointPolicy } from '../../core/spec/retention.ts';

/** What is stored of a stage: everything, or the network alone (backbone and labels). */
export type Held = 'all' | 'network';

/** A stage as far as it is stored. */
export interface HeldStage {
  readonly stage: number;
  readonly held: Held;
  /** Why it is to stay, by request; undefined when nobody asked for it. */
  readonly kept: string | undefined;
}

/** A student of a teacher. */
export interface StudentOf {
  readonly id: string;
  /** A student that failed or was cancelled may be resumed: it still needs what it needed. */
  readonly isDone: boolean;
  /** The newest stage that it has stored; 0: none. */
  readonly newest: number;
  readonly schedule: TeacherSchedule;
  readonly epochs: number;
}

/** What the decision follows from. */
export interface RetentionFacts {
  readonly kind: 'teacher' | 'student' | 'candidate';
  readonly policy: CheckpointPolicy | undefined;
  /** Stages that it has when it is done. */
  readonly epochs: number;
  readonly isDone: boolean;
  readonly stages: readonly HeldStage[];
  /** Of a teacher: its students, and whether more are to come that nobody has created yet. */
  readonly students: readonly StudentOf[];
  readonly moreStudents: boolean;
  /** Of a candidate: whether another attempt has taken its place, its result counts, it is the best or one of several. */
  readonly candidate: {
    readonly isReplaced: boolean;
    readonly hasResult: boolean;
    readonly isBest: boolean;
    /** Its sweep looks for several things, and keeps all that no other dominates. */
    readonly hasFront: boolean;
  };
}

/** Stages of which something is let go, for one reason. */
export interface Drop {
  readonly stages: readonly number[];
  /** What goes: optimiser state and head, or all that is left. */
  readonly parts: 'state' | 'all';
  readonly reason: string;
}

/** What is let go now; nothing when all is as it should be. */
export function dropsOf(facts: RetentionFacts): Drop[] {
  const drops = new Map<string, { stages: number[]; parts: Drop['parts']; reason: string }>();
  for (const { stage, held, kept } of facts.stages) {
    const { keep, reason } =
      kept === undefined ? keepOf(facts, stage) : { keep: 'all' as const, reason: kept };
    if (keep === 'all' || keep === held) continue;
    const parts = keep === 'network' ? 'state' : 'all';
    const known = drops.get(`${parts} ${reason}`);
    if (known === undefined) drops.set(`${parts} ${reason}`, { stages: [stage], parts, reason });
    else known.stages.push(stage);
  }
  return [...drops.values()];
}

/** Whether what is let go is every earlier stage of a candidate, whole, because another has taken their place. */
export const isPassing = (drops: readonly Drop[]): boolean =>
  drops.length === 1 && drops[0]!.parts === 'all' && drops[0]!.reason === NEWEST_ALONE;

/** Why a stage that is stored stays, for a person. */
export function reasonToKeep(facts: RetentionFacts, stage: HeldStage): string {
  return stage.kept ?? keepOf(facts, stage.stage).reason;
}

/** The lowest stage that a student may still need; undefined once it needs none. */
export function firstNeeded(student: StudentOf, teacherStages: number): number | undefined {
  const { isDone, newest, epochs, schedule } = student;
  if (isDone || newest >= epochs) return undefined;
  return firstTeacherStage({ schedule, epochs, teacherStages }, newest);
}

interface Kept {
  readonly keep: Held | 'nothing';
  readonly reason: string;
}

function keepOf(facts: RetentionFacts, stage: number): Kept {
  const own = ownPolicy(facts, stage);
  if (own.keep === 'all' || facts.kind !== 'teacher') return own;
  const needed = facts.students.flatMap((student) => firstNeeded(student, facts.epochs) ?? []);
  const first = Math.min(...needed);
  if (stage < first) return own;
  return { keep: 'network', reason: facts.policy === undefined ? NETWORKS_ALONE : own.reason };
}

function ownPolicy(facts: RetentionFacts, stage: number): Kept {
  const { kind, policy } = facts;
  const newest = facts.stages.at(-1)?.stage ?? 0;
  if (policy === 'all') return { keep: 'all', reason: 'checkpoints.keep: all' };
  if (policy === 'last')
    return stage === newest
      ? { keep: 'all', reason: 'the newest stage' }
      : { keep: 'nothing', reason: 'checkpoints.keep: last keeps the newest stage alone' };
  if (typeof policy === 'object' && stage % policy.every === 0)
    return { keep: 'all', reason: `checkpoints.keep: { every: ${policy.every} }` };
  if (kind === 'candidate') return candidatePolicy(facts, stage === newest);
  if (stage >= newest - 1) return { keep: 'all', reason: 'one of the last two stages' };
  return kind === 'teacher' ? teacherPolicy(facts) : { keep: 'nothing', reason: LAST_TWO };
}

/** Of a candidate's stages before the newest, with which this is journalled (`isOnlyStage`). */
export const NEWEST_ALONE = 'a candidate keeps its newest stage alone';
const LAST_TWO = 'a run keeps its last two stages';
const NETWORKS_ALONE = 'only the last two stages keep their optimiser state and head';

/** Why a candidate keeps its newest stage although its result is known. */
export const keptText = (hasFront: boolean): string =>
  hasFront ? 'on the front of its sweep' : 'the best of its sweep';

/** Why it keeps none. */
export const knownText = (hasFront: boolean): string =>
  `its result is known, and it is not ${keptText(hasFront)}`;

function candidatePolicy({ candidate }: RetentionFacts, isNewest: boolean): Kept {
  const { isReplaced, hasResult, isBest, hasFront } = candidate;
  if (isReplaced) return { keep: 'nothing', reason: 'another attempt has taken its place' };
  if (hasResult && !isBest) return { keep: 'nothing', reason: knownText(hasFront) };
  return isNewest
    ? { keep: 'all', reason: isBest ? keptText(hasFront) : 'the newest stage' }
    : { keep: 'nothing', reason: NEWEST_ALONE };
}

function teacherPolicy({ policy, students, moreStudents }: RetentionFacts): Kept {
  const byDefault = policy === undefined;
  if (byDefault && (students.length === 0 || moreStudents))
    return { keep: 'network', reason: NETWORKS_ALONE };
  const who = students.map(({ id }) => id).join(', ');
  return {
    keep: 'nothing',
    reason: byDefault ? `every student has passed it (${who})` : LAST_TWO,
  };
}
