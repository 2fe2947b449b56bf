// Checks networks against their fixtures: embeddings in both modes, running statistics, gradients of weights and input,
// per-module traces; eagerly layer by layer and as compiled, fused graphs. Tolerances are the fixtures' (README 3 to 5).

import { describe } from '../../core/nn/describe.ts';
import { type Layout, layoutOf, type Slot } from '../../core/nn/layout.ts';
import type { Network } from '../../core/nn/network.ts';
import { embeddingFunction } from '../../core/nn/step-function.ts';
import { prepare, type Way, waysOf } from './execute.ts';
import {
  absolute,
  channelsLast,
  euclidean,
  type Fixture,
  floats,
  imageBytes,
  largest,
  meta,
  networkOf,
  part,
  relative,
  slots,
  stored,
} from './fixture.ts';
import { formulaState, probeMismatches } from './formula.ts';
import { gradientFunction, layersFunction, trainEmbeddingFunction } from './network-functions.ts';
import { type CheckRow, row } from './verification.ts';

interface Tolerances {
  readonly evaluation: number;
  readonly training: number;
  readonly trace: number;
  readonly running: number;
}

/** README 3 for the small networks with gradients, 4 for the full PocketNet, 5 for weights by formula. */
const SMALL: Tolerances = { evaluation: 2e-5, training: 2e-5, trace: 1e-5, running: 5e-6 };
const FULL: Tolerances = { evaluation: 5e-5, training: 1e-4, trace: 5e-5, running: 5e-6 };
const FORMULA: Tolerances = { evaluation: 1e-5, training: 5e-5, trace: 1e-5, running: 1e-5 };

interface Check {
  readonly fixture: Fixture;
  readonly network: Network;
  readonly layout: Layout;
  readonly weights: Float32Array;
  readonly running: Float32Array;
  readonly images: Uint8Array;
  readonly batch: number;
  readonly tolerances: Tolerances;
  readonly scale: number;
  readonly rows: CheckRow[];
}

/** `brief`: composed operations compute embeddings as they are evaluated, and neither statistics nor gradients. */
export async function checkNetwork(
  fixture: Fixture,
  { scale, brief }: { readonly scale: number; readonly brief: boolean },
): Promise<CheckRow[]> {
  const network = networkOf(fixture);
  const layout = layoutOf(network);
  const byFormula = fixture.metadata.weights?.includes('formula') === true;
  const hasGradients = fixture.tensors.has('grad_input');
  const { images, count } = imageBytes(fixture, 'input_u8');
  const check: Check = {
    fixture,
    network,
    layout,
    ...(byFormula
      ? formulaState(layout, network)
      : {
          weights: slots(fixture, 'state/', layout.parameters, layout.parameterCount),
          running: slots(fixture, 'state/', layout.running, layout.runningCount),
        }),
    images,
    batch: count,
    tolerances: byFormula ? FORMULA : hasGradients ? SMALL : FULL,
    scale,
    rows: [],
  };
  if (byFormula) add(check, 'probes of formula weights', probeMismatches(fixture, check, layout), 0);
  if (fixture.metadata.parameters !== undefined)
    add(check, 'parameters', Math.abs(describe(network).parameters - Number(meta(fixture, 'parameters'))), 0);
  // Plain JavaScript takes a minute for a teacher, so only the small network that has every operation goes through it.
  const everyOperation = network.layers.some((layer) => layer.kind === 'avgPool');
  const ways: Way[] =
    hasGradients && everyOperation ? ['eager', 'composed', 'compiled'] : ['eager', 'compiled'];
  for (const way of waysOf(ways)) {
    await checkEvaluation(check, way);
    if (brief && way === 'composed') continue;
    await checkTraining(check, way);
    if (hasGradients) await checkGradients(check, way);
  }
  if (waysOf(['eager']).length > 0)
    for (const mode of ['eval', 'train'] as const) await checkTraces(check, mode);
  return check.rows;
}

function add(check: Check, name: string, measured: number, tolerance: number): void {
  check.rows.push(row(check.fixture.file, name, measured, tolerance * check.scale));
}

/** Eager runs go layer by layer, so that fused and unfused are both covered. */
function optionsFor(check: Check, way: Way) {
  return { network: check.network, layout: check.layout, batch: check.batch, fuse: way === 'compiled' };
}

async function checkEvaluation(check: Check, way: Way): Promise<void> {
  const { fixture, weights, running, images, tolerances } = check;
  const evaluation = await prepare(way, `${fixture.file}/eval`, embeddingFunction(optionsFor(check, way)));
  const [evaluated = new Float32Array()] = evaluation.run([weights, running, images]);
  evaluation.close();
  add(
    check,
    `embedding_eval, ${way}`,
    relative(evaluated, floats(fixture, 'embedding_eval')),
    tolerances.evaluation,
  );
}

async function checkTraining(check: Check, way: Way): Promise<void> {
  const { fixture, layout, weights, images, tolerances } = check;
  const training = await prepare(
    way,
    `${fixture.file}/train`,
    trainEmbeddingFunction(optionsFor(check, way)),
  );
  const [trained = new Float32Array(), statistics = new Float32Array()] = training.run([weights, images]);
  training.close();
  add(
    check,
    `embedding_train, ${way}`,
    relative(trained, floats(fixture, 'embedding_train')),
    tolerances.training,
  );
  checkRunning(check, way, statistics, layout);
}

/** New = 0.9 old + 0.1 batch, for the tensors that the fixture holds. */
function checkRunning(check: Check, way: Way, statistics: Float32Array, layout: Layout): void {
  const { fixture, running, tolerances } = check;
  const after = running.map((old, i) => 0.9 * old + 0.1 * (statistics[i] ?? Number.NaN));
  const present = layout.running.filter((slot) => fixture.tensors.has(`after/${slot.name}`));
  if (present.length === 0) return;
  const pairs = present.map((slot) => [part(slot, after), floats(fixture, `after/${slot.name}`)] as const);
  add(
    check,
    `after, worst tensor, ${way}`,
    Math.max(...pairs.map(([a, b]) => relative(a, b))),
    tolerances.running,
  );
  if (present.length === layout.running.length) add(check, `after, L2, ${way}`, euclidean(pairs), 1e-6);
}

async function checkGradients(check: Check, way: Way): Promise<void> {
  const { fixture, weights, images } = check;
  const execution = await prepare(way, `${fixture.file}/gradients`, gradientFunction(optionsFor(check, way)));
  const [loss, , , gradient = new Float32Array(), input = new Float32Array()] = execution.run([
    weights,
    images,
    floats(fixture, 'K'),
  ]);
  execution.close();
  add(check, `loss, ${way}`, absolute(loss ?? [], floats(fixture, 'loss')), 1e-4);
  checkWeightGradients(check, way, gradient);
  const wanted = stored(fixture, 'grad_input');
  const data = floats(fixture, 'grad_input');
  const inputGradient = channelsLast(data, wanted.shape, new Float32Array(data.length));
  add(check, `grad_input, L2, ${way}`, euclidean([[input, inputGradient]]), 5e-5);
}

/** Per tensor max|a-b| <= 2e-4 max|b| + 1e-5 G, written as a ratio to max|b| + G/20 so that one number says it. */
function checkWeightGradients(check: Check, way: Way, gradient: Float32Array): void {
  const { fixture, layout } = check;
  const zero = new Set(JSON.parse(meta(fixture, 'zero_gradients')) as string[]);
  const wanted = (slot: Slot) => toOwn(check, slot);
  const trainable = layout.parameters.filter((slot) => slot.trainable);
  const overall = Math.max(...trainable.map((slot) => largest(wanted(slot))));
  const ordinary = trainable.filter((slot) => !zero.has(slot.name));
  const ratios = ordinary.map((slot) => {
    const b = wanted(slot);
    return { name: slot.name, ratio: absolute(part(slot, gradient), b) / (largest(b) + overall / 20) };
  });
  const worst = ratios.reduce((a, b) => (b.ratio > a.ratio ? b : a));
  add(check, `grad, worst tensor (${worst.name}), ${way}`, worst.ratio, 2e-4);
  const pairs = ordinary.map((slot) => [part(slot, gradient), wanted(slot)] as const);
  add(check, `grad, L2, ${way}`, euclidean(pairs), 5e-5);
  const none = trainable.filter((slot) => zero.has(slot.name)).map((slot) => largest(part(slot, gradient)));
  add(check, `grad of zero_gradients over G, ${way}`, Math.max(0, ...none) / overall, 1e-6);
  const frozen = layout.parameters
    .filter((slot) => !slot.trainable)
    .map((slot) => largest(part(slot, gradient)));
  if (frozen.length > 0) add(check, `grad of frozen parameters, ${way}`, Math.max(...frozen), 0);
}

function toOwn(check: Check, slot: Slot): Float32Array {
  return slots(check.fixture, 'grad/', [{ ...slot, offset: 0 }], slot.size);
}

/** Channel means and deviations of each traced module, and the table of whole-map values. */
async function checkTraces(check: Check, mode: 'eval' | 'train'): Promise<void> {
  const { fixture, network, weights, running, images, tolerances } = check;
  const prefix = `trace_${mode}/`;
  const traced = tracedLayers(network, fixture, prefix);
  if (traced.length === 0) return;
  const execution = await prepare(
    'eager',
    `${fixture.file}/${mode}`,
    layersFunction(
      optionsFor(check, 'eager'),
      traced.map(({ layer }) => layer),
      mode,
    ),
  );
  const outputs = execution.run([weights, running, images]);
  const compare = (name: string, values: readonly number[]) => {
    const b = floats(fixture, prefix + name);
    // Relative to the largest entry, but never below the tolerance itself.
    return absolute(values, b) / Math.max(1, largest(b));
  };
  const table: number[] = [];
  const differences = traced.flatMap(({ name, layer }, i) => {
    const channels = network.layers[layer]?.shape.channels ?? 1;
    const moments = channelMoments(outputs[i] ?? new Float32Array(), channels);
    table.push(...wholeMoments(outputs[i] ?? new Float32Array()));
    return [
      compare(
        `${name}.channel_mean`,
        moments.map(([mean]) => mean),
      ),
      compare(
        `${name}.channel_std`,
        moments.map(([, deviation]) => deviation),
      ),
    ];
  });
  add(check, `${prefix}* worst of ${traced.length} modules`, Math.max(...differences), tolerances.trace);
  if (fixture.tensors.has(`${prefix}table`))
    add(check, `${prefix}table`, compare('table', table), tolerances.trace);
}

/** Modules with a trace, in network order; a module that is not a layer's name ends with the module's last layer. */
function tracedLayers(network: Network, fixture: Fixture, prefix: string): { name: string; layer: number }[] {
  const suffix = '.channel_mean';
  const names = [...fixture.tensors.keys()]
    .filter((name) => name.startsWith(prefix) && name.endsWith(suffix))
    .map((name) => name.slice(prefix.length, -suffix.length));
  const found = names.map((name) => {
    const exact = network.layers.findIndex((layer) => layer.name === name);
    const layer = exact >= 0 ? exact : network.layers.findLastIndex((other) => other.module === name);
    if (layer < 0) throw new Error(`${fixture.file} traces ${name}, which the network does not have`);
    return { name, layer };
  });
  return found.sort((a, b) => a.layer - b.layer);
}

export function channelMoments(values: Float32Array, channels: number): (readonly [number, number])[] {
  const sums = new Float64Array(channels);
  const squares = new Float64Array(channels);
  const count = values.length / channels;
  for (let i = 0; i < values.length; i++) sums[i % channels]! += values[i]!;
  for (let i = 0; i < values.length; i++)
    squares[i % channels]! += (values[i]! - sums[i % channels]! / count) ** 2;
  return Array.from(sums, (sum, channel) => [sum / count, Math.sqrt(squares[channel]! / count)] as const);
}

export function wholeMoments(values: Float32Array): readonly [number, number] {
  return channelMoments(values, 1)[0] ?? [Number.NaN, Number.NaN];
}
