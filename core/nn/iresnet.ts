// The layers of the teacher, IResNet, for any number of blocks and any widths: 3x3 stem at stride 1, four
// residual stages that each halve the map, a linear layer on the whole 7x7 map, batch norm with a frozen
// scale (reference facts 3.9, module names as there).

import type { IresnetSpec } from '../spec/network.ts';
import { type Builder, createBuilder, type Network } from './network.ts';

/** Blocks of the four stages under their usual names. */
export const IRESNET_BLOCKS = {
  'iresnet-18': [2, 2, 2, 2],
  'iresnet-34': [3, 4, 6, 3],
  'iresnet-50': [3, 4, 14, 3],
  'iresnet-100': [3, 13, 30, 3],
} as const satisfies Record<string, IresnetSpec['blocks']>;

const AFFINE = { kind: 'batchNorm', affine: true, frozenScale: false } as const;

/** The layers of an IResNet: 112x112 -> stages 56, 28, 14, 7 -> embedding. */
export function buildIresnet(spec: IresnetSpec): Network {
  const builder = createBuilder();
  const add = (
    name: string,
    input: number,
    layer: Pick<Parameters<Builder['add']>[0], 'operation' | 'channels'>,
  ) => builder.add({ name, module: name, inputs: [input], ...layer });
  let last = add('conv1', 0, {
    operation: { kind: 'conv', kernel: 3, stride: 1, padding: 1, groups: 1, channelsIn: 3 },
    channels: spec.stem,
  });
  last = add('bn1', last, { operation: AFFINE });
  last = add('prelu', last, { operation: { kind: 'prelu' } });
  spec.blocks.forEach((blocks, stage) => {
    for (let block = 0; block < blocks; block++)
      last = addBlock(builder, {
        module: `layer${stage + 1}.${block}`,
        input: last,
        channels: spec.widths[stage] ?? 0,
        first: block === 0,
      });
  });
  last = add('bn2', last, { operation: AFFINE });
  last = add('flatten', last, { operation: { kind: 'flatten' } });
  const channelsIn = builder.shapeOf(last).channels;
  last = add('fc', last, { operation: { kind: 'linear', channelsIn, bias: true }, channels: spec.embedding });
  const output = add('features', last, { operation: { kind: 'batchNorm', affine: true, frozenScale: true } });
  return { spec, layers: builder.layers, output, embedding: spec.embedding };
}

/**
 * A residual block: batch norm, conv, batch norm, PReLU, conv with the stage's stride, batch norm, plus the
 * shortcut. No activation follows the sum. The first block of a stage halves the map and projects its
 * shortcut.
 */
function addBlock(
  builder: Builder,
  block: { module: string; input: number; channels: number; first: boolean },
): number {
  const { module, input, channels, first } = block;
  const stride = first ? 2 : 1;
  const channelsIn = builder.shapeOf(input).channels;
  const add = (
    name: string,
    from: number,
    layer: Pick<Parameters<Builder['add']>[0], 'operation' | 'channels'>,
  ) => builder.add({ name: `${module}.${name}`, module, inputs: [from], ...layer });
  let last = add('bn1', input, { operation: AFFINE });
  last = add('conv1', last, {
    operation: { kind: 'conv', kernel: 3, stride: 1, padding: 1, groups: 1, channelsIn },
    channels,
  });
  last = add('bn2', last, { operation: AFFINE });
  last = add('prelu', last, { operation: { kind: 'prelu' } });
  last = add('conv2', last, {
    operation: { kind: 'conv', kernel: 3, stride, padding: 1, groups: 1, channelsIn: channels },
    channels,
  });
  last = add('bn3', last, { operation: AFFINE });
  let shortcut = input;
  if (first) {
    shortcut = add('downsample.0', input, {
      operation: { kind: 'conv', kernel: 1, stride, padding: 0, groups: 1, channelsIn },
      channels,
    });
    shortcut = add('downsample.1', shortcut, { operation: AFFINE });
  }
  return builder.add({ name: module, module, inputs: [last, shortcut], operation: { kind: 'add' } });
}
