// How many passes of its teacher each student of a text will cost, and why: students of one order share them, and where
// rows of images are kept, those of all epochs and orders do. For the forecast of a text, before anything is placed.

import { type DistillationSpec, sharesOverFleet } from '../../core/spec/distillation.ts';
import { type Ordered, sharedOrderOf } from '../../core/spec/order-key.ts';
import type { Observed } from '../model/observed.ts';
import { valuesOf } from '../model/persistent-map.ts';
import { attachedWorkers, type State } from '../model/state.ts';
import { countRows, rowsText } from '../scheduling/image-rows.ts';
import { planSharing, sharingText } from '../scheduling/sharing.ts';

/** A student of a text. */
export interface TextStudent extends Ordered {
  readonly name: string;
  readonly distillation: Pick<DistillationSpec, 'schedule' | 'share' | 'embed' | 'blocks'>;
  /** Multiply-adds of the forward pass of an image. */
  readonly adds: number;
  readonly workersMax: number;
}

/** Their teacher, and the fleet that would train them. */
export interface TextTeacher {
  /** Multiply-adds of a pass. */
  readonly adds: number;
  /** Stages that it has when it is done. */
  readonly stages: number;
  /** Size of its embeddings. */
  readonly embedding: number;
  /** Training images of the students' data. */
  readonly images: number;
  /** Workers of the fleet, and the device class that most of them have; undefined without one. */
  readonly attached: number;
  readonly deviceClass: string | undefined;
  readonly observed: Pick<Observed, 'secondsOf' | 'imageRowsBytes'>;
}

/** What a student has of the passes of its teacher. */
export interface SharedPasses {
  /** Passes of the teacher for an image of this student: a part of one where others share it. */
  readonly passes: number;
  readonly note: string;
}

/** What a teacher costs and where, for students of a text. */
export function teacherOfText(
  state: State,
  teacher: Pick<TextTeacher, 'adds' | 'stages' | 'embedding' | 'images' | 'observed'>,
): TextTeacher {
  return { ...teacher, attached: attachedWorkers(state), deviceClass: commonClassOf(state) };
}

/** By the students' names; all learn from this teacher. */
export function sharingIn(students: readonly TextStudent[], teacher: TextTeacher): Map<string, SharedPasses> {
  const { attached, deviceClass, observed } = teacher;
  const { secondsOf, imageRowsBytes: bytesMax = 0 } = observed;
  const orders = new Map<string, TextStudent[]>();
  /** Students that share with nobody have a pass of their own over the same order. */
  const distinct = new Map<string, TextStudent>();
  for (const student of students) {
    const { share } = student.distillation;
    const order = sharedOrderOf(student);
    const key = share === 'own' ? student.name : order;
    distinct.set(order, student);
    orders.set(key, [...(orders.get(key) ?? []), student]);
  }
  const found = new Map<string, SharedPasses>();
  for (const members of orders.values()) {
    const wanted = members.reduce((sum, { workersMax }) => sum + workersMax, 0);
    const workers = Math.max(1, Math.min(attached, wanted));
    const isShared = members.every(({ distillation }) => sharesOverFleet(distillation));
    // Students that are all on one worker have its rows; those on others compute them once more.
    const apart = isShared ? 1 : Math.min(workers, members.length);
    const count = countRows({
      orders: [...distinct.values()].map(({ training, distillation: { schedule } }) => ({
        training,
        schedule,
      })),
      ...{ workers: workers / apart, isShared, bytesMax, teacherStages: teacher.stages },
      ...{ images: teacher.images, embedding: teacher.embedding },
    });
    const isKept = keepsRows(members, count.isWorthIt && bytesMax > 0);
    const asks = (share: DistillationSpec['share']) =>
      members.some(({ distillation }) => distillation.share === share);
    const plan = planSharing({
      ...{ teacher: teacher.adds, students: members.map(({ adds }) => adds), workers },
      share: asks('stream') ? 'stream' : asks('worker') ? 'worker' : undefined,
      measured: deviceClass === undefined || secondsOf === undefined ? undefined : { deviceClass, secondsOf },
      keptPasses: isKept ? (apart * count.byImage) / count.byBatch : undefined,
    });
    const { chosen, byImage } = plan;
    const who =
      members.length === 1
        ? 'alone in its order'
        : `${members.length} students of one order share passes (${chosen})`;
    const kept = isKept ? `; ${rowsText(count, bytesMax)}, where the proof on a worker holds` : '';
    const passes = byImage?.passes ?? plan.passes[chosen];
    for (const { name } of members)
      found.set(name, {
        passes: passes / members.length,
        note: `${who}: ${sharingText(plan)}${kept}`,
      });
  }
  return found;
}

/** Whether rows are kept for students of one order: as one of them asks, and else where that takes fewer passes. */
function keepsRows(members: readonly TextStudent[], isWorthIt: boolean): boolean {
  const asked = members.map(({ distillation }) => distillation.embed);
  if (asked.includes('by-image')) return true;
  return isWorthIt && !asked.includes('by-batch');
}

/** The device class that most attached workers have; undefined without one. */
function commonClassOf(state: State): string | undefined {
  const counts = new Map<string, number>();
  for (const { deviceClass, state: worker } of valuesOf(state.workers))
    if (worker === 'attached') counts.set(deviceClass, (counts.get(deviceClass) ?? 0) + 1);
  return [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))[0]?.[0];
}
