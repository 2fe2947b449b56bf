// Checks the search network and the bilevel step against their fixture: forward in both modes, gradients for weights and
// alphas, running statistics, then every recorded step of every variant, replayed through the very code that a search runs.
// Sizes, step counts and variants come from the file; tolerances are the fixture's for float32 (README 8).

import { GENOTYPES } from '../../core/nn/genotype.ts';
import { type Layout, layoutOf } from '../../core/nn/layout.ts';
import { ALPHA_COUNT, buildSupernet, CELL_EDGES, type Supernet } from '../../core/nn/supernet.ts';
import { createAdam } from '../../core/optim/adam.ts';
import { randomStream } from '../../core/rng.ts';
import type { SearchState, SearchStepOptions } from '../../core/search/bilevel.ts';
import { type RunPass, searchStep } from '../../core/search/darts.ts';
import { calibratedStatistics } from '../../core/search/inherited.ts';
import { alphasOfGenotype } from '../../core/search/one-hot.ts';
import type { Order, Variant, Wanted } from '../../core/search/rounds.ts';
import {
  searchEmbeddingFunction,
  searchFunction,
  searchLogitsFunction,
  searchStatisticsFunction,
} from '../../core/search/search-function.ts';
import { OPS } from '../../core/spec/network.ts';
import { type Execution, prepare, type Way, waysOf } from './execute.ts';
import {
  absolute,
  euclidean,
  type Fixture,
  floats,
  imageBytes,
  integers,
  largest,
  meta,
  movement,
  part,
  relative,
  slots,
} from './fixture.ts';
import { searchTraceFunction } from './network-functions.ts';
import { channelMoments, wholeMoments } from './networks.ts';
import { type CheckRow, row } from './verification.ts';

interface Check {
  readonly fixture: Fixture;
  readonly network: Supernet;
  readonly layout: Layout;
  readonly batch: number;
  readonly steps: number;
  readonly start: {
    readonly weights: Float32Array;
    readonly alphas: Float32Array;
    readonly running: Float32Array;
  };
  readonly scale: number;
  readonly rows: CheckRow[];
}

const VARIANTS = ['reference', 'noleak', 'darts'] as const satisfies readonly Variant[];

/** `brief`: without the unweighted skip, for which no numbers of the reference exist. */
export async function checkSupernet(
  fixture: Fixture,
  { scale, brief }: { readonly scale: number; readonly brief: boolean },
): Promise<CheckRow[]> {
  const network = buildSupernet({
    kind: 'supernet',
    channels: Number(meta(fixture, 'C')),
    layers: Number(meta(fixture, 'layers')),
    classes: Number(meta(fixture, 'classes')),
  });
  const layout = layoutOf(network);
  const { count } = imageBytes(fixture, 'train_u8');
  const check: Check = {
    fixture,
    network,
    layout,
    batch: count,
    steps: integers(fixture, 'train_labels').length / count,
    start: {
      weights: slots(fixture, 'state/net.', layout.parameters, layout.parameterCount),
      alphas: alphas(fixture, 'state/'),
      running: slots(fixture, 'state/net.', layout.running, layout.runningCount),
    },
    scale,
    rows: [],
  };
  for (const way of waysOf(['eager', 'compiled'])) {
    const passes = await preparePasses(check, way);
    try {
      if (fixture.tensors.has('forward/loss')) await checkForward(check, way, passes.pass);
      if (fixture.tensors.has('first_order/alpha_normal.0')) await checkFirstOrder(check, way, passes.pass);
      // Layer by layer the same numbers come out six times slower; the graph is what a search runs.
      if (way === 'compiled') for (const variant of VARIANTS) await checkVariant(check, variant, passes.pass);
    } finally {
      passes.close();
    }
  }
  // What follows compares with the network layer by layer.
  if (waysOf(['eager']).length === 0) return check.rows;
  if (fixture.tensors.has('forward/trace_train/table')) await checkTraces(check);
  if (brief) return check.rows;
  await checkAuxiliarySkip(check);
  await checkSubNetwork(check);
  return check.rows;
}

function add(check: Check, name: string, measured: number, tolerance: number): void {
  check.rows.push(row(check.fixture.file, name, measured, tolerance * check.scale));
}

/** The four matrices of the normal cell, then those of the reduction cell, as one vector. */
function alphas(fixture: Fixture, prefix: string): Float32Array {
  const flat = new Float32Array(ALPHA_COUNT);
  let offset = 0;
  for (const cell of ['normal', 'reduce'])
    for (let node = 0; fixture.tensors.has(`${prefix}alpha_${cell}.${node}`); node++) {
      const values = floats(fixture, `${prefix}alpha_${cell}.${node}`);
      flat.set(values, offset);
      offset += values.length;
    }
  if (offset !== ALPHA_COUNT)
    throw new Error(`${fixture.file}: ${prefix}alpha_* hold ${offset} values, ${ALPHA_COUNT} expected`);
  return flat;
}

type PassAt = (step: number) => RunPass;

/** Passes over the recorded batches; step s uses batch s of both halves. */
async function preparePasses(check: Check, way: Way): Promise<{ pass: PassAt; close(): void }> {
  const { fixture, network, layout, batch } = check;
  const executions = new Map<Wanted, Execution>();
  for (const wanted of ['weights-and-alphas', 'alphas'] as const)
    executions.set(
      wanted,
      await prepare(
        way,
        `${fixture.file}/${wanted}`,
        searchFunction({ network, layout, batch, wanted, fuse: way === 'compiled' }),
      ),
    );
  const halves = { weights: 'train', alphas: 'val' } as const;
  const data = Object.fromEntries(
    Object.values(halves).map((name) => [
      name,
      { ...imageBytes(fixture, `${name}_u8`), labels: integers(fixture, `${name}_labels`) },
    ]),
  );
  return {
    pass: (step) => (request) => {
      const { images, labels } = data[halves[request.half]]!;
      const [vector = new Float32Array()] = executions
        .get(request.wanted)!
        .run([
          request.weights,
          request.alphas,
          slice(images, step, check.steps),
          slice(labels, step, check.steps),
        ]);
      return vector;
    },
    close: () => {
      for (const execution of executions.values()) execution.close();
    },
  };
}

function slice<T extends Uint8Array | Int32Array>(all: T, index: number, count: number): T {
  const size = all.length / count;
  return all.slice(index * size, (index + 1) * size) as T;
}

async function checkForward(check: Check, way: Way, passAt: PassAt): Promise<void> {
  const { fixture, network, layout, batch, start } = check;
  const images = slice(imageBytes(fixture, 'train_u8').images, 0, check.steps);
  const options = { network, layout, batch, fuse: way === 'compiled' };
  const evaluation = await prepare(way, `${fixture.file}/logits`, searchLogitsFunction(options));
  const [logits = []] = evaluation.run([start.weights, start.alphas, start.running, images]);
  evaluation.close();
  add(check, `forward/logits_eval, ${way}`, relative(logits, floats(fixture, 'forward/logits_eval')), 1e-5);
  const training = await prepare(
    way,
    `${fixture.file}/train`,
    searchTraceFunction(options, [network.output]),
  );
  const [trained = []] = training.run([start.weights, start.alphas, images]);
  training.close();
  add(
    check,
    `forward/logits_train, ${way}`,
    relative(trained, floats(fixture, 'forward/logits_train')),
    1e-5,
  );

  const vector = await passAt(0)({ ...start, half: 'weights', wanted: 'weights-and-alphas' });
  add(check, `forward/loss, ${way}`, absolute(vector.slice(-1), floats(fixture, 'forward/loss')), 5e-6);
  checkGradients(check, way, vector);
  const statistics = vector.subarray(layout.parameterCount + ALPHA_COUNT, -1);
  const after = start.running.map((old, i) => 0.9 * old + 0.1 * statistics[i]!);
  const wanted = slots(fixture, 'after/net.', layout.running, layout.runningCount);
  add(check, `after, L2, ${way}`, euclidean([[after, wanted]]), 1e-6);
}

function checkGradients(check: Check, way: Way, vector: Float32Array): void {
  const { fixture, layout } = check;
  // Names with the prefix that the fixture's networks have.
  const zero = new Set(JSON.parse(meta(fixture, 'zero_gradients')) as string[]);
  const wanted = slots(fixture, 'grad/net.', layout.parameters, layout.parameterCount);
  const isZero = (name: string) => zero.has(`net.${name}`);
  const ordinary = layout.parameters.filter((slot) => !isZero(slot.name));
  const pairs = ordinary.map((slot) => [part(slot, vector), part(slot, wanted)] as const);
  add(check, `grad, weights, L2, ${way}`, euclidean(pairs), 5e-5);
  const none = layout.parameters
    .filter((slot) => isZero(slot.name))
    .map((slot) => largest(part(slot, vector)));
  // Rounding noise only; the bound is that of the discrete networks (README 3).
  add(check, `grad of zero_gradients over G, ${way}`, Math.max(0, ...none) / largest(wanted), 1e-6);
  const own = vector.subarray(layout.parameterCount, layout.parameterCount + ALPHA_COUNT);
  add(check, `grad, alphas, L2, ${way}`, euclidean([[own, alphas(fixture, 'grad/')]]), 5e-5);
}

async function checkFirstOrder(check: Check, way: Way, passAt: PassAt): Promise<void> {
  const { fixture, start } = check;
  const vector = await passAt(0)({ ...start, half: 'alphas', wanted: 'alphas' });
  const gradient = vector.subarray(0, ALPHA_COUNT);
  add(
    check,
    `first_order, alphas, L2, ${way}`,
    euclidean([[gradient, alphas(fixture, 'first_order/')]]),
    5e-5,
  );
  if (fixture.tensors.has('first_order/val_loss'))
    add(
      check,
      `first_order/val_loss, ${way}`,
      absolute(vector.slice(-1), floats(fixture, 'first_order/val_loss')),
      5e-6,
    );
}

interface Replayed {
  readonly steps: readonly Awaited<ReturnType<typeof searchStep>>[];
  /** After each step. */
  readonly states: readonly SearchState[];
}

/** The recorded steps one after the other; `only` ends earlier. */
async function replay(
  check: Check,
  passAt: PassAt,
  settings: { variant: Variant; order: Order; only?: number; repeatPass?: boolean },
): Promise<Replayed> {
  const { layout, start } = check;
  const state: SearchState = {
    weights: start.weights.slice(),
    momentum: new Float32Array(layout.parameterCount),
    alphas: start.alphas.slice(),
    running: start.running.slice(),
    adam: createAdam(ALPHA_COUNT),
  };
  const step = stepOptions(check.fixture, settings);
  const steps: Replayed['steps'][number][] = [];
  const states: SearchState[] = [];
  for (let index = 0; index < (settings.only ?? check.steps); index++) {
    steps.push(await searchStep({ layout, state, step, pass: passAt(index) }));
    states.push({
      ...state,
      weights: state.weights.slice(),
      alphas: state.alphas.slice(),
      running: state.running.slice(),
    });
  }
  return { steps, states };
}

function stepOptions(
  fixture: Fixture,
  settings: { variant: Variant; order: Order; repeatPass?: boolean },
): SearchStepOptions {
  const number = (key: string) => Number(meta(fixture, key));
  return {
    ...settings,
    learningRate: number('w_lr'),
    optimizer: {
      momentum: number('w_momentum'),
      weightDecay: number('w_weight_decay'),
      clipNorm: number('w_clip'),
    },
    adam: {
      learningRate: number('alpha_lr'),
      betas: JSON.parse(meta(fixture, 'alpha_betas')) as [number, number],
      epsilon: number('alpha_eps'),
      weightDecay: number('alpha_weight_decay'),
    },
  };
}

async function checkVariant(check: Check, variant: Variant, passAt: PassAt): Promise<void> {
  const { fixture } = check;
  if (!fixture.tensors.has(`${variant}/step1/train_loss`)) return;
  const got = await replay(check, passAt, { variant, order: 'second' });
  const wantedPasses = variant === 'darts' ? 5 : 4;
  add(
    check,
    `${variant}: passes a step other than ${wantedPasses}`,
    got.steps.filter((step) => step.passes !== wantedPasses).length,
    0,
  );
  checkFirst(check, variant, got);
  for (let index = 1; index < check.steps; index++) checkLater(check, variant, got, index);
  const last = got.states.at(-1);
  if (
    variant === 'reference' &&
    last &&
    fixture.tensors.has(`reference/after/net.${check.layout.running[0]?.name}`)
  ) {
    const wanted = slots(fixture, 'reference/after/net.', check.layout.running, check.layout.runningCount);
    add(check, 'reference/after, L2', euclidean([[last.running, wanted]]), 3e-6);
  }
  if (variant === 'reference') await checkLeftOutPass(check, variant, passAt, got);
}

function checkFirst(check: Check, variant: Variant, { steps, states }: Replayed): void {
  const { fixture, layout, start } = check;
  const [step, state] = [steps[0]!, states[0]!];
  const prefix = `${variant}/step1`;
  const vector = (name: string, values: Float32Array | undefined, tolerance: number) => {
    if (values !== undefined && fixture.tensors.has(`${prefix}/${name}/alpha_normal.0`))
      add(
        check,
        `${prefix}/${name}, L2`,
        euclidean([[values, alphas(fixture, `${prefix}/${name}/`)]]),
        tolerance,
      );
  };
  const scalar = (name: string, value: number | undefined, measure: typeof absolute, tolerance: number) =>
    add(
      check,
      `${prefix}/${name}`,
      measure([value ?? Number.NaN], floats(fixture, `${prefix}/${name}`)),
      tolerance,
    );
  vector('dalpha', step.validationGradient, 1e-4);
  scalar('dw_norm', step.validationNorm, relative, 1e-5);
  scalar('grad_norm', step.gradientNorm, relative, 1e-5);
  // Not in the table for step 1: the loss is that of a single pass, except after the alphas' own step, and the leak a plain gradient.
  scalar('train_loss', step.trainingLoss, absolute, variant === 'darts' ? 5e-4 : 5e-6);
  vector('leak', step.leak, 5e-5);
  vector('hessian', step.hessian, 2e-2);
  vector('unrolled', step.unrolled, 2e-2);
  vector('applied', step.applied, 2e-2);
  checkFirstAlphas(check, variant, state.alphas);
  if (!fixture.tensors.has(`${prefix}/weights/net.${layout.parameters[0]?.name}`)) return;
  const wanted = slots(fixture, `${prefix}/weights/net.`, layout.parameters, layout.parameterCount);
  add(
    check,
    `${prefix}/weights, movement, L2`,
    euclidean([[movement(state.weights, start.weights), movement(wanted, start.weights)]]),
    variant === 'darts' ? 4e-3 : 5e-4,
  );
}

/** Adam's first step is the sign of the gradient, so entries near zero may go the other way: two of them, by two steps at most. */
function checkFirstAlphas(check: Check, variant: Variant, values: Float32Array): void {
  const wanted = alphas(check.fixture, `${variant}/step1/alpha/`);
  const differences = Array.from(values, (value, i) => Math.abs(value - wanted[i]!)).sort((a, b) => b - a);
  add(check, `${variant}/step1/alpha, but for two`, differences[2] ?? Number.NaN, 1e-5);
  add(check, `${variant}/step1/alpha, all`, differences[0] ?? Number.NaN, 2.5e-3);
}

function checkLater(check: Check, variant: Variant, { steps, states }: Replayed, index: number): void {
  const { fixture, start } = check;
  const prefix = `${variant}/step${index + 1}`;
  const [got, wanted] = [states[index]!.alphas, alphas(fixture, `${prefix}/alpha/`)];
  add(
    check,
    `${prefix}/alpha, movement, L2`,
    euclidean([[movement(got, start.alphas), movement(wanted, start.alphas)]]),
    0.2,
  );
  add(
    check,
    `${prefix}/train_loss`,
    absolute([steps[index]!.trainingLoss], floats(fixture, `${prefix}/train_loss`)),
    5e-4,
  );
}

/** With the repeated pass made and with it left out, the same bits. */
async function checkLeftOutPass(
  check: Check,
  variant: Variant,
  passAt: PassAt,
  got: Replayed,
): Promise<void> {
  const { steps, states } = await replay(check, passAt, {
    variant,
    order: 'second',
    only: 1,
    repeatPass: true,
  });
  const [all, left] = [states[0]!, got.states[0]!];
  add(
    check,
    `${variant}: passes with the repeated one, other than 5`,
    Math.abs((steps[0]?.passes ?? 0) - 5),
    0,
  );
  const names = ['weights', 'alphas', 'running'] as const;
  add(
    check,
    `${variant}: what leaving the repeated pass out changes`,
    Math.max(...names.map((name) => absolute(all[name], left[name]))),
    0,
  );
}

/** Channel means and deviations of each traced module in training mode; means may be exactly zero, so differences are absolute. */
async function checkTraces(check: Check): Promise<void> {
  const { fixture, network, layout, batch, start } = check;
  const prefix = 'forward/trace_train/';
  const suffix = '.channel_mean';
  const traced = [...fixture.tensors.keys()]
    .filter((name) => name.startsWith(prefix) && name.endsWith(suffix))
    .map((name) => name.slice(prefix.length, -suffix.length))
    .map((name) => ({ name, layer: layerOf(network, name) }))
    .sort((a, b) => a.layer - b.layer);
  const layers = traced.map(({ layer }) => layer);
  const execution = await prepare(
    'eager',
    `${fixture.file}/trace`,
    searchTraceFunction({ network, layout, batch, fuse: false }, layers),
  );
  const images = slice(imageBytes(fixture, 'train_u8').images, 0, check.steps);
  const outputs = execution.run([start.weights, start.alphas, images]);
  execution.close();
  const compare = (name: string, values: readonly number[]) => {
    const wanted = floats(fixture, prefix + name);
    return absolute(values, wanted) / Math.max(1, largest(wanted));
  };
  const differences = traced.flatMap(({ name, layer }, i) => {
    const moments = channelMoments(outputs[i] ?? new Float32Array(), network.layers[layer]!.shape.channels);
    const column = (at: 0 | 1) => moments.map((moment) => moment[at]);
    return [compare(`${name}.channel_mean`, column(0)), compare(`${name}.channel_std`, column(1))];
  });
  // The bound is that of the other networks' traces (README 3).
  add(check, `${prefix}* worst of ${traced.length} modules`, Math.max(...differences), 1e-5);
  add(
    check,
    `${prefix}table`,
    compare(
      'table',
      outputs.flatMap((output) => [...wholeMoments(output)]),
    ),
    1e-5,
  );
}

/** A module that is not a layer's name ends with the module's last layer. */
function layerOf(network: Supernet, name: string): number {
  const exact = network.layers.findIndex((layer) => layer.name === name);
  const layer = exact >= 0 ? exact : network.layers.findLastIndex((other) => other.module === name);
  if (layer < 0) throw new Error(`the fixture traces ${name}, which the network does not have`);
  return layer;
}

/** Weight of the unweighted skip in its checks. */
const SKIP_WEIGHT = 0.6;

/**
 * Runs with weights that are a rounding step away, by which the rounding of a gradient is known. The inputs of the
 * fixture keep away from the switches of PReLU and of max pools; those of the unweighted skip may lie a rounding beside
 * one, and which side is taken then depends on the processor. Three times the worst of them is the tolerance, as it is
 * for the numbers of the reference (README 10), but never above what the smallest mistake gives.
 */
const MOVED_RUNS = 3;
/** A hundredth of the skip's weight too much moves the gradients by more than ten times this. */
const MOVED_MAX = 1e-3;

/** Weights of which each one is moved to a neighbour in float32, up or down by the run's own draws. */
function roundingStep(weights: Float32Array, run: number): Float32Array {
  const random = randomStream({ seed: run, purpose: 'golden-rounding', at: [0, 0] });
  const moved = weights.slice();
  const bits = new Int32Array(moved.buffer);
  for (let i = 0; i < bits.length; i++) if (moved[i] !== 0) bits[i]! += random.uniform() < 0.5 ? -1 : 1;
  return moved;
}

/**
 * The unweighted skip beside each edge, which the reference does not have: every mixture of the layer-by-layer network
 * against a plain sum over its own inputs, then the compiled network with its fusions against that one.
 */
async function checkAuxiliarySkip(check: Check): Promise<void> {
  const { fixture, network, layout, batch, start } = check;
  const images = slice(imageBytes(fixture, 'train_u8').images, 0, check.steps);
  const labels = slice(integers(fixture, 'train_labels'), 0, check.steps);
  const weight = Float32Array.of(SKIP_WEIGHT);
  const shares = Array.from({ length: ALPHA_COUNT / OPS.length }, (_, row) => {
    const powers = OPS.map((_, column) => Math.exp(start.alphas[row * OPS.length + column]!));
    return powers.map((power) => power / powers.reduce((a, b) => a + b, 0));
  });
  const mixtures = network.layers.flatMap((layer, index) => (layer.kind === 'mix' ? [{ layer, index }] : []));
  // The last node of each cell has all five inputs.
  let worst = 0;
  for (const { layer, index } of mixtures.filter((_, i) => i % 4 === 3)) {
    const execution = await prepare(
      'eager',
      `${fixture.file}/skip`,
      searchTraceFunction({ network, layout, batch, fuse: false, hasAuxiliarySkip: true }, [
        index,
        ...layer.inputs,
      ]),
    );
    const [mixed = new Float32Array(), ...maps] = execution.run([
      start.weights,
      start.alphas,
      images,
      weight,
    ]);
    execution.close();
    const plain = Float64Array.from(mixed, (_, i) =>
      layer.terms.reduce((sum, { row, column }, term) => {
        const extra = OPS[column] === 'skip_connect' ? SKIP_WEIGHT : 0;
        return sum + (shares[row]![column]! + extra) * maps[term]![i]!;
      }, 0),
    );
    worst = Math.max(worst, relative([...mixed], [...plain]));
  }
  add(check, `unweighted skip: the last mixture of ${mixtures.length / 4} cells`, worst, 1e-5);
  const vectorOf = async (way: Way, weightsOf: readonly Float32Array[]) => {
    const execution = await prepare(
      way,
      `${fixture.file}/skip/${way}`,
      searchFunction({
        ...{ network, layout, batch, fuse: way === 'compiled' },
        ...{ wanted: 'weights-and-alphas', hasAuxiliarySkip: true },
      }),
    );
    const vectors = weightsOf.map(
      (weights) => execution.run([weights, start.alphas, images, labels, weight])[0] ?? new Float32Array(),
    );
    execution.close();
    return vectors;
  };
  const moved = Array.from({ length: MOVED_RUNS }, (_, run) => roundingStep(start.weights, run));
  const [eager, ...beside] = (await vectorOf('eager', [start.weights, ...moved])) as [
    Float32Array,
    ...Float32Array[],
  ];
  const [compiled] = (await vectorOf('compiled', [start.weights])) as [Float32Array];
  const compare = (name: string, from: number, to: number) => {
    const distance = (other: Float32Array) => euclidean([[other.slice(from, to), eager.slice(from, to)]]);
    const tolerance = Math.min(MOVED_MAX, Math.max(5e-5, 3 * Math.max(...beside.map(distance))));
    add(
      check,
      `unweighted skip: ${name}, compiled against layer by layer, L2`,
      distance(compiled),
      tolerance,
    );
  };
  compare("weights' gradient", 0, layout.parameterCount);
  compare("alphas' gradient", layout.parameterCount, layout.parameterCount + ALPHA_COUNT);
  add(check, 'unweighted skip: loss', absolute(compiled.slice(-1), eager.slice(-1)), 5e-6);
}

/** Logits [b, K] of embeddings [b, E], by the plain sums of the linear layer that ends the network. */
function classified({ network, layout, start }: Check, embeddings: Float32Array): Float32Array {
  const slotOf = (role: string) => {
    const slot = layout.parameters.find((one) => one.layer === network.output && one.role === role)!;
    return start.weights.subarray(slot.offset, slot.offset + slot.size);
  };
  const [kernel, bias] = [slotOf('weight'), slotOf('bias')]; // [E, K], [K]
  const { classes } = network.spec;
  const width = network.embedding;
  return Float32Array.from({ length: (embeddings.length / width) * classes }, (_, at) => {
    const [image, label] = [Math.floor(at / classes), at % classes];
    let sum = bias[label]!;
    for (let i = 0; i < width; i++) sum += embeddings[image * width + i]! * kernel[i * classes + label]!;
    return sum;
  });
}

/** Means and unbiased variances of the maps before each batch norm, in double precision: [S], as statistics have them. */
function plainStatistics({ network, layout }: Check, maps: ReadonlyMap<number, Float32Array>): Float32Array {
  const found = new Float32Array(layout.runningCount);
  for (const { role, layer, offset, size } of layout.running) {
    const map = maps.get(network.layers[layer]!.inputs[0]!)!; // [N, H, W, C]
    const count = map.length / size;
    for (let channel = 0; channel < size; channel++) {
      let sum = 0;
      for (let at = channel; at < map.length; at += size) sum += map[at]!;
      const mean = sum / count;
      let squares = 0;
      for (let at = channel; at < map.length; at += size) squares += (map[at]! - mean) ** 2;
      found[offset + channel] = role === 'running_var' ? squares / (count - 1) : mean;
    }
  }
  return found;
}

/**
 * A genotype as alphas of the one search network: its nodes are plain sums of two maps, and statistics of one batch,
 * with their variances made biased again, give in evaluation mode what that batch gives in training mode.
 */
async function checkSubNetwork(check: Check): Promise<void> {
  const { fixture, network, layout, batch, start } = check;
  const images = slice(imageBytes(fixture, 'train_u8').images, 0, check.steps);
  const labels = slice(integers(fixture, 'train_labels'), 0, check.steps);
  const genotype = GENOTYPES.casia;
  const oneHot = alphasOfGenotype(genotype);
  const trace = async (layers: readonly number[]) => {
    const execution = await prepare(
      'eager',
      `${fixture.file}/sub-network`,
      searchTraceFunction({ network, layout, batch, fuse: false }, layers),
    );
    const outputs = execution.run([start.weights, oneHot, images]);
    execution.close();
    return outputs;
  };
  const kept = [...genotype.normal, ...genotype.reduce].flatMap((pair, node) =>
    pair.map(([op, input]) => {
      const first = ((node % 4) * ((node % 4) + 3)) / 2 + (node < 4 ? 0 : CELL_EDGES);
      return `${first + input}/${OPS.indexOf(op)}`;
    }),
  );
  let worst = 0;
  for (const [index, layer] of network.layers.entries()) {
    if (layer.kind !== 'mix') continue;
    const read = layer.inputs.filter((_, i) =>
      kept.includes(`${layer.terms[i]!.row}/${layer.terms[i]!.column}`),
    );
    if (read.length !== 2) throw new Error(`a node of a genotype reads ${read.length} maps`);
    const [mixed, one, other] = (await trace([index, ...read])) as [Float32Array, Float32Array, Float32Array];
    worst = Math.max(worst, relative([...mixed], [...one.map((value, i) => value + other[i]!)]));
  }
  add(check, 'genotype as alphas: nodes against the sum of their two edges', worst, 1e-6);
  const training = await prepare(
    'compiled',
    `${fixture.file}/calibration`,
    searchStatisticsFunction({ network, layout, batch }),
  );
  const gradients = await prepare(
    'compiled',
    `${fixture.file}/calibration with gradients`,
    searchFunction({ network, layout, batch, wanted: 'alphas' }),
  );
  const evaluation = await prepare(
    'compiled',
    `${fixture.file}/inherited`,
    searchLogitsFunction({ network, layout, batch }),
  );
  const embedding = await prepare(
    'compiled',
    `${fixture.file}/inherited embeddings`,
    searchEmbeddingFunction({ network, layout, batch }),
  );
  const biased = (running: Float32Array) => {
    const changed = running.slice();
    for (const { role, layer, offset, size } of layout.running) {
      if (role !== 'running_var') continue;
      const { height, width } = network.layers[layer]!.shape;
      const values = batch * height * width;
      for (let i = offset; i < offset + size; i++) changed[i] = (changed[i]! * (values - 1)) / values;
    }
    return changed;
  };
  const statistics = training.run([start.weights, oneHot, images])[0]!;
  const [whole = new Float32Array()] = gradients.run([start.weights, oneHot, images, labels]);
  add(
    check,
    'genotype as alphas: statistics alone against those beside gradients',
    relative([...statistics], [...whole.slice(ALPHA_COUNT, -1)]),
    1e-6,
  );
  const before = [...new Set(layout.running.map(({ layer }) => network.layers[layer]!.inputs[0]!))];
  const maps = await trace(before);
  const plain = plainStatistics(check, new Map(before.map((layer, i) => [layer, maps[i] as Float32Array])));
  add(
    check,
    'genotype as alphas: statistics against plain sums',
    relative([...statistics], [...plain]),
    1e-4,
  );
  const running = biased(await calibratedStatistics(1, async () => statistics));
  const own = evaluation.run([start.weights, oneHot, running, images])[0]!;
  const foreign = evaluation.run([start.weights, oneHot, biased(start.running), images])[0]!;
  const embeddings = embedding.run([start.weights, oneHot, running, images])[0]!;
  add(
    check,
    'genotype as alphas: embeddings through the classifier against the logits',
    relative([...classified(check, embeddings)], [...own]),
    1e-5,
  );
  for (const execution of [training, gradients, evaluation, embedding]) execution.close();
  const [wanted] = await trace([network.output]);
  const distance = (logits: Float32Array) => euclidean([[logits, wanted!]]);
  add(check, 'genotype as alphas: logits with statistics of its own, L2', distance(own), 1e-4);
  // Otherwise this check could not fail.
  add(
    check,
    'genotype as alphas: the mixture has statistics that fit as well',
    distance(foreign) > 0.1 ? 0 : 1,
    0,
  );
}
