// What a benchmark measures: one network with its weights, a batch of images and what is done with them.
// Written to a folder as plain files, so that every way (ours, TensorFlow.js, PyTorch) reads the same
// numbers; how each computes is theirs.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildNetwork } from '../../core/nn/build.ts';
import { initialRunning, initialWeights } from '../../core/nn/init.ts';
import { IRESNET_BLOCKS } from '../../core/nn/iresnet.ts';
import { type Layout, layoutOf } from '../../core/nn/layout.ts';
import { IMAGE, type Network } from '../../core/nn/network.ts';
import { randomGenotype } from '../../core/nn/random-genotype.ts';
import { uniforms } from '../../core/rng.ts';
import { type NetworkSpec, OPS, type Op } from '../../core/spec/network.ts';

export interface Work {
  /** A training step with ArcFace, or embeddings in evaluation mode. */
  readonly kind: 'train' | 'embed';
  readonly name: string;
  readonly network: NetworkSpec;
  /** Images a step. */
  readonly batch: number;
  /** Of the classifier head; 0 for embeddings. */
  readonly classes: number;
}

const SEED = 1;
const CLASSES = 1000;
/**
 * A batch that is noise with arbitrary labels must neither be learnt by heart nor blow up within hundreds of
 * steps.
 */
export const LEARNING_RATE = 0.01;
/** The reference's: clip of the backbone, momentum, L2 on everything. */
export const OPTIMIZER = { momentum: 0.9, weightDecay: 5e-4, clipNorm: 5 } as const;
export const LOSS = { scale: 64, margin: 0.5 } as const;

const pocketnet = (channels: number, layers: number) =>
  ({ kind: 'pocketnet', channels, layers, embedding: 128, genotype: 'casia' }) as const;
const CHOSEN = OPS.filter((op): op is Exclude<Op, 'none'> => op !== 'none');

/** The training step of the three sizes that a search and its winners train. */
export function trainingWorks(batch: number): Work[] {
  const small = { ...pocketnet(8, 8), genotype: randomGenotype(CHOSEN, SEED, 0) };
  const networks = { 'S-128': pocketnet(16, 18), 'M-128': pocketnet(32, 9), small };
  return Object.entries(networks).map(([name, network]) => ({
    kind: 'train',
    name,
    network,
    batch,
    classes: CLASSES,
  }));
}

/** Evaluation of a student and of the teachers that are asked for embeddings at each step of distillation. */
export function embeddingWorks(batch: number): Work[] {
  const teacher = (name: 'iresnet-50' | 'iresnet-100') =>
    ({
      kind: 'iresnet',
      blocks: IRESNET_BLOCKS[name],
      stem: 64,
      widths: [64, 128, 256, 512],
      embedding: 512,
    }) as unknown as NetworkSpec;
  const networks: Record<string, NetworkSpec> = {
    'S-128': pocketnet(16, 18),
    'IResNet-50': teacher('iresnet-50'),
    'IResNet-100': teacher('iresnet-100'),
  };
  return Object.entries(networks).map(([name, network]) => ({
    kind: 'embed',
    name,
    network,
    batch,
    classes: 0,
  }));
}

export interface Prepared {
  readonly work: Work;
  readonly network: Network;
  readonly layout: Layout;
}

export function prepare(work: Work): Prepared {
  const network = buildNetwork(work.network);
  return { work, network, layout: layoutOf(network, { classes: work.classes }) };
}

/** Fills the folder: work.json describes, the .bin files are little-endian numbers. */
export function writeWork(folder: string, { work, network, layout }: Prepared): void {
  const description = {
    ...work,
    embedding: network.embedding,
    layers: network.layers,
    output: network.output,
    image: IMAGE,
    parameters: layout.parameters,
    running: layout.running,
    optimizer: OPTIMIZER,
    learningRate: LEARNING_RATE,
    ...(work.kind === 'train' ? { loss: LOSS } : {}),
  };
  writeFileSync(join(folder, 'work.json'), JSON.stringify(description));
  const pixels = work.batch * IMAGE.height * IMAGE.width * IMAGE.channels;
  writeFileSync(
    join(folder, 'images.bin'),
    Uint8Array.from(uniforms(SEED, 'images', pixels), (value) => value * 256),
  );
  const labels = Int32Array.from({ length: work.batch }, (_, i) => (i * 37) % Math.max(1, work.classes));
  writeFileSync(join(folder, 'labels.bin'), bytes(labels));
  writeFileSync(join(folder, 'weights.bin'), bytes(firstWeights(work, layout)));
  writeFileSync(join(folder, 'running.bin'), bytes(initialRunning(layout)));
}

/** What a process of a way needs of the folder. */
export function readWork(folder: string) {
  const work = JSON.parse(readFileSync(join(folder, 'work.json'), 'utf8')) as Work;
  const read = (name: string) => new Uint8Array(readFileSync(join(folder, `${name}.bin`))).buffer;
  return {
    ...prepare(work),
    images: new Uint8Array(read('images')),
    labels: new Int32Array(read('labels')),
    weights: new Float32Array(read('weights')),
    running: new Float32Array(read('running')),
  };
}

/**
 * A run's own first weights. For embeddings kernels are scaled to variance 1 / inputs: an untrained network
 * has no running statistics that would keep its activations finite through a hundred layers.
 */
function firstWeights({ kind }: Work, layout: Layout): Float32Array {
  const weights = initialWeights(layout, SEED);
  if (kind === 'train') return weights;
  for (const { offset, size, torchShape } of layout.parameters) {
    if (torchShape.length < 2) continue;
    const inputs = torchShape.slice(1).reduce((product, length) => product * length, 1);
    const slot = weights.subarray(offset, offset + size);
    const deviation = Math.sqrt(slot.reduce((sum, value) => sum + value * value, 0) / size);
    for (let i = 0; i < size; i++) slot[i]! /= deviation * Math.sqrt(inputs);
  }
  return weights;
}

function bytes(values: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
