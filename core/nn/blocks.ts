// The layers that each candidate op of the search space consists of (reference facts 1.1-1.3), one function a
// kind. Discrete networks and the search network share them; the search network's batch norms have no scale
// and shift, because its alphas scale each op already.

import type { Op } from '../spec/network.ts';
import type { LayerSink } from './network.ts';

const POINTWISE = { kernel: 1, stride: 1, padding: 0 } as const;

/** Where the layers of one op go. */
export interface Part {
  readonly builder: LayerSink;
  /** The part of the network that tables count the layers under. */
  readonly module: string;
  /** Prefix of the layers' names. */
  readonly name: string;
  /** Index of the layer that is read. */
  readonly input: number;
  /** Output channels. */
  readonly channels: number;
  /** Whether batch norms have scale and shift. */
  readonly affine: boolean;
}

/**
 * Appends the candidate op of one edge and returns the index of its output; an identity adds no layer and
 * returns its input.
 */
export function addOp(part: Part & { op: Op; stride: number }): number {
  const { builder, name, module, input, stride } = part;
  switch (part.op) {
    case 'max_pool_3x3':
    case 'avg_pool_3x3': {
      const kind = part.op === 'max_pool_3x3' ? 'maxPool' : 'avgPool';
      const operation = { kind, kernel: 3, stride, padding: 1 } as const;
      const pool = builder.add({ name: `${name}.pool`, module, inputs: [input], operation });
      return builder.add({ name: `${name}.bn`, module, inputs: [pool], operation: norm(part) });
    }
    case 'skip_connect':
      return stride === 1 ? input : addFactorizedReduce(part);
    case 'dw_conv_1x1':
      return addSeparable({ ...part, kernel: 1 });
    case 'dw_conv_3x3':
      return addSeparable({ ...part, kernel: 3 });
    case 'dw_conv_5x5':
      return addSeparable({ ...part, kernel: 5 });
    case 'dw_conv_7x7':
      return addSeparable({ ...part, kernel: 7 });
    case 'none':
      throw new Error('core/spec/document.ts lets no genotype choose none');
  }
}

/**
 * PReLU, depthwise convolution, pointwise convolution, batch norm -> [H / stride, W / stride, channels].
 * Nothing lies between the two convolutions, unlike in DARTS, where the pair comes twice. With kernel 1 it is
 * also the input layer of a cell.
 */
export function addSeparable(part: Part & { kernel: number; stride: number }): number {
  const { builder, module, name, channels, kernel, stride } = part;
  const channelsIn = builder.shapeOf(part.input).channels;
  const window = { kernel, stride, padding: (kernel - 1) / 2 };
  const prelu = builder.add({
    name: `${name}.net.0`,
    module,
    inputs: [part.input],
    operation: { kind: 'prelu' },
  });
  const depthwise = builder.add({
    name: `${name}.net.1`,
    module,
    inputs: [prelu],
    operation: { kind: 'depthwise', ...window },
  });
  const pointwise = builder.add({
    name: `${name}.net.2`,
    module,
    inputs: [depthwise],
    operation: { kind: 'conv', ...POINTWISE, groups: 1, channelsIn },
    channels,
  });
  return builder.add({ name: `${name}.net.3`, module, inputs: [pointwise], operation: norm(part) });
}

/**
 * Factorised reduction: halves the map in two branches, one of the pixels in even rows and columns and one of
 * those in odd ones (the map without its first row and column), each with half of the output channels -> [H /
 * 2, W / 2, channels].
 */
export function addFactorizedReduce(part: Part): number {
  const { builder, module, name, channels } = part;
  const prelu = builder.add({
    name: `${name}.relu`,
    module,
    inputs: [part.input],
    operation: { kind: 'prelu' },
  });
  const cropped = builder.add({ name: `${name}.crop`, module, inputs: [prelu], operation: { kind: 'crop' } });
  const branches = [prelu, cropped].map((input, branch) => {
    const depthwise = builder.add({
      name: `${name}.conv${branch + 1}1`,
      module,
      inputs: [input],
      operation: { kind: 'depthwise', kernel: 1, stride: 2, padding: 0 },
    });
    return builder.add({
      name: `${name}.conv${branch + 1}2`,
      module,
      inputs: [depthwise],
      operation: { kind: 'conv', ...POINTWISE, groups: 1, channelsIn: builder.shapeOf(input).channels },
      channels: channels / 2,
    });
  });
  const joined = builder.add({
    name: `${name}.join`,
    module,
    inputs: branches,
    operation: { kind: 'concat' },
  });
  return builder.add({ name: `${name}.bn`, module, inputs: [joined], operation: norm(part) });
}

function norm({ affine }: Part) {
  return { kind: 'batchNorm', affine, frozenScale: false } as const;
}
