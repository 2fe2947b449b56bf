// One setting of `bench:kd`: a teacher, and students by themselves, of its last stage and of the stage of each epoch,
// alike in everything else. Decides what is equal: order of the images, mirror images, first weights and pairs.

import { systemClock } from '../../core/clock.ts';
import { createLoader } from '../../core/data/loading/loader.ts';
import type { DataSpec } from '../../core/spec/data.ts';
import { orderKeyOf } from '../../core/spec/order-key.ts';
import { type RunSpec, runSchema } from '../../core/spec/run.ts';
import type { JudgedPairs } from '../../core/verify/paired-difference.ts';
import type { Compute } from '../../worker/compute/client.ts';
import { createTeacherFeed } from '../../worker/training/teacher.ts';
import { createTeacherBlocks } from '../../worker/training/teacher-blocks.ts';
import type { StoredNetwork } from '../../worker/training/teacher-network.ts';
import { type HeldOut, heldOutOf, trainHere, verifyHere } from '../train-here.ts';

/** Students without a teacher, of its last stage, and of stage e+1 in epoch e. */
export const ARMS = ['none', 'single-step', 'multi-step'] as const;
/** One of these. */
export type Arm = (typeof ARMS)[number];

/** What is trained and on what. */
export interface KdSetting {
  readonly data: DataSpec;
  readonly epochs: number;
  readonly seeds: number;
  readonly batch: number;
  readonly pairs: number;
  /** Weight of the distillation term. */
  readonly weight: number;
}

/** What a network reached on the held-out people. */
export interface Reached {
  /** Percent. */
  readonly accuracy: number;
  readonly auc: number;
  readonly judged: JudgedPairs;
}

/** All networks of a setting; students by seed, from 1. */
export interface KdResult {
  readonly teacher: Reached;
  /** The teacher's accuracy at the end of each stage, percent. */
  readonly stages: readonly number[];
  readonly students: readonly Readonly<Record<Arm, Reached>>[];
}

const EMBEDDING = 32;

/** Trains the teacher, and then the students of each seed. `said`: called with what has just ended, for a person. */
export async function trainArms(
  compute: Compute,
  setting: KdSetting,
  said: (text: string) => void,
): Promise<KdResult> {
  const loader = await createLoader({ data: setting.data });
  try {
    const of = { loader, compute };
    const heldOut = await heldOutOf(loader);
    const teacherSpec = specOf(setting, 'teacher', { channels: 8, layers: 6 }, 1);
    const stages = new Map<number, StoredNetwork>();
    const reachedAt: Reached[] = [];
    await trainHere(of, teacherSpec, async (stage, network) => {
      stages.set(stage, { ...network, network: teacherSpec.network });
      reachedAt.push(await reachedBy(compute, teacherSpec, network, heldOut));
      said(`teacher, stage ${stage}: ${reachedAt.at(-1)!.accuracy.toFixed(2)} %`);
    });
    const students: Readonly<Record<Arm, Reached>>[] = [];
    for (let seed = 1; seed <= setting.seeds; seed++) {
      const blocks = createTeacherBlocks();
      const found: Partial<Record<Arm, Reached>> = {};
      for (const arm of ARMS) {
        const spec = specOf(setting, arm, { channels: 2, layers: 4 }, seed);
        const teacher = arm === 'none' ? undefined : feedOf(compute, spec, { stages, blocks });
        await trainHere(
          of,
          spec,
          async (stage, network) => {
            if (stage === setting.epochs) found[arm] = await reachedBy(compute, spec, network, heldOut);
          },
          teacher,
        );
        teacher?.close();
        said(`seed ${seed}, ${arm}: ${found[arm]!.accuracy.toFixed(2)} %`);
      }
      students.push(found as Record<Arm, Reached>);
    }
    return { teacher: reachedAt.at(-1)!, stages: reachedAt.map(({ accuracy }) => accuracy), students };
  } finally {
    await loader.close();
  }
}

function specOf(
  { data, epochs, batch, pairs, weight }: KdSetting,
  name: Arm | 'teacher',
  size: { readonly channels: number; readonly layers: number },
  seed: number,
): RunSpec {
  const isTaught = name !== 'teacher' && name !== 'none';
  return runSchema.parse({
    ...{ kind: isTaught ? 'student' : 'teacher', name, data },
    network: { kind: 'pocketnet', ...size, embedding: EMBEDDING },
    training: {
      ...{ epochs, batch, shards: 2, seed },
      optimizer: { learningRate: 0.05 },
      loss: { scale: 32, margin: 0.3 },
    },
    verification: { pairs },
    ...(isTaught ? { distillation: { teacher: 'teacher', schedule: name, weight } } : {}),
  });
}

function feedOf(
  compute: Compute,
  spec: RunSpec,
  given: {
    readonly stages: ReadonlyMap<number, StoredNetwork>;
    readonly blocks: ReturnType<typeof createTeacherBlocks>;
  },
) {
  const { training, distillation, network } = spec;
  const stored = (stage: number): StoredNetwork => {
    const found = given.stages.get(stage);
    if (found === undefined) throw new Error(`assertion: the teacher has no stage ${stage}`);
    return found;
  };
  return createTeacherFeed({
    teacherRunId: 'teacher',
    taught: {
      ...{ schedule: distillation!.schedule, epochs: training.epochs, teacherStages: given.stages.size },
    },
    strength: distillation!,
    batch: training.batch / training.shards,
    ...{
      blocks: given.blocks,
      order: orderKeyOf({ ...spec, digest: undefined }),
      embedding: network.embedding,
      compute,
    },
    clock: systemClock,
    ...{ begin: () => () => undefined, onImages: () => undefined, onWaiting: () => undefined },
    find: async (stage) => ({
      ...{ digest: digestOf(stage), networkDigest: digestOf(stage), bytes: 0 },
      load: async () => stored(stage),
    }),
    exists: async () => true,
    digestOf: async (stage) => digestOf(stage),
  });
}

const digestOf = (stage: number): string => `stage ${stage}`;

async function reachedBy(
  compute: Compute,
  spec: RunSpec,
  network: Parameters<typeof verifyHere>[2],
  heldOut: HeldOut,
): Promise<Reached> {
  const { accuracy, auc, right, of } = await verifyHere(compute, spec, network, heldOut);
  const person = (image: number) => heldOut.labels[image]!;
  const judged = { personA: of.map(({ a }) => person(a)), personB: of.map(({ b }) => person(b)), right };
  return { accuracy: 100 * accuracy, auc, judged };
}

/** Seconds on the clock of this process, for a person. */
export const secondsOf = (since: number): string =>
  `${((systemClock.monotonic() - since) / 1000).toFixed(0)} s`;
