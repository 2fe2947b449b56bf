// Decides which layers of a network need not run by themselves. Every layer that runs reads and writes whole
// maps, and a step waits for memory, so each one saved counts. The forms, all equal in exact arithmetic:
//
// * A depthwise 1x1 is a factor of each channel, multiplied into the kernel of the pointwise convolution behind it.
// * A batch norm in evaluation is a scale and an offset, which go into the convolution or linear layer before it.
// * PReLU, depthwise, pointwise and batch norm in a row are one operation of our own; a factorised reduction is two.
// * A mixture's op weight becomes the scale of the batch norm that it multiplies.
// * PReLUs of one map run together, and equal pools of one map are one.
//
// A layer may only disappear into another where nothing else reads it, which the counts of consumers decide.
// Pure: a fusion is data over indices of layers.

import type { LayerGraph, SearchLayer, Term } from './network.ts';

/** Indices of layers, by the index of the layer that does their work. */
export interface Fusion {
  /**
   * Pointwise convolution -> the depthwise 1x1 whose factors its kernel is multiplied with; stride and input
   * are that one's too.
   */
  readonly scaledBy: ReadonlyMap<number, number>;
  /** Convolution or linear layer -> the batch norm that is multiplied into its kernel and bias. */
  readonly normalisedBy: ReadonlyMap<number, number>;
  /**
   * Strided depthwise 1x1 -> the crop before it: sampling begins at the row and column behind those that the
   * crop cuts off.
   */
  readonly croppedBy: ReadonlyMap<number, number>;
  /**
   * Batch norm without scale that only a mixture reads -> its term there, whose op weight becomes the scale.
   */
  readonly weighedBy: ReadonlyMap<number, Term>;
  /** Batch norm -> the three layers before it that run with it as one operation. */
  readonly separable: ReadonlyMap<number, Separable>;
  /**
   * Batch norm -> the layers of a factorised reduction before it, whose branches run as a separable block
   * each.
   */
  readonly reductions: ReadonlyMap<number, Reduction>;
  /** First PReLU of a map that several read -> all of them, itself included. */
  readonly together: ReadonlyMap<number, readonly number[]>;
  /**
   * Pool -> an earlier pool of the same map with the same window; a genotype may choose one on several edges.
   */
  readonly sameAs: ReadonlyMap<number, number>;
  /**
   * Whose operations pools are. A search network has the library's: it is so sensitive that a max pool whose winner is
   * decided by rounding takes the other one where a mean before it is off by a unit in the last place (seen in the search
   * fixture, step 1: 2.2e-4 of the alphas' gradient).
   */
  readonly pools: 'own' | 'library';
  /** Layers that are not executed by themselves; an absorbed batch norm's output is its convolution's. */
  readonly absorbed: ReadonlySet<number>;
}

/** PReLU, depthwise convolution and pointwise convolution, each read by the next one only. */
export interface Separable {
  readonly prelu: number;
  readonly depthwise: number;
  readonly pointwise: number;
}

/**
 * Two branches of a PReLU's even and odd pixels with half of the channels each, whose concatenation one batch
 * norm alone reads.
 */
export interface Reduction {
  /** Even pixels, then odd ones; both branches name the same PReLU. */
  readonly branches: readonly [Separable, Separable];
  /** The layers in between: crop and concatenation. */
  readonly others: readonly number[];
}

/** Every layer runs by itself. */
export const NO_FUSION: Fusion = {
  scaledBy: new Map(),
  normalisedBy: new Map(),
  croppedBy: new Map(),
  weighedBy: new Map(),
  separable: new Map(),
  reductions: new Map(),
  together: new Map(),
  sameAs: new Map(),
  pools: 'library',
  absorbed: new Set(),
};

/**
 * The fusion of a network. `separables`: whether an operation for whole separable blocks exists, which is
 * then used.
 */
export function fusionOf(network: LayerGraph, mode: 'train' | 'eval', separables = false): Fusion {
  const consumers = consumerCounts(network);
  const separable = separables ? separableBlocks(network, consumers) : new Map<number, Separable>();
  const reductions = separables ? factorizedReductions(network, consumers) : new Map<number, Reduction>();
  const blocks = [...separable.values(), ...[...reductions.values()].flatMap(({ branches }) => branches)];
  const inBlock = new Set([
    ...blocks.flatMap((block) => [block.prelu, block.depthwise, block.pointwise]),
    ...[...reductions.values()].flatMap(({ others }) => others),
  ]);
  const scaledBy = new Map<number, number>();
  const normalisedBy = new Map<number, number>();
  const croppedBy = new Map<number, number>();
  network.layers.forEach((layer, index) => {
    const input = layer.inputs[0];
    if (input === undefined || consumers[input] !== 1) return;
    const before = network.layers[input];
    if (
      !inBlock.has(index) &&
      isPointwise(layer) &&
      before?.kind === 'depthwise' &&
      before.kernel === 1 &&
      before.padding === 0
    ) {
      scaledBy.set(index, input);
      const crop = before.inputs[0] ?? -1;
      if (network.layers[crop]?.kind === 'crop' && consumers[crop] === 1) croppedBy.set(input, crop);
    }
    if (
      mode === 'eval' &&
      layer.kind === 'batchNorm' &&
      !inBlock.has(input) &&
      (before?.kind === 'conv' || before?.kind === 'depthwise' || before?.kind === 'linear')
    )
      normalisedBy.set(input, index);
  });
  const absorbed = new Set([
    ...scaledBy.values(),
    ...normalisedBy.values(),
    ...croppedBy.values(),
    ...inBlock,
  ]);
  return {
    scaledBy,
    normalisedBy,
    croppedBy,
    weighedBy: weighings(network, consumers),
    separable,
    reductions,
    together: prelusTogether(network, inBlock),
    sameAs: equalPools(network),
    pools: network.layers.some(({ kind }) => kind === 'mix') ? 'library' : 'own',
    absorbed,
  };
}

/** A 1x1 convolution of all pixels and channels: a matrix product. */
const isPointwise = (layer: SearchLayer): boolean =>
  layer.kind === 'conv' &&
  layer.kernel === 1 &&
  layer.stride === 1 &&
  layer.padding === 0 &&
  layer.groups === 1;

/**
 * Separable blocks by their batch norm. Padding must be less than the kernel, or the operation refuses the
 * block.
 */
function separableBlocks(network: LayerGraph, consumers: readonly number[]): Map<number, Separable> {
  const found = new Map<number, Separable>();
  network.layers.forEach((norm, index) => {
    if (norm.kind !== 'batchNorm') return;
    const [pointwise = -1] = norm.inputs;
    const product = network.layers[pointwise];
    if (product === undefined || !isPointwise(product)) return;
    const [depthwise = -1] = product.inputs;
    const window = network.layers[depthwise];
    if (window?.kind !== 'depthwise' || window.padding >= window.kernel) return;
    const [prelu = -1] = window.inputs;
    if (network.layers[prelu]?.kind !== 'prelu') return;
    if ([pointwise, depthwise, prelu].some((layer) => consumers[layer] !== 1)) return;
    found.set(index, { prelu, depthwise, pointwise });
  });
  return found;
}

/**
 * Factorised reductions by their batch norm. Two kinds run layer by layer:
 * - Maps with an odd number of rows or columns, whose branches see different numbers of pixels.
 * - Search networks, recognised by norms without scale. They gain little, and a max pool whose winner is
 *   decided by rounding would take the other one than the reference does (seen in the search fixture; other
 *   instruction sets do that with the layers too).
 */
function factorizedReductions(network: LayerGraph, consumers: readonly number[]): Map<number, Reduction> {
  const found = new Map<number, Reduction>();
  const { layers } = network;
  /** The only input of a layer, if it is of this kind and nothing else reads it. */
  const before = (index: number, kind: SearchLayer['kind']): number | undefined => {
    const [input = -1, ...more] = layers[index]?.inputs ?? [];
    return layers[input]?.kind === kind && consumers[input] === 1 && more.length === 0 ? input : undefined;
  };
  layers.forEach((norm, index) => {
    if (norm.kind !== 'batchNorm' || !norm.affine) return;
    const join = before(index, 'concat');
    const ends = join === undefined ? [] : layers[join]!.inputs;
    if (ends.length !== 2) return;
    const branches: { depthwise: number; pointwise: number }[] = [];
    for (const pointwise of ends) {
      const depthwise = before(pointwise, 'depthwise');
      const window = depthwise === undefined ? undefined : layers[depthwise];
      if (window?.kind !== 'depthwise' || window.kernel !== 1 || window.stride !== 2) return;
      if (!isPointwise(layers[pointwise]!) || consumers[pointwise] !== 1) return;
      branches.push({ depthwise: depthwise!, pointwise });
    }
    const crop = before(branches[1]!.depthwise, 'crop');
    const prelu = crop === undefined ? -1 : layers[crop]!.inputs[0]!;
    const activation = layers[prelu];
    if (activation?.kind !== 'prelu' || layers[branches[0]!.depthwise]!.inputs[0] !== prelu) return;
    if (consumers[prelu] !== 2 || activation.shape.height % 2 !== 0 || activation.shape.width % 2 !== 0)
      return;
    const [even, odd] = branches.map((branch) => ({ prelu, ...branch })) as [Separable, Separable];
    found.set(index, { branches: [even, odd], others: [crop!, join!] });
  });
  return found;
}

/** Groups of PReLUs that read one map, by their first. */
function prelusTogether(network: LayerGraph, inBlock: ReadonlySet<number>): Map<number, number[]> {
  const byInput = new Map<number, number[]>();
  network.layers.forEach((layer, index) => {
    const input = layer.inputs[0];
    if (layer.kind === 'prelu' && input !== undefined && !inBlock.has(index))
      byInput.set(input, [...(byInput.get(input) ?? []), index]);
  });
  return new Map([...byInput.values()].filter((all) => all.length > 1).map((all) => [all[0] as number, all]));
}

/** Pools that repeat an earlier one. */
function equalPools(network: LayerGraph): Map<number, number> {
  const firsts = new Map<string, number>();
  const sameAs = new Map<number, number>();
  network.layers.forEach((layer, index) => {
    if (layer.kind !== 'maxPool' && layer.kind !== 'avgPool') return;
    const { kind, inputs, kernel, stride, padding } = layer;
    const key = JSON.stringify([kind, inputs, kernel, stride, padding]);
    const first = firsts.get(key);
    if (first === undefined) firsts.set(key, index);
    else sameAs.set(index, first);
  });
  return sameAs;
}

/**
 * Op weights that become scales. Inside the batch norm a factor costs nothing; as a product it is one pass
 * forward and two back.
 */
function weighings(network: LayerGraph, consumers: readonly number[]): Map<number, Term> {
  const weighedBy = new Map<number, Term>();
  for (const layer of network.layers) {
    if (layer.kind !== 'mix') continue;
    layer.inputs.forEach((input, i) => {
      const before = network.layers[input];
      const term = layer.terms[i];
      if (before?.kind === 'batchNorm' && !before.affine && consumers[input] === 1 && term !== undefined)
        weighedBy.set(input, term);
    });
  }
  return weighedBy;
}

/** How many layers read each layer; the network's output counts as one more. */
function consumerCounts(network: LayerGraph): number[] {
  const counts = network.layers.map(() => 0);
  for (const layer of network.layers)
    for (const input of layer.inputs) counts[input] = (counts[input] ?? 0) + 1;
  counts[network.output] = (counts[network.output] ?? 0) + 1;
  return counts;
}
