// `npm run test:search`: the recorded steps of the golden search network through the distributed path, with 1, 2 and 3
// workers. Batch norm sees one shard alone, so each of the four shards has the fixture's batch: the mean over them is
// the fixture's own, exactly. The tolerances are those of the fixture (README 8).

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createDataPlane, type DataPlane } from '../../core/allreduce/plane.ts';
import { shardSamples } from '../../core/data/loading/sampler.ts';
import { createLogger } from '../../core/log.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { ALPHA_COUNT, buildSupernet, type SupernetSpec } from '../../core/nn/supernet.ts';
import type { Variant } from '../../core/search/rounds.ts';
import { sharedFloats } from '../../core/shared-memory.ts';
import { ALPHAS, stateDigest, vectorNamed, WEIGHTS } from '../../core/state-vectors.ts';
import { createCompute } from '../../worker/compute/client.ts';
import { replicaOf } from '../../worker/training/replica.ts';
import {
  euclidean,
  floats,
  imageBytes,
  integers,
  meta,
  movement,
  openFixture,
  slots,
} from '../golden/fixture.ts';
import { unpackGolden } from '../golden/packed-folder.ts';
import { NAMES } from '../support/names.ts';
import { startNats } from '../support/nats.ts';
import { joinSearch, tinySearch } from '../support/search-gang.ts';

const FILE = 'supernet-tiny.safetensors';
const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-golden-search-'));
unpackGolden([FILE], folder);
const fixture = openFixture(join(folder, FILE));
const number = (key: string) => Number(meta(fixture, key));
const supernet: SupernetSpec = {
  kind: 'supernet',
  channels: number('C'),
  layers: number('layers'),
  classes: number('classes'),
};
const layout = layoutOf(buildSupernet(supernet));
const halves = { weights: 'train', alphas: 'val' } as const;
const { count: batch } = imageBytes(fixture, 'train_u8');
const steps = integers(fixture, 'train_labels').length / batch;
const SHARDS = 4;
const IMAGES = 2 * SHARDS * batch * steps;

const log = createLogger({ program: 'test', level: 'silent' });
const nats = await startNats({ jetstream: false });
const planes: DataPlane[] = [];
for (let rank = 0; rank < 3; rank++)
  planes.push(
    await createDataPlane({ ...nats.access, name: `plane ${rank}`, log, prefixes: NAMES.prefixes }),
  );
const compute = createCompute({ cacheDir: '' });
after(async () => {
  await compute.close();
  for (const plane of planes) await plane.close();
  await nats.stop();
  rmSync(folder, { recursive: true });
});

function alphasOf(prefix: string): Float32Array {
  const parts = ['normal', 'reduce'].flatMap((cell) =>
    [0, 1, 2, 3].map((node) => floats(fixture, `${prefix}alpha_${cell}.${node}`)),
  );
  const flat = Float32Array.from(parts.flatMap((part) => [...part]));
  assert.equal(flat.length, ALPHA_COUNT);
  return flat;
}

function startReplica() {
  const values = {
    weights: slots(fixture, 'state/net.', layout.parameters, layout.parameterCount),
    momentum: new Float32Array(layout.parameterCount),
    running: slots(fixture, 'state/net.', layout.running, layout.runningCount),
    [ALPHAS]: alphasOf('state/'),
    adam_first: new Float32Array(ALPHA_COUNT),
    adam_second: new Float32Array(ALPHA_COUNT),
    losses: new Float32Array(4),
  };
  const vectors = Object.entries(values).map(([name, from]) => {
    const shared = sharedFloats(from.length);
    shared.set(from);
    return { name, values: shared };
  });
  return replicaOf({ step: 0, vectors });
}

const searchOf = (variant: Variant) => {
  const spec = tinySearch({
    ...{ order: 'second', variant, epochs: 1, batch: SHARDS * batch, shards: SHARDS },
    // A cosine that does not fall.
    weights: {
      learningRate: number('w_lr'),
      until: number('w_lr'),
      momentum: number('w_momentum'),
      weightDecay: number('w_weight_decay'),
      clipNorm: number('w_clip'),
    },
    alphas: {
      learningRate: number('alpha_lr'),
      betas: JSON.parse(meta(fixture, 'alpha_betas')),
      epsilon: number('alpha_eps'),
      weightDecay: number('alpha_weight_decay'),
    },
  });
  const { channels, layers } = supernet;
  return { ...spec, search: { ...spec.search!, supernet: { channels, layers } } };
};

const loader: Parameters<typeof joinSearch>[0]['loader'] = {
  async batch(request) {
    const half = request.half!.half;
    const { images } = imageBytes(fixture, `${halves[half]}_u8`);
    const size = images.length / steps;
    return {
      images: Uint8Array.from(images.subarray(request.step * size, (request.step + 1) * size)),
      labels: integers(fixture, `${halves[half]}_labels`).slice(
        request.step * batch,
        (request.step + 1) * batch,
      ),
      indices: Uint32Array.from(shardSamples({ ...request, half }), ({ index }) => index),
    };
  },
};

for (const variant of ['reference', 'noleak', 'darts'] as const)
  test(`${variant}: every recorded step, on 1, 2 and 3 workers`, async () => {
    const start = startReplica();
    const startWeights = vectorNamed(start.vectors, WEIGHTS).slice();
    const startAlphas = vectorNamed(start.vectors, ALPHAS).slice();
    const digests: string[] = [];
    for (const counts of [[4], [1, 3], [2, 1, 1]]) {
      const members = await joinSearch({
        ...{ spec: searchOf(variant), classes: supernet.classes, trainingImages: IMAGES, loader, compute },
        planes: (rank) => planes[rank]!,
        ...{ counts, runId: `${variant}-${counts.length}`, replicas: counts.map(startReplica) },
      });
      for (let step = 1; step <= steps; step++) {
        const [made] = await Promise.all(members.map((member) => member.step()));
        const { vectors } = members[0]!.replica;
        const prefix = `${variant}/step${step}`;
        const loss = Math.abs(made!.point.loss - floats(fixture, `${prefix}/train_loss`)[0]!);
        assert.ok(
          loss <= (step === 1 && variant !== 'darts' ? 5e-6 : 5e-4),
          `${prefix}: loss off by ${loss}`,
        );
        const alphas = vectorNamed(vectors, ALPHAS);
        const wanted = alphasOf(`${prefix}/alpha/`);
        if (step === 1) {
          const off = Array.from(alphas, (value, i) => Math.abs(value - wanted[i]!)).sort((a, b) => b - a);
          assert.ok(off[2]! <= 1e-5 && off[0]! <= 2.5e-3, `${prefix}: alphas off by ${off.slice(0, 3)}`);
          const norm = floats(fixture, `${prefix}/grad_norm`)[0]!;
          assert.ok(
            Math.abs(made!.point.gradientNorm / norm - 1) <= 1e-5,
            `${prefix}: ${made!.point.gradientNorm}`,
          );
        } else {
          const moved = euclidean([[movement(alphas, startAlphas), movement(wanted, startAlphas)]]);
          assert.ok(moved <= 0.2, `${prefix}: movement of the alphas off by ${moved}`);
        }
        if (step === 1 && fixture.tensors.has(`${prefix}/weights/net.${layout.parameters[0]!.name}`)) {
          const own = vectorNamed(vectors, WEIGHTS);
          const theirs = slots(fixture, `${prefix}/weights/net.`, layout.parameters, layout.parameterCount);
          const off = euclidean([[movement(own, startWeights), movement(theirs, startWeights)]]);
          assert.ok(
            off <= (variant === 'darts' ? 4e-3 : 5e-4),
            `${prefix}: movement of the weights off by ${off}`,
          );
        }
      }
      if (variant === 'reference') {
        const running = vectorNamed(members[0]!.replica.vectors, 'running');
        const wanted = slots(fixture, 'reference/after/net.', layout.running, layout.runningCount);
        const off = euclidean([[running, wanted]]);
        assert.ok(off <= 3e-6, `running statistics off by ${off}`);
      }
      digests.push(...members.map(({ replica }) => stateDigest(replica.vectors)));
      for (const member of members) await member.leave();
    }
    assert.equal(new Set(digests).size, 1, digests.join(' '));
  });
