// A model file becomes a network with its weights: the file is opened, its network recognised, and one tensor
// after the other read into the flat vectors. Decides which metadata goes on with the model.

import { FleetError } from '../errors.ts';
import { type Layout, layoutOf, type Slot } from '../nn/layout.ts';
import type { Network } from '../nn/network.ts';
import { exportSafetensors, fromTorch } from './export.ts';
import { type NetworkHint, recognise } from './recognise.ts';
import { openStateFile, type StateFile } from './state-file.ts';

export interface ImportedModel {
  readonly network: Network;
  readonly layout: Layout;
  /** Backbone parameters; a model has no head. */
  readonly weights: Float32Array;
  readonly running: Float32Array;
  /** Of a safetensors file. */
  readonly metadata: Readonly<Record<string, string>>;
  /** How the network was recognised. */
  readonly reason: string;
  readonly format: StateFile['format'];
}

export async function importModel(path: string, hint?: NetworkHint): Promise<ImportedModel> {
  return withStateFile(path, async (file) => {
    const { network, reason } = recogniseFile(file, hint);
    const layout = layoutOf(network);
    return {
      network,
      layout,
      weights: await readSlots(file, layout.parameters, layout.parameterCount),
      running: await readSlots(file, layout.running, layout.runningCount),
      metadata: file.metadata,
      reason,
      format: file.format,
    };
  });
}

/** The network alone; no tensor is read. */
export async function inspectModel(
  path: string,
  hint?: NetworkHint,
): Promise<Pick<ImportedModel, 'network' | 'metadata' | 'reason' | 'format'>> {
  return withStateFile(path, async (file) => ({
    ...recogniseFile(file, hint),
    metadata: file.metadata,
    format: file.format,
  }));
}

/** The model as a safetensors file that names its network and pre-processing. */
export function modelFile(model: ImportedModel): Uint8Array {
  return exportSafetensors({ ...model, metadata: carried(model.metadata) });
}

/** A file's own metadata goes on with the model, except what is written anew. */
export function carried(metadata: Readonly<Record<string, string>>): Record<string, string> {
  const { network: _, preprocessing: __, ...others } = metadata;
  return others;
}

function recogniseFile(file: StateFile, hint: NetworkHint | undefined) {
  const shapes = new Map([...file.tensors].map(([name, { shape }]) => [name, shape]));
  return recognise({ shapes, metadata: file.metadata, hint, where: file.where });
}

async function readSlots(file: StateFile, slots: readonly Slot[], count: number): Promise<Float32Array> {
  const vector = new Float32Array(count);
  for (const slot of slots) {
    const tensor = file.tensors.get(slot.name);
    if (tensor === undefined)
      throw new FleetError('internal', `${slot.name} was recognised and is not there`);
    const values = await tensor.read();
    if (!values.every(Number.isFinite))
      throw new FleetError('outOfRange', `${file.where}: tensor ${slot.name} has values that are not finite`);
    fromTorch(slot, values, vector.subarray(slot.offset, slot.offset + slot.size));
  }
  return vector;
}

async function withStateFile<T>(path: string, use: (file: StateFile) => Promise<T>): Promise<T> {
  const file = await openStateFile(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}
