// The layers of MobileFaceNet (Chen et al., 2018, arXiv 1804.07573, table 1), the compact baseline: inverted
// residual bottlenecks with PReLU and a linear global depthwise convolution. No published checkpoint fixes
// names, so layers are named after the rows of the table.

import type { NetworkSpec } from '../spec/network.ts';
import { type Builder, createBuilder, type Network } from './network.ts';

type MobilefacenetSpec = Extract<NetworkSpec, { kind: 'mobilefacenet' }>;

/** Table 1 of the paper: expansion t, channels c, repeats n, stride s of the first repeat. */
const BOTTLENECKS = [
  { expansion: 2, channels: 64, repeats: 5, stride: 2 },
  { expansion: 4, channels: 128, repeats: 1, stride: 2 },
  { expansion: 2, channels: 128, repeats: 6, stride: 1 },
  { expansion: 4, channels: 128, repeats: 1, stride: 2 },
  { expansion: 2, channels: 128, repeats: 2, stride: 1 },
] as const;

/** The layers of a MobileFaceNet: 112x112 -> 56 -> 28 -> 14 -> 7 -> embedding. */
export function buildMobilefacenet(spec: MobilefacenetSpec): Network {
  const builder = createBuilder();
  let last = addUnit(builder, {
    name: 'conv1',
    module: 'conv1',
    input: 0,
    channels: 64,
    kernel: 3,
    stride: 2,
  });
  last = addUnit(builder, { name: 'conv2_dw', module: 'conv2_dw', input: last, kernel: 3, stride: 1 });
  BOTTLENECKS.forEach((row, index) => {
    for (let repeat = 0; repeat < row.repeats; repeat++) {
      const stride = repeat === 0 ? row.stride : 1;
      const module = `bottleneck${index + 1}.${repeat}`;
      last = addBottleneck(builder, {
        module,
        input: last,
        expansion: row.expansion,
        channels: row.channels,
        stride,
      });
    }
  });
  last = addUnit(builder, {
    name: 'conv_sep',
    module: 'tail',
    input: last,
    channels: 512,
    kernel: 1,
    stride: 1,
  });
  last = addUnit(builder, {
    name: 'conv_dw',
    module: 'tail',
    input: last,
    kernel: 7,
    stride: 1,
    padding: 0,
    linear: true,
  });
  const output = addUnit(builder, {
    name: 'linear',
    module: 'tail',
    input: last,
    channels: spec.embedding,
    kernel: 1,
    stride: 1,
    linear: true,
  });
  return { spec, layers: builder.layers, output, embedding: spec.embedding };
}

/**
 * An inverted residual: expand, depthwise, project without activation; the input is added where the shapes
 * are equal.
 */
function addBottleneck(
  builder: Builder,
  block: { module: string; input: number; expansion: number; channels: number; stride: number },
): number {
  const { module, input, expansion, channels, stride } = block;
  const inner = builder.shapeOf(input).channels * expansion;
  let last = addUnit(builder, {
    name: `${module}.conv`,
    module,
    input,
    channels: inner,
    kernel: 1,
    stride: 1,
  });
  last = addUnit(builder, { name: `${module}.conv_dw`, module, input: last, kernel: 3, stride });
  last = addUnit(builder, {
    name: `${module}.project`,
    module,
    input: last,
    channels,
    kernel: 1,
    stride: 1,
    linear: true,
  });
  if (stride !== 1 || builder.shapeOf(input).channels !== channels) return last;
  return builder.add({ name: module, module, inputs: [last, input], operation: { kind: 'add' } });
}

/** Convolution (depthwise where no channels are given), batch norm and, unless linear, PReLU. */
function addUnit(
  builder: Builder,
  unit: {
    name: string;
    module: string;
    input: number;
    channels?: number;
    kernel: number;
    stride: number;
    padding?: number;
    linear?: boolean;
  },
): number {
  const { name, module, input, channels, kernel, stride } = unit;
  const window = { kernel, stride, padding: unit.padding ?? (kernel - 1) / 2 };
  const channelsIn = builder.shapeOf(input).channels;
  let last = builder.add({
    name: `${name}.conv`,
    module,
    inputs: [input],
    operation:
      channels === undefined
        ? { kind: 'depthwise', ...window }
        : { kind: 'conv', ...window, groups: 1, channelsIn },
    ...(channels === undefined ? {} : { channels }),
  });
  last = builder.add({
    name: `${name}.bn`,
    module,
    inputs: [last],
    operation: { kind: 'batchNorm', affine: true, frozenScale: false },
  });
  if (unit.linear) return last;
  return builder.add({ name: `${name}.prelu`, module, inputs: [last], operation: { kind: 'prelu' } });
}
