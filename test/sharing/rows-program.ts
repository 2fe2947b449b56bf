// A program of `npm run test:sharing`: with the kernels that its environment chooses it proves the rows of a network at
// some sizes of batch, trains nothing, and takes the embeddings of three epochs from one stage by batch and by image: at
// the largest size that is proven, and at one that is not. It prints what it found as one line of JSON.

import { systemClock } from '../../core/clock.ts';
import { IMAGE_BYTES, mirror } from '../../core/data/images/pixels.ts';
import { shardSamples } from '../../core/data/loading/sampler.ts';
import { sha256Hex } from '../../core/digest.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { integers } from '../../core/rng.ts';
import { networkSchema } from '../../core/spec/network.ts';
import { createCompute } from '../../worker/compute/client.ts';
import { createRowProofs, type EmbedPass } from '../../worker/training/row-proof.ts';
import { createTeacherFeed } from '../../worker/training/teacher.ts';
import { createTeacherBlocks } from '../../worker/training/teacher-blocks.ts';
import { createTeacherRows } from '../../worker/training/teacher-rows.ts';
import { initialVectors } from '../support/replicas.ts';

/** What the program prints. */
export interface RowsFound {
  /** By size of batch: the group, or why there is none. */
  readonly proofs: Readonly<Record<string, number | string>>;
  readonly proven: Taken;
  /** At a size whose proof fails; undefined where none does. */
  readonly unproven: Taken | undefined;
}

/** The embeddings at one size of batch, both ways. */
export interface Taken {
  readonly size: number;
  /** SHA-256 of all embeddings. */
  readonly byBatch: string;
  readonly byImage: string;
  /** Images that went through the network. */
  readonly computed: { readonly byBatch: number; readonly byImage: number };
  readonly refused: readonly string[];
  /** What a lease says of it. */
  readonly told: string;
}

const EMBEDDING = 32;
const network = networkSchema.parse({
  ...{ kind: 'iresnet', blocks: [1, 1, 1, 1], widths: [16, 32, 64, 128], stem: 16 },
  embedding: EMBEDDING,
});
const EPOCHS = 3;
/** 16 images in steps of 8. */
const STEP = 8;
const IMAGES = 16;
const SIZES = [8, 4, 2, 1];

const compute = createCompute({ cacheDir: '' });
const layout = layoutOf(buildNetwork(network));
const { weights, running } = initialVectors(layout, 3);
const pass: EmbedPass = async (batch, images) =>
  (await compute.runGraph({ kind: 'embed', network, batch }, [weights, running, images]))[0]!;

const proofs: Record<string, number | string> = {};
const proven = createRowProofs();
for (const size of SIZES) {
  const proof = await proven.of(network, size, pass);
  proofs[size] = proof.isProven ? proof.group : proof.reason;
}
/** One image alone is always in the same place. */
const largest = SIZES.find((size) => typeof proofs[size] === 'number') ?? 1;
const failing = SIZES.find((size) => typeof proofs[size] === 'string');
const found: RowsFound = {
  proofs,
  proven: await bothWays(largest),
  unproven: failing === undefined ? undefined : await bothWays(failing),
};
await compute.close();
process.stdout.write(`${JSON.stringify(found)}\n`);

async function bothWays(size: number): Promise<Taken> {
  const [plain, kept] = [await taken(size, undefined), await taken(size, 1 << 20)];
  return {
    ...{ size, byBatch: plain.digest, byImage: kept.digest, refused: kept.refused },
    told: kept.told,
    computed: { byBatch: plain.computed, byImage: kept.computed },
  };
}

function imageOf(index: number, flip: boolean): Uint8Array {
  const image = Uint8Array.from(integers(index, 'an image', IMAGE_BYTES, 256));
  if (!flip) return image;
  const mirrored = new Uint8Array(IMAGE_BYTES);
  mirror(image, mirrored);
  return mirrored;
}

/** The embeddings of all epochs. */
async function taken(size: number, bytesMax: number | undefined) {
  const schedule = {
    ...{ images: IMAGES, batch: STEP, shards: STEP / size, epochs: EPOCHS, roundSteps: 1 },
    stepsTotal: (EPOCHS * IMAGES) / STEP,
  };
  let computed = 0;
  const refused: string[] = [];
  const samplesOf = (step: number, shard: number) =>
    shardSamples({ schedule, seed: 7, step, shard, flip: true });
  const feed = createTeacherFeed({
    teacherRunId: 'run-1',
    taught: { schedule: 'single-step', epochs: EPOCHS, teacherStages: 1 },
    strength: {},
    ...{
      batch: schedule.batch / schedule.shards,
      embedding: EMBEDDING,
      order: 'an order',
      form: 'float32',
      compute,
    },
    ...{ blocks: createTeacherBlocks({ bytesMax: 1 }), clock: systemClock, begin: () => () => undefined },
    imageRows: {
      ...{
        rows: createTeacherRows(),
        proofs: proven,
        data: 'a set',
        device: 'any',
        images: schedule.images,
        flips: 2,
      },
      ...{ isAsked: false, samplesOf, onRefused: (reason: string) => refused.push(reason) },
    },
    onImages: (images, source) => {
      if (source === 'computed') computed += images;
    },
    find: async () => ({
      ...{ digest: 'stage', networkDigest: 'stage', bytes: 0 },
      load: async () => ({ network, weights, running }),
    }),
    exists: async () => true,
    digestOf: async () => 'stage',
    onWaiting: () => undefined,
  });
  feed.keepRows(bytesMax);
  const { signal } = new AbortController();
  const bytes: Uint8Array[] = [];
  for (let step = 0; step < schedule.stepsTotal; step++) {
    const teacher = await feed.forEpoch(Math.floor((step * schedule.batch) / schedule.images), signal);
    for (let shard = 0; shard < schedule.shards; shard++) {
      const images = new Uint8Array((schedule.batch / schedule.shards) * IMAGE_BYTES);
      for (const [place, { index, flip }] of samplesOf(step, shard).entries())
        images.set(imageOf(index, flip), place * IMAGE_BYTES);
      const [values] = await teacher.inputsOf({ step, shard, images });
      bytes.push(new Uint8Array(Float32Array.from(values).buffer));
    }
  }
  const told = feed.rowsRefused() ?? '';
  feed.close();
  return { digest: sha256Hex(Buffer.concat(bytes)), computed, refused, told };
}
