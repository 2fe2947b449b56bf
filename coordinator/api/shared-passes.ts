// How many passes of its teacher each student of a text will cost, and why: students of one order share them. For the
// forecast of a text, before anything is placed.

import type { DistillationSpec } from '../../core/spec/distillation.ts';
import { sharedOrderOf } from '../../core/spec/order-key.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { planSharing, sharingText } from '../scheduling/sharing.ts';

/** A student of a text. */
export interface TextStudent extends Pick<RunSpec, 'data' | 'training'> {
  readonly name: string;
  readonly distillation: Pick<DistillationSpec, 'schedule' | 'share'>;
  /** Multiply-adds of the forward pass of an image. */
  readonly adds: number;
  readonly workersMax: number;
}

/** What a student has of the passes of its teacher. */
export interface SharedPasses {
  /** Passes of the teacher for an image of this student: a part of one where others share it. */
  readonly passes: number;
  readonly note: string;
}

/** By the students' names. `attached`: workers of the fleet; `teacher`: multiply-adds of a pass. */
export function sharingIn(
  students: readonly TextStudent[],
  { teacher, attached }: { readonly teacher: number; readonly attached: number },
): Map<string, SharedPasses> {
  const orders = new Map<string, TextStudent[]>();
  for (const student of students) {
    const { schedule, share } = student.distillation;
    const key = share === 'own' ? student.name : sharedOrderOf({ ...student, schedule });
    orders.set(key, [...(orders.get(key) ?? []), student]);
  }
  const found = new Map<string, SharedPasses>();
  for (const members of orders.values()) {
    const wanted = members.reduce((sum, { workersMax }) => sum + workersMax, 0);
    const workers = Math.max(1, Math.min(attached, wanted));
    const plan = planSharing({ teacher, students: members.map(({ adds }) => adds), workers });
    const isAsked = members.some(({ distillation }) => distillation.share === 'stream');
    const isForWorkers = members.some(({ distillation }) => distillation.share === 'worker');
    const chosen = isAsked ? 'stream' : isForWorkers ? 'worker' : plan.chosen;
    const who =
      members.length === 1
        ? 'alone in its order'
        : `${members.length} students of one order share passes (${chosen})`;
    for (const { name } of members)
      found.set(name, { passes: plan.passes[chosen] / members.length, note: `${who}: ${sharingText(plan)}` });
  }
  return found;
}
