// A run trained and verified in this process, by the loop, the compiled step and the verification of a worker; the sum
// over shards is made here, because there is one worker. For benchmarks that train many small networks.

import { systemClock } from '../core/clock.ts';
import type { Loader } from '../core/data/loading/loader.ts';
import { buildNetwork } from '../core/nn/build.ts';
import { layoutOf } from '../core/nn/layout.ts';
import { sharedFloats } from '../core/shared-memory.ts';
import { adapterWidth } from '../core/spec/distillation.ts';
import type { RunSpec } from '../core/spec/run.ts';
import { scheduleOf } from '../core/spec/schedule.ts';
import { orderOf } from '../core/spec/training.ts';
import { type Pair, verificationPairs } from '../core/verify/pairs.ts';
import { evaluatePairs, type Verification } from '../core/verify/roc.ts';
import { firstPlace, initialReplica } from '../test/support/replicas.ts';
import type { Compute } from '../worker/compute/client.ts';
import { createBatchSource } from '../worker/training/batch-source.ts';
import { createEveryStep } from '../worker/training/every-step.ts';
import { sgdVectors } from '../worker/training/replica.ts';
import { createLedger } from '../worker/training/step-ledger.ts';
import type { TeacherFeed } from '../worker/training/teacher.ts';
import { train } from '../worker/training/train.ts';
import { mirrored } from '../worker/verification/images.ts';

/** A trained network: the backbone and its running statistics. */
export interface TrainedNetwork {
  readonly weights: Float32Array;
  readonly running: Float32Array;
}

/** Trains a run; `onStage` gets a copy of the network at the end of each epoch, from stage 1. */
export async function trainHere(
  { loader, compute }: { readonly loader: Loader; readonly compute: Compute },
  spec: RunSpec,
  onStage: (stage: number, network: TrainedNetwork) => Promise<void> | void,
  teacher?: TeacherFeed,
): Promise<void> {
  const network = buildNetwork(spec.network);
  const { classes, trainingImages } = loader.facts;
  const schedule = scheduleOf(spec.training, trainingImages);
  const layout = layoutOf(network, { classes, adapter: adapterWidth(spec.distillation) });
  const procedure = createEveryStep({ runId: 'bench', spec, network, classes, schedule, compute });
  const replica = initialReplica(layout, spec.training.seed);
  const shards = Array.from({ length: schedule.shards }, (_, shard) => shard);
  const vectors = shards.map(() => sharedFloats(layout.vectorCount));
  const mean = sharedFloats(layout.vectorCount);
  const { signal } = new AbortController();
  await train({
    ...{ spec, schedule, replica, membership: await procedure.join(firstPlace(signal)), shards, loader },
    batches: createBatchSource({ loader, schedule, training: spec.training }),
    exchange: {
      vector: (shard) => vectors[shard]!,
      async reduce() {
        mean.fill(0);
        for (const vector of vectors)
          for (let i = 0; i < mean.length; i++) mean[i]! += vector[i]! / shards.length;
        return mean;
      },
    },
    ...{ teacher, ledger: createLedger({ own: { schedule, seed: orderOf(spec.training) } }) },
    ...{ clock: systemClock, begin: () => () => undefined, signal },
    async onBoundary(stage) {
      const { weights, running } = sgdVectors(replica);
      await onStage(stage, {
        weights: sharedCopy(weights.subarray(0, layout.backboneCount)),
        running: sharedCopy(running),
      });
    },
    ...{ onUnit: () => undefined, onProgress: () => undefined },
  });
}

/** In memory that the compute thread shares. */
function sharedCopy(values: Float32Array): Float32Array {
  const copy = sharedFloats(values.length);
  copy.set(values);
  return copy;
}

/** The held-out images of a set, with their mirror images. */
export interface HeldOut {
  readonly labels: Uint32Array;
  readonly images: Uint8Array;
  readonly flipped: Uint8Array;
}

/** All held-out images. */
export async function heldOutOf(loader: Loader): Promise<HeldOut> {
  const labels = Uint32Array.from(await loader.heldOutLabels());
  const images = await loader.heldOutImages(0, labels.length);
  return { labels, images, flipped: mirrored(images, labels.length) };
}

/** Images of one pass; the whole set where it is smaller. */
const PASS_IMAGES = 50;
const IMAGE_BYTES = 112 * 112 * 3;

/** Verifies a network on pairs of held-out people. */
export async function verifyHere(
  compute: Compute,
  { network: of, verification }: Pick<RunSpec, 'network' | 'verification'>,
  network: TrainedNetwork,
  { labels, images, flipped }: HeldOut,
): Promise<Verification & { readonly of: readonly Pair[] }> {
  const embed = async (pixels: Uint8Array): Promise<Float32Array> => {
    const all = new Float32Array(labels.length * of.embedding);
    for (let first = 0; first < labels.length; first += PASS_IMAGES) {
      const batch = Math.min(PASS_IMAGES, labels.length - first);
      const part = pixels.slice(first * IMAGE_BYTES, (first + batch) * IMAGE_BYTES);
      const graph = { kind: 'embed', network: of, batch } as const;
      const [found] = await compute.runGraph(graph, [network.weights, network.running, part]);
      all.set(found!, first * of.embedding);
    }
    return all;
  };
  const pairs = verificationPairs(labels, verification);
  const found = evaluatePairs({
    ...{ embeddings: await embed(images), flippedEmbeddings: await embed(flipped), pairs },
    ...{ folds: verification.folds, embeddingSize: of.embedding },
  });
  return { ...found, of: pairs };
}
