// Replays the fixture's training steps, with and without distillation, through the very code that workers use: the compiled
// training function and the optimiser. Tolerances are the fixture's (README 7).

import { type Layout, layoutOf } from '../../core/nn/layout.ts';
import type { Network } from '../../core/nn/network.ts';
import { trainingFunction } from '../../core/nn/step-function.ts';
import { type AppliedStep, applyStep } from '../../core/optim/sgd.ts';
import { type InputArray, prepare, type Way, waysOf } from './execute.ts';
import {
  absolute,
  euclidean,
  type Fixture,
  floats,
  imageBytes,
  integers,
  meta,
  movement,
  networkOf,
  relative,
  slots,
} from './fixture.ts';
import { trainEmbeddingFunction } from './network-functions.ts';
import { type CheckRow, row } from './verification.ts';

export async function checkTrainSteps(fixture: Fixture, scale: number): Promise<CheckRow[]> {
  const rows: CheckRow[] = [];
  for (const way of waysOf(['eager', 'compiled']))
    for (const variant of ['plain', 'kd'] as const) {
      const replayed = await replay(fixture, variant, way);
      const add = (check: string, measured: number, tolerance: number) =>
        rows.push(row(fixture.file, `${variant}/${check}, ${way}`, measured, tolerance * scale));
      checkReplay(fixture, variant, replayed, add);
    }
  return rows;
}

interface Replayed {
  readonly network: Network;
  readonly layout: Layout;
  readonly start: Float32Array;
  readonly weights: Float32Array;
  readonly momentum: Float32Array;
  readonly running: Float32Array;
  readonly afterFirst: Float32Array;
  readonly steps: readonly AppliedStep[];
  readonly embeddings: Float32Array;
}

async function replay(fixture: Fixture, variant: 'plain' | 'kd', way: Way): Promise<Replayed> {
  const network = networkOf(fixture);
  const layout = layoutOf(network, { classes: Number(meta(fixture, 'identities')) });
  const batch = Number(meta(fixture, 'batch'));
  const stepCount = Number(meta(fixture, 'steps'));
  const fuse = way === 'compiled';
  const step = await prepare(
    way,
    `${fixture.file}/${variant}`,
    trainingFunction({
      network,
      layout,
      batch,
      loss: { scale: Number(meta(fixture, 's')), margin: Number(meta(fixture, 'm')) },
      ...(variant === 'kd' ? { distils: true } : {}),
      fuse,
    }),
  );
  const embed = await prepare(
    way,
    `${fixture.file}/embed`,
    trainEmbeddingFunction({ network, layout, batch, fuse }),
  );
  const { images } = imageBytes(fixture, 'inputs_u8');
  const start = slots(fixture, 'state/', layout.parameters, layout.parameterCount);
  const state = {
    weights: start.slice(),
    momentum: new Float32Array(layout.parameterCount),
    running: slots(fixture, 'state/', layout.running, layout.runningCount),
  };
  const steps: AppliedStep[] = [];
  let afterFirst = state.weights;
  const embeddings = new Float32Array(stepCount * batch * network.embedding);
  const slice = <T extends Float32Array | Uint8Array | Int32Array>(all: T, index: number): T => {
    const size = all.length / stepCount;
    return all.slice(index * size, (index + 1) * size) as T;
  };
  for (let index = 0; index < stepCount; index++) {
    const inputs: InputArray[] = [
      state.weights,
      slice(images, index),
      slice(integers(fixture, 'labels'), index),
    ];
    if (variant === 'kd')
      inputs.push(
        slice(floats(fixture, 'teacher'), index),
        Float32Array.of(Number(meta(fixture, 'kd_weight'))),
      );
    const [embedding = new Float32Array()] = embed.run([state.weights, slice(images, index)]);
    embeddings.set(embedding, index * batch * network.embedding);
    const [mean = new Float32Array()] = step.run(inputs);
    steps.push(
      applyStep({
        layout,
        ...state,
        mean,
        learningRate: Number(meta(fixture, 'lr')),
        optimizer: {
          momentum: Number(meta(fixture, 'momentum')),
          weightDecay: Number(meta(fixture, 'weight_decay')),
          // Stated in words only: "global L2 norm 5 on the backbone's gradients".
          clipNorm: Number(/norm (\d+(\.\d+)?)/.exec(meta(fixture, 'clip'))?.[1]),
        },
        step: index + 1,
      }),
    );
    if (index === 0) afterFirst = state.weights.slice();
  }
  step.close();
  embed.close();
  return { network, layout, start, ...state, afterFirst, steps, embeddings };
}

function checkReplay(
  fixture: Fixture,
  variant: 'plain' | 'kd',
  got: Replayed,
  add: (check: string, measured: number, tolerance: number) => void,
): void {
  const { layout } = got;
  const backbone = <T extends { slice(from: number, to?: number): T }>(all: T): T =>
    all.slice(0, layout.backboneCount);
  const head = <T extends { slice(from: number, to?: number): T }>(all: T): T =>
    all.slice(layout.backboneCount);
  const stored = (group: string) =>
    slots(fixture, `${variant}/${group}/`, layout.parameters, layout.parameterCount);
  const moved = (a: Float32Array, b: Float32Array) =>
    euclidean([[movement(a, got.start), movement(b, got.start)]]);
  const series = (name: string, values: readonly number[], measure: typeof absolute, tolerance: number) =>
    add(name, measure(values, floats(fixture, `${variant}/${name}`)), tolerance);

  series(
    'loss',
    got.steps.map((step) => step.loss),
    absolute,
    2e-4,
  );
  series(
    'loss_arcface',
    got.steps.map((step) => step.lossArcface),
    absolute,
    2e-4,
  );
  series(
    'loss_kd',
    got.steps.map((step) => step.lossDistillation),
    absolute,
    2e-4,
  );
  series(
    'grad_norm_backbone',
    got.steps.map((step) => step.gradientNorm),
    relative,
    2e-5,
  );
  series(
    'grad_norm_head',
    got.steps.map((step) => step.headGradientNorm),
    relative,
    2e-5,
  );
  add('embedding', relative(got.embeddings, floats(fixture, `${variant}/embedding`)), 1e-4);
  if (fixture.tensors.has(`${variant}/step1/head.kernel`)) {
    const first = stored('step1');
    const [a, b] = [movement(got.afterFirst, got.start), movement(first, got.start)];
    add('movement after step 1, backbone', euclidean([[backbone(a), backbone(b)]]), 2e-5);
    add('movement after step 1, head', euclidean([[head(a), head(b)]]), 2e-5);
  }
  add('movement after the last step', moved(got.weights, stored('final')), 1e-3);
  const momentum = stored('momentum');
  add('momentum, backbone', euclidean([[backbone(got.momentum), backbone(momentum)]]), 1e-3);
  add('momentum, head', euclidean([[head(got.momentum), head(momentum)]]), 5e-5);
  const running = slots(fixture, `${variant}/final/`, layout.running, layout.runningCount);
  add('running statistics', euclidean([[got.running, running]]), 2e-5);
}
