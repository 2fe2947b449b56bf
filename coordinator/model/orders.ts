// Which runs share the embeddings of a teacher over the fleet's stream: students of one teacher, order, schedule and,
// where they are exact, device class, and the embedding run that computes for them.

import { dataKeyOf } from '../../core/spec/data-key.ts';
import { sharesOverFleet, type TeacherSchedule } from '../../core/spec/distillation.ts';
import { sharedOrderOf } from '../../core/spec/order-key.ts';
import { hasEnded, type Job, type RunState, type State, wholeRunWith } from './state.ts';

/**
 * The key that is equal for those who share; undefined for a run that shares with none, or whose device class is not
 * known yet.
 */
export function sharingKeyOf(run: Sharer & Pick<RunState, 'deviceClass'>): string | undefined {
  const { deviceClass } = run;
  const { distillation, training } = run.job;
  if (!sharesOverFleet(distillation)) return undefined;
  if (!training.exact) return orderOfRun(run);
  return deviceClass === undefined ? undefined : `${deviceClass} ${orderOfRun(run)}`;
}

type Sharer = Pick<RunState, 'job' | 'facts'>;

const orderOfRun = keptByJob(({ data, training, distillation }, digest) =>
  sharedOrderOf({ data, digest, training, distillation }),
);

const dataOfRun = keptByJob(({ data }, digest) => dataKeyOf({ data, digest }));

/**
 * A job never changes, and its key takes longer to make than to find. Runs of one text have one job, also where the content
 * of their data differs.
 */
function keptByJob(make: (job: Job, digest: string | undefined) => string): (run: Sharer) => string {
  const keys = new WeakMap<Job, Map<string | undefined, string>>();
  return ({ job, facts: { digest } }) => {
    const ofJob = keys.get(job) ?? new Map<string | undefined, string>();
    keys.set(job, ofJob);
    const key = ofJob.get(digest) ?? make(job, digest);
    ofJob.set(digest, key);
    return key;
  };
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
export function ordersOf(state: State, teacher: RunState, asking: RunState): StudentOrder[] {
  const orders = new Map<string, StudentOrder>();
  const add = (run: RunState) => {
    const { distillation, training } = run.job;
    if (distillation !== undefined)
      orders.set(orderOfRun(run), { training, schedule: distillation.schedule });
  };
  add(asking);
  const data = dataOfRun(asking);
  for (const id of teacher.studentRunIds) {
    const run = wholeRunWith(state, id);
    if (run !== undefined && !hasEnded(run) && !isEmbedding(run) && dataOfRun(run) === data) add(run);
  }
  return [...orders.values()];
}
