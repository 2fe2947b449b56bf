// The order of a network's parameters and running statistics in flat vectors. Gradients, momentum,
// checkpoints and the all-reduce all use it: layers in network order, weight before bias, the classifier head
// last. Shapes in the vectors are TensorFlow's; each slot also has the layout of its values in the
// reference's PyTorch files.
//
// The order is a function of the list of layers, never of object keys or file order: tfjs optimizers match
// momentum to gradients by position, and a checkpoint is read by position.
//
// Legend: E embedding, P parameters (backbone, then head), S running statistics.

import type { LayerGraph, SearchLayer } from './network.ts';

/** Distribution of a slot's initial values; the choices are the reference's (facts 3.8, 3.9 and 4.2). */
export type Initial =
  | { readonly kind: 'constant'; readonly value: number }
  /** In [-bound, bound). */
  | { readonly kind: 'uniform'; readonly bound: number }
  | { readonly kind: 'normal'; readonly std: number };

/** One tensor of a network in a flat vector. */
export interface Slot {
  /** state_dict name, for example cells.0.dag.1.0.net.3.running_var; `adapter.kernel` and `head.kernel` are ours. */
  readonly name: string;
  /** Index of the layer in the network; -1 for the adapter and the head. */
  readonly layer: number;
  readonly role: 'weight' | 'bias' | 'running_mean' | 'running_var' | 'adapter' | 'head';
  /** First element in the flat vector. */
  readonly offset: number;
  /** Number of elements. */
  readonly size: number;
  /** Shape in the flat vector: HWIO, HWC1 for depthwise, [in, out] for linear layers. */
  readonly shape: readonly number[];
  /** Shape in the reference's files: OIHW, C1HW, [out, in]. */
  readonly torchShape: readonly number[];
  /** Axis i of torchShape is axis torchAxes[i] of shape. */
  readonly torchAxes: readonly number[];
  /** Distribution of its values at the start of a run. */
  readonly initial: Initial;
  /** A frozen slot has gradient zero and is not decayed. */
  readonly trainable: boolean;
}

/** The slots of a network and the lengths of its vectors. */
export interface Layout {
  /** Gapless, in the order of the flat vector. */
  readonly parameters: readonly Slot[];
  /** P. */
  readonly parameterCount: number;
  /** Parameters before adapter and head. Gradient clipping and exports cover these. */
  readonly backboneCount: number;
  /** Gapless: mean and variance of each batch norm in network order. */
  readonly running: readonly Slot[];
  /** S. */
  readonly runningCount: number;
  /** Classes of the head; 0 where the vectors hold none. */
  readonly classes: number;
  /** P + S + 3, the length of a shard's vector: gradient, batch statistics, losses. */
  readonly vectorCount: number;
}

/** Loss values at the end of a shard's vector: total, margin loss, weighted distillation term. */
export const LOSS_COUNT = 3;

/** What is trained with a network and is no part of it. */
export interface Attached {
  /** Classes of the head; none where the vectors hold no head. */
  readonly classes?: number;
  /** Size that a student's adapter maps its embeddings to (core/spec/distillation.ts). */
  readonly adapter?: number | undefined;
}

/** The layout of a network; the kernels of an adapter and of a head are behind the backbone, in this order. */
export function layoutOf(network: LayerGraph, attached: Attached = {}): Layout {
  const { classes = 0, adapter = 0 } = attached;
  const parameters = placed(network.layers.flatMap((layer, index) => parameterSlots(network, layer, index)));
  const backboneCount = end(parameters);
  if (adapter > 0) parameters.push(adapterSlot(network.embedding, adapter, backboneCount));
  if (classes > 0) parameters.push(headSlot(network.embedding, classes, end(parameters)));
  const running = placed(network.layers.flatMap(runningSlots));
  const parameterCount = end(parameters);
  const runningCount = end(running);
  return {
    parameters,
    parameterCount,
    backboneCount,
    running,
    runningCount,
    classes,
    vectorCount: parameterCount + runningCount + LOSS_COUNT,
  };
}

/** Parts of a shard's vector, as views. */
export function splitVector(
  layout: Layout,
  vector: Float32Array,
): { gradient: Float32Array; statistics: Float32Array; losses: Float32Array } {
  const { parameterCount: p, runningCount: s } = layout;
  return {
    gradient: vector.subarray(0, p),
    statistics: vector.subarray(p, p + s),
    losses: vector.subarray(p + s, p + s + LOSS_COUNT),
  };
}

type Unplaced = Omit<Slot, 'offset' | 'size'>;

function parameterSlots(network: LayerGraph, layer: SearchLayer, index: number): Unplaced[] {
  const { channels } = layer.shape;
  const own = (role: 'weight' | 'bias', initial: Initial): Unplaced =>
    channelSlot({ layer, index, role, initial });
  switch (layer.kind) {
    case 'conv': {
      const { kernel: k } = layer;
      const from = layer.channelsIn / layer.groups;
      const initial = convolutionInitial(network, k * k * from);
      return [
        {
          ...own('weight', initial),
          shape: [k, k, from, channels],
          ...torch([channels, from, k, k], [3, 2, 0, 1]),
        },
      ];
    }
    case 'depthwise': {
      const { kernel: k } = layer;
      const initial = convolutionInitial(network, k * k);
      return [
        {
          ...own('weight', initial),
          shape: [k, k, channels, 1],
          ...torch([channels, 1, k, k], [2, 3, 0, 1]),
        },
      ];
    }
    case 'linear': {
      const from = layer.channelsIn;
      // PyTorch's default for weight and bias.
      const initial: Initial = { kind: 'uniform', bound: 1 / Math.sqrt(from) };
      const weight = {
        ...own('weight', initial),
        shape: [from, channels],
        ...torch([channels, from], [1, 0]),
      };
      return layer.bias ? [weight, own('bias', initial)] : [weight];
    }
    case 'batchNorm': {
      if (!layer.affine) return [];
      const scale = own('weight', { kind: 'constant', value: 1 });
      return [{ ...scale, trainable: !layer.frozenScale }, own('bias', { kind: 'constant', value: 0 })];
    }
    case 'prelu':
      return [own('weight', { kind: 'constant', value: 0.25 })];
    default:
      return [];
  }
}

/**
 * Kaiming's uniform distribution (He et al., 2015); the teacher's convolutions are normal with one deviation
 * for all.
 */
function convolutionInitial(network: LayerGraph, fanIn: number): Initial {
  return network.spec.kind === 'iresnet'
    ? { kind: 'normal', std: 0.1 }
    : { kind: 'uniform', bound: Math.sqrt(6 / fanIn) };
}

function runningSlots(layer: SearchLayer, index: number): Unplaced[] {
  if (layer.kind !== 'batchNorm') return [];
  return (['running_mean', 'running_var'] as const).map((role) => ({
    ...channelSlot({
      layer,
      index,
      role,
      initial: { kind: 'constant', value: role === 'running_var' ? 1 : 0 },
    }),
    trainable: false,
  }));
}

/** A slot of one value a channel; callers replace the shape where a parameter has more. */
function channelSlot(options: {
  layer: SearchLayer;
  index: number;
  role: Slot['role'];
  initial: Initial;
}): Unplaced {
  const { layer, index, role, initial } = options;
  const shape = [layer.shape.channels];
  return {
    name: `${layer.name}.${role}`,
    layer: index,
    role,
    shape,
    ...torch(shape, [0]),
    initial,
    trainable: true,
  };
}

/** The matrix [E, T] from a student's embeddings to those of its teacher; a unit vector keeps its length on average. */
function adapterSlot(embedding: number, width: number, offset: number): Slot {
  const shape = [embedding, width];
  return {
    name: 'adapter.kernel',
    layer: -1,
    role: 'adapter',
    offset,
    size: embedding * width,
    shape,
    ...torch(shape, [0, 1]),
    initial: { kind: 'normal', std: 1 / Math.sqrt(width) },
    trainable: true,
  };
}

/** The class matrix [E, classes], a class being a column, as in the reference. */
function headSlot(embedding: number, classes: number, offset: number): Slot {
  const shape = [embedding, classes];
  return {
    name: 'head.kernel',
    layer: -1,
    role: 'head',
    offset,
    size: embedding * classes,
    shape,
    ...torch(shape, [0, 1]),
    initial: { kind: 'normal', std: 0.01 },
    trainable: true,
  };
}

function torch(torchShape: readonly number[], torchAxes: readonly number[]) {
  return { torchShape, torchAxes };
}

function placed(slots: readonly Unplaced[]): Slot[] {
  let offset = 0;
  return slots.map((slot) => {
    const size = slot.shape.reduce((product, length) => product * length, 1);
    const at = offset;
    offset += size;
    return { ...slot, offset: at, size };
  });
}

function end(slots: readonly Slot[]): number {
  const last = slots.at(-1);
  return last === undefined ? 0 : last.offset + last.size;
}
