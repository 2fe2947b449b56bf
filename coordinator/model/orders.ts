// Which runs share the embeddings of a teacher over the fleet's stream: students of one teacher, order, schedule and,
// where they are exact, device class, and the embedding run that computes for them.

import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { TeacherSchedule } from '../../core/spec/distillation.ts';
import { sharedOrderOf } from '../../core/spec/order-key.ts';
import { hasEnded, type Job, type RunState, type State, wholeRunWith } from './state.ts';

/**
 * The key that is equal for those who share; undefined for a run that shares with none, or whose device class is not
 * known yet.
 */
export function sharingKeyOf({
  job,
  deviceClass,
}: Pick<RunState, 'job' | 'deviceClass'>): string | undefined {
  const { distillation, training } = job;
  if (distillation === undefined || distillation.share === 'own' || distillation.share === 'worker')
    return undefined;
  if (!training.exact) return keyOfJob(job);
  return deviceClass === undefined ? undefined : `${deviceClass} ${keyOfJob(job)}`;
}

/** A job never changes, and its key takes longer to make than to find. */
const keys = new WeakMap<Job, string>();

function keyOfJob(job: Job): string {
  const known = keys.get(job);
  if (known !== undefined) return known;
  const { data, training, distillation } = job;
  const key = sharedOrderOf({ data, training, schedule: distillation?.schedule });
  keys.set(job, key);
  return key;
}

/** Whether a run computes embeddings for others and trains nothing itself. */
export const isEmbedding = ({ job }: Pick<RunState, 'job'>): boolean => job.kind === 'embedding';

/** A teacher's students and embedding runs by what they share, in the order of their creation. */
export function sharersOf(state: State, teacher: RunState): Map<string, RunState[]> {
  const sharers = new Map<string, RunState[]>();
  for (const id of teacher.studentRunIds) {
    const run = wholeRunWith(state, id);
    const key = run && sharingKeyOf(run);
    if (key === undefined) continue;
    const known = sharers.get(key);
    if (known === undefined) sharers.set(key, [run!]);
    else known.push(run!);
  }
  return sharers;
}

/** The open embedding run that computes for a student; undefined where there is none. */
export function embeddingRunOf(state: State, student: RunState): RunState | undefined {
  const key = isEmbedding(student) ? undefined : sharingKeyOf(student);
  const teacher = student.teacherRunId === undefined ? undefined : wholeRunWith(state, student.teacherRunId);
  if (key === undefined || teacher === undefined) return undefined;
  for (const id of teacher.studentRunIds) {
    const run = wholeRunWith(state, id);
    if (run !== undefined && isEmbedding(run) && !hasEnded(run) && sharingKeyOf(run) === key) return run;
  }
  return undefined;
}

/** An order of a teacher's students. */
export interface StudentOrder extends Pick<Job, 'training'> {
  readonly schedule: TeacherSchedule;
}

/** The orders of a teacher's open students that have the data of this one, each once; its own is one of them. */
export function ordersOf(state: State, teacher: RunState, { job }: RunState): StudentOrder[] {
  const orders = new Map<string, StudentOrder>();
  const add = (of: Job) => {
    const { distillation, training } = of;
    if (distillation !== undefined) orders.set(keyOfJob(of), { training, schedule: distillation.schedule });
  };
  add(job);
  const data = dataKeyOf(job);
  for (const id of teacher.studentRunIds) {
    const run = wholeRunWith(state, id);
    if (run !== undefined && !hasEnded(run) && !isEmbedding(run) && dataKeyOf(run.job) === data) add(run.job);
  }
  return [...orders.values()];
}

const dataKeys = new WeakMap<Job, string>();

function dataKeyOf(job: Job): string {
  const known = dataKeys.get(job) ?? canonicalJson(job.data);
  dataKeys.set(job, known);
  return known;
}
