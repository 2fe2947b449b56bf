// What the candidate ops of the search space consist of (reference facts 1.1-1.3): one function a kind, used by the discrete
// networks and, without scale and shift in the batch norms, by the search network. Which op goes where is theirs.

import type { Op } from '../spec/network.ts';
import type { LayerSink } from './network.ts';

const POINTWISE = { kernel: 1, stride: 1, padding: 0 } as const;

export interface Part {
  readonly builder: LayerSink;
  readonly module: string;
  readonly name: string;
  readonly input: number;
  /** Output channels. */
  readonly channels: number;
  /** Whether batch norms have scale and shift. */
  readonly affine: boolean;
}

/** The candidate op on one edge; an identity adds no layer. */
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

/** PReLU, depthwise, pointwise, BN; with kernel 1 it is also the cell's input layer. Nothing between the two convolutions. */
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

/** Halves the map in two branches that see even and odd pixels; each makes half of the channels. */
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
