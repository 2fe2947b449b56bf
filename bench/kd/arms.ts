// Trains the networks of a setting of `bench:kd`: a teacher, and students by themselves, of its last stage and of the
// stage of each epoch, alike in everything else. Decides what is equal: order of the images, mirror images, first
// weights and pairs.

import { systemClock } from '../../core/clock.ts';
import { inspectData } from '../../core/data/inspection/inspect.ts';
import { createLoader, type Loader } from '../../core/data/loading/loader.ts';
import { adapterWidth } from '../../core/spec/distillation.ts';
import { orderKeyOf } from '../../core/spec/order-key.ts';
import { type RunSpec, runSchema } from '../../core/spec/run.ts';
import type { Compute } from '../../worker/compute/client.ts';
import { createTeacherFeed, type TeacherFeed } from '../../worker/training/teacher.ts';
import { createTeacherBlocks } from '../../worker/training/teacher-blocks.ts';
import type { StoredNetwork } from '../../worker/training/teacher-network.ts';
import { type HeldOut, heldOutOf, type TrainedNetwork, trainHere, verifyHere } from '../train-here.ts';
import type { Keeper, KeptKey, KeptNetwork } from './kept.ts';
import { ARMS, type Arm, type KdResult, type KdSetting, type Reached } from './setting.ts';

const TEACHER = { channels: 8, layers: 6, embedding: 32 } as const;
const STUDENT = { channels: 2, layers: 4 } as const;

/** What a setting is trained with. */
export interface Means {
  readonly compute: Compute;
  readonly keeper: Keeper;
  /** The device class, and the digest of the code that trains. */
  readonly device: string;
  readonly code: string;
  /** Called with what has just ended, for a person. */
  readonly said: (text: string) => void;
}

/** Trains the teacher, and then the students of each seed; what is kept is not trained again. */
export async function trainArms(means: Means, setting: KdSetting): Promise<KdResult> {
  const { compute, device, code, said } = means;
  const { digest } = await inspectData(setting.data);
  const keyOf = (spec: RunSpec, teacher?: KeptKey): KeptKey => ({ spec, digest, device, code, teacher });
  const loader = await createLoader({ data: setting.data });
  try {
    const of = { loader, compute, heldOut: await heldOutOf(loader) };
    const teacherOf = (seed: number, from: readonly number[]) =>
      keptOr(means.keeper, keyOf(specOf(setting, 'teacher', TEACHER, seed)), (key) =>
        trainTeacher(of, { spec: key.spec, from, seed }, said),
      );
    const teacher = await teacherOf(1, stagesOf(setting));
    const teacherKey = keyOf(specOf(setting, 'teacher', TEACHER, 1));
    const { network } = teacherKey.spec;
    const stages = new Map(teacher.stages.map((stored, i) => [i + 1, { ...stored, network }]));
    const students: Readonly<Record<Arm, Reached>>[] = [];
    for (let seed = 1; seed <= setting.seeds; seed++) {
      const blocks = createTeacherBlocks();
      const found: Partial<Record<Arm, Reached>> = {};
      for (const arm of ARMS) {
        const spec = specOf(setting, arm, { ...STUDENT, embedding: setting.embedding }, seed);
        const key = keyOf(spec, arm === 'none' ? undefined : teacherKey);
        const student = await keptOr(means.keeper, key, () =>
          trainStudent(of, spec, arm === 'none' ? undefined : feedOf(compute, spec, { stages, blocks })),
        );
        found[arm] = student.reached.at(-1)!;
        said(`seed ${seed}, ${arm}: ${found[arm].accuracy.toFixed(2)} %`);
      }
      students.push(found as Record<Arm, Reached>);
    }
    const teachers = [teacher.reached.at(-1)!.accuracy];
    for (let seed = 2; seed <= setting.teachers; seed++)
      teachers.push((await teacherOf(seed, [])).reached.at(-1)!.accuracy);
    return {
      teacher: teacher.reached.at(-1)!,
      stages: teacher.reached.map(({ accuracy }) => accuracy),
      ...{ teachers, students },
    };
  } finally {
    await loader.close();
  }
}

async function keptOr(
  keeper: Keeper,
  key: KeptKey,
  train: (key: KeptKey) => Promise<KeptNetwork>,
): Promise<KeptNetwork> {
  const kept = keeper.find(key);
  if (kept !== undefined) return kept;
  const trained = await train(key);
  keeper.keep(key, trained);
  return trained;
}

/** What every network of a setting is trained on. */
interface Trainer {
  readonly loader: Loader;
  readonly compute: Compute;
  readonly heldOut: HeldOut;
}

/** Stages of the teacher that students learn from. */
function stagesOf({ epochs, teacherEpochs }: KdSetting): number[] {
  const stageOf = (epoch: number) => Math.ceil(((epoch + 1) * teacherEpochs) / epochs);
  return [...new Set(Array.from({ length: epochs }, (_, epoch) => stageOf(epoch)))];
}

/** Verified where a student learns from it, and at its end. */
async function trainTeacher(
  of: Trainer,
  { spec, from, seed }: { readonly spec: RunSpec; readonly from: readonly number[]; readonly seed: number },
  said: Means['said'],
): Promise<KeptNetwork> {
  const reached: Reached[] = [];
  const stages: TrainedNetwork[] = [];
  await trainHere(of, spec, async (stage, network) => {
    if (from.length > 0) stages.push(network);
    if (!from.includes(stage) && stage !== spec.training.epochs) return;
    reached.push(await reachedBy(of.compute, spec, network, of.heldOut));
    said(`teacher of seed ${seed}, stage ${stage}: ${reached.at(-1)!.accuracy.toFixed(2)} %`);
  });
  return { reached, stages };
}

async function trainStudent(
  of: Trainer,
  spec: RunSpec,
  teacher: TeacherFeed | undefined,
): Promise<KeptNetwork> {
  const reached: Reached[] = [];
  const atEnd = async (stage: number, network: TrainedNetwork) => {
    if (stage === spec.training.epochs) reached.push(await reachedBy(of.compute, spec, network, of.heldOut));
  };
  await trainHere(of, spec, atEnd, teacher);
  teacher?.close();
  return { reached, stages: [] };
}

function specOf(
  { data, epochs, teacherEpochs, batch, pairs, weight }: KdSetting,
  name: Arm | 'teacher',
  size: { readonly channels: number; readonly layers: number; readonly embedding: number },
  seed: number,
): RunSpec {
  const isTaught = name !== 'teacher' && name !== 'none';
  const schedule = name === 'multi-step' && teacherEpochs !== epochs ? 'proportional' : name;
  const adapter =
    size.embedding === TEACHER.embedding ? {} : { adapter: 'linear', teacherEmbedding: TEACHER.embedding };
  return runSchema.parse({
    ...{ kind: isTaught ? 'student' : 'teacher', name, data },
    network: { kind: 'pocketnet', ...size },
    training: {
      ...{ epochs: name === 'teacher' ? teacherEpochs : epochs, batch, shards: 2, seed },
      optimizer: { learningRate: 0.1, until: 0.001 },
      loss: { scale: 32, margin: 0.3 },
    },
    verification: { pairs },
    ...(isTaught ? { distillation: { teacher: 'teacher', schedule, weight, ...adapter } } : {}),
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
    form: 'float32',
    ...{
      blocks: given.blocks,
      order: orderKeyOf({ ...spec, digest: undefined }),
      embedding: adapterWidth(distillation) ?? network.embedding,
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
