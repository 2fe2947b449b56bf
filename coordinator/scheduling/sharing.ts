// How students of one teacher and one order get its embeddings: with a pass each, with a pass for each worker that has
// some of them, or with one pass for all, over the stream of the fleet; and whether what is computed is kept by image.
// Decides by what an image costs each way: in seconds, where steps and passes were measured on that device class, and
// in multiply-adds before, which seconds follow within one class. The bits are the same each way. Pure.

import type { Observed } from '../model/observed.ts';
import type { RunState } from '../model/state.ts';

/** Forward, and backward with respect to activations and to weights. */
const STEP_PER_FORWARD = 3;

/** Students of one order with their teacher. */
export interface Order {
  /** Multiply-adds of the teacher's pass for an image. */
  readonly teacher: number;
  /** Multiply-adds of the forward pass of an image, of each student. */
  readonly students: readonly number[];
  /** Workers on which the students train, at least 1. */
  readonly workers: number;
  /** What the students ask for; absent: the cheaper one. */
  readonly share?: SharingPlan['chosen'] | undefined;
  /** The device class on which they train, and what was measured there; absent: nothing is known. */
  readonly measured?: Measured | undefined;
  /** Passes for an image of all students on all their workers, where rows of images are kept; absent: they are not. */
  readonly keptPasses?: number | undefined;
}

/** What was measured on a device class. */
export interface Measured {
  readonly deviceClass: string;
  readonly secondsOf: NonNullable<Observed['secondsOf']>;
}

/** The ways, each with what it costs. */
export interface SharingPlan {
  readonly chosen: 'worker' | 'stream';
  /** On which the students train. */
  readonly workers: number;
  /** Passes of the teacher for an image of all students. */
  readonly passes: { readonly own: number; readonly worker: number; readonly stream: number };
  /** Of an image of all students, steps and these passes. */
  readonly costs: { readonly own: number; readonly worker: number; readonly stream: number };
  /** With rows of images that are kept; undefined: they are not. */
  readonly byImage: { readonly passes: number; readonly cost: number } | undefined;
  readonly unit: 'seconds' | 'multiply-adds';
  /** A pass in steps of the smallest student. */
  readonly passInSteps: number;
}

/**
 * The plan for an order of at least one student. One pass for all is chosen where there is more than one to share it,
 * on more than one worker, and a pass costs more than a step of the smallest student: what a worker saves is then more
 * than what fetching a block can cost it.
 */
export function planSharing(order: Order): SharingPlan {
  const { students, workers, keptPasses } = order;
  const { unit, pass, steps } = costsOfAnImage(order);
  const all = steps.reduce((sum, step) => sum + step, 0);
  const passes = { own: students.length, worker: Math.min(workers, students.length), stream: 1 };
  const passInSteps = pass / Math.min(...steps);
  const cheaper = passes.worker > 1 && passInSteps > 1 ? 'stream' : 'worker';
  const chosen = order.share ?? cheaper;
  return {
    ...{ chosen, workers, passes, unit, passInSteps },
    costs: {
      own: all + passes.own * pass,
      worker: all + passes.worker * pass,
      stream: all + pass,
    },
    byImage: keptPasses === undefined ? undefined : { passes: keptPasses, cost: all + keptPasses * pass },
  };
}

/** What a pass and the step of each student cost: in seconds only where all of them were measured. */
function costsOfAnImage({ teacher, students, measured }: Order) {
  const secondsOf = (kind: 'pass' | 'step', adds: number) =>
    measured?.secondsOf(kind, measured.deviceClass, adds);
  const pass = secondsOf('pass', teacher);
  const steps = students.map((adds) => secondsOf('step', adds));
  if (pass !== undefined && steps.every((step): step is number => step !== undefined))
    return { unit: 'seconds', pass, steps } as const;
  return {
    unit: 'multiply-adds',
    pass: teacher,
    steps: students.map((adds) => STEP_PER_FORWARD * adds),
  } as const;
}

/** The plan for students that are placed, at least one. */
export function planOfPlaced(
  teacher: RunState,
  placed: readonly RunState[],
  { secondsOf }: Pick<Observed, 'secondsOf'>,
): SharingPlan {
  const workers = new Set(placed.flatMap(({ gang }) => gang.map(({ workerId }) => workerId)));
  const deviceClass = placed.find((run) => run.deviceClass !== undefined)?.deviceClass;
  return planSharing({
    teacher: teacher.costs.multiplyAdds,
    students: placed.map(({ costs }) => costs.multiplyAdds),
    workers: workers.size,
    measured: deviceClass === undefined || secondsOf === undefined ? undefined : { deviceClass, secondsOf },
  });
}

/** The arithmetic as one sentence's part: what an image costs each way. */
export function sharingText({ passes, costs, passInSteps, unit, byImage }: SharingPlan): string {
  const { own, worker, stream } = costs;
  const text = unit === 'seconds' ? milliseconds : madds;
  const ways = [
    `${text(own)} with ${passes.own === 1 ? 'its own pass' : 'a pass each'}`,
    ...(passes.worker < passes.own ? [`${text(worker)} with ${counted(passes.worker)}, one a worker`] : []),
    ...(passes.worker > 1 ? [`${text(stream)} with one for all`] : []),
    ...(byImage === undefined
      ? []
      : [`${text(byImage.cost)} with ${byImage.passes.toFixed(2)} passes, each image kept`]),
  ];
  const how = unit === 'seconds' ? 'measured' : 'by multiply-adds';
  return `an image costs ${ways.join(', ')} (${how}; a pass is ${passInSteps.toFixed(1)} steps)`;
}

const counted = (passes: number): string => (passes === 1 ? 'one pass' : `${passes} passes`);

const milliseconds = (seconds: number): string => `${(1000 * seconds).toPrecision(3)} ms`;

function madds(value: number): string {
  return value >= 1e9 ? `${(value / 1e9).toFixed(2)} GMAC` : `${(value / 1e6).toFixed(1)} MMAC`;
}
