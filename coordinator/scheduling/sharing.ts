// How students of one teacher and one order get its embeddings: with a pass each, with a pass for each worker that has
// some of them, or with one pass for all, over the stream of the fleet. Decides by what an image costs each way. Costs
// are multiply-adds: they are known before anything is measured and the same for whoever decides, and seconds follow
// them within one device class. Pure.

import type { RunState } from '../model/state.ts';

/** Forward, and backward with respect to activations and to weights. */
const STEP_PER_FORWARD = 3;

/** Students of one order with their teacher. Costs are multiply-adds of the forward pass of an image. */
export interface Order {
  readonly teacher: number;
  readonly students: readonly number[];
  /** Workers on which the students train, at least 1. */
  readonly workers: number;
}

/** The ways, each with what it costs. */
export interface SharingPlan {
  readonly chosen: 'worker' | 'stream';
  /** On which the students train. */
  readonly workers: number;
  /** Passes of the teacher for an image of all students. */
  readonly passes: { readonly own: number; readonly worker: number; readonly stream: number };
  /** Multiply-adds of an image of all students: their steps and these passes. */
  readonly costs: { readonly own: number; readonly worker: number; readonly stream: number };
  /** A pass in steps of the smallest student. */
  readonly passInSteps: number;
}

/**
 * The plan for an order of at least one student. One pass for all is chosen where there is more than one to share it,
 * on more than one worker, and a pass costs more than a step of the smallest student: what a worker saves is then more
 * than what fetching a block can cost it.
 */
export function planSharing({ teacher, students, workers }: Order): SharingPlan {
  const steps = STEP_PER_FORWARD * students.reduce((sum, adds) => sum + adds, 0);
  const passes = { own: students.length, worker: Math.min(workers, students.length), stream: 1 };
  const passInSteps = teacher / (STEP_PER_FORWARD * Math.min(...students));
  return {
    chosen: passes.worker > 1 && passInSteps > 1 ? 'stream' : 'worker',
    workers,
    passes,
    costs: {
      own: steps + passes.own * teacher,
      worker: steps + passes.worker * teacher,
      stream: steps + teacher,
    },
    passInSteps,
  };
}

/** The plan for students that are placed, at least one. */
export function planOfPlaced(teacher: RunState, placed: readonly RunState[]): SharingPlan {
  const workers = new Set(placed.flatMap(({ gang }) => gang.map(({ workerId }) => workerId)));
  return planSharing({
    teacher: teacher.costs.multiplyAdds,
    students: placed.map(({ costs }) => costs.multiplyAdds),
    workers: workers.size,
  });
}

/** The arithmetic as one sentence's part: what an image costs each way. */
export function sharingText({ passes, costs, passInSteps }: SharingPlan): string {
  const { own, worker, stream } = costs;
  const ways = [
    `${madds(own)} with ${passes.own === 1 ? 'its own pass' : 'a pass each'}`,
    ...(passes.worker < passes.own ? [`${madds(worker)} with ${counted(passes.worker)}, one a worker`] : []),
    ...(passes.worker > 1 ? [`${madds(stream)} with one for all`] : []),
  ];
  return `an image costs ${ways.join(', ')} (a pass is ${passInSteps.toFixed(1)} steps)`;
}

const counted = (passes: number): string => (passes === 1 ? 'one pass' : `${passes} passes`);

function madds(value: number): string {
  return value >= 1e9 ? `${(value / 1e9).toFixed(2)} GMAC` : `${(value / 1e6).toFixed(1)} MMAC`;
}
