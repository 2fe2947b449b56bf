// A trained network as a safetensors file and back, under the names and in the layouts of the reference's
// state_dict, so that PyTorch code of the reference loads it and its weights come here. Decides that the head
// is no part of a model: a phone gets an embedding network. Pure.

import { FleetError } from '../errors.ts';
import { buildNetwork } from '../nn/build.ts';
import type { Layout, Slot } from '../nn/layout.ts';
import type { Network } from '../nn/network.ts';
import { canonicalJson } from '../spec/canonical-json.ts';
import { networkSchema } from '../spec/network.ts';
import { readSafetensors, type SafetensorsFile, type StoredTensor, writeSafetensors } from './safetensors.ts';

/** Metadata key under which a file names its network. */
const NETWORK_KEY = 'network';

/** `steps` is what PyTorch's batch norms count as num_batches_tracked; nothing here reads it. */
export function exportSafetensors(options: {
  network: Network;
  layout: Layout;
  weights: Float32Array;
  running: Float32Array;
  metadata?: Readonly<Record<string, string>>;
  steps?: number;
}): Uint8Array {
  const { network, layout, weights, running } = options;
  const tensors = new Map<string, StoredTensor>();
  for (const slot of layout.parameters)
    if (slot.role !== 'head' && slot.role !== 'adapter') tensors.set(slot.name, stored(slot, weights));
  for (const slot of layout.running) {
    tensors.set(slot.name, stored(slot, running));
    if (slot.role === 'running_var')
      tensors.set(slot.name.replace(/running_var$/, 'num_batches_tracked'), {
        dtype: 'I64',
        shape: [],
        data: BigInt64Array.of(BigInt(options.steps ?? 0)),
      });
  }
  return writeSafetensors(tensors, {
    format: 'pt',
    ...options.metadata,
    [NETWORK_KEY]: canonicalJson(network.spec),
    preprocessing: '112x112 RGB, (x/255 - 0.5)/0.5, N,C,H,W',
  });
}

export interface ImportedModel {
  readonly network: Network;
  readonly metadata: Readonly<Record<string, string>>;
  readonly file: SafetensorsFile;
}

/** Reads a file that names its network, as exported here. */
export function readModel(bytes: Uint8Array, where: string): ImportedModel {
  const file = readSafetensors(bytes, where);
  const text = file.metadata[NETWORK_KEY];
  try {
    const network = buildNetwork(networkSchema.parse(JSON.parse(text ?? '')));
    return { network, metadata: file.metadata, file };
  } catch (cause) {
    throw new FleetError(
      'invalidArgument',
      `${where} does not name its network (metadata key ${NETWORK_KEY}: ${text ?? 'missing'}); give the network's spec with it`,
      { cause },
    );
  }
}

/**
 * Flat weights and running statistics from tensors with state_dict names under `prefix`. Every slot must be
 * there in its shape (the head too, when the layout has one); num_batches_tracked and other surplus tensors
 * are ignored.
 */
export function importState(options: {
  layout: Layout;
  tensors: ReadonlyMap<string, StoredTensor>;
  prefix?: string;
  where: string;
}): { weights: Float32Array; running: Float32Array } {
  const { layout } = options;
  return {
    weights: importSlots({ ...options, slots: layout.parameters, count: layout.parameterCount }),
    running: importSlots({ ...options, slots: layout.running, count: layout.runningCount }),
  };
}

/** One flat vector from the tensors of some slots. */
export function importSlots(options: {
  slots: readonly Slot[];
  count: number;
  tensors: ReadonlyMap<string, StoredTensor>;
  prefix?: string;
  where: string;
}): Float32Array {
  const vector = new Float32Array(options.count);
  for (const slot of options.slots) {
    const name = `${options.prefix ?? ''}${slot.name}`;
    const tensor = options.tensors.get(name);
    if (tensor === undefined)
      throw new FleetError(
        'invalidArgument',
        `${options.where} has no tensor ${name}; is it another network?`,
      );
    if (tensor.dtype !== 'F32' || tensor.shape.join() !== slot.torchShape.join())
      throw new FleetError(
        'invalidArgument',
        `${options.where}: tensor ${name} is ${tensor.dtype} [${tensor.shape}], F32 [${slot.torchShape}] expected`,
      );
    fromTorch(slot, tensor.data as Float32Array, vector.subarray(slot.offset, slot.offset + slot.size));
  }
  return vector;
}

function stored(slot: Slot, vector: Float32Array): StoredTensor {
  return { dtype: 'F32', shape: slot.torchShape, data: toTorch(slot, vector) };
}

/** A slot's values in the order of its PyTorch shape. */
export function toTorch(slot: Slot, vector: Float32Array): Float32Array {
  const data = new Float32Array(slot.size);
  const own = vector.subarray(slot.offset, slot.offset + slot.size);
  eachPlace(slot, (torchIndex, index) => {
    data[torchIndex] = own[index] ?? 0;
  });
  return data;
}

/** Values in the order of the PyTorch shape into a slot's own order. */
export function fromTorch(slot: Slot, data: Float32Array, into: Float32Array): void {
  eachPlace(slot, (torchIndex, index) => {
    into[index] = data[torchIndex] ?? 0;
  });
}

/** Visits all elements in PyTorch order with their index in the slot's shape. */
function eachPlace(slot: Slot, visit: (torchIndex: number, index: number) => void): void {
  const strides = slot.torchAxes.map((axis) =>
    slot.shape.slice(axis + 1).reduce((product, n) => product * n, 1),
  );
  const position = slot.torchShape.map(() => 0);
  let index = 0;
  for (let torchIndex = 0; torchIndex < slot.size; torchIndex++) {
    visit(torchIndex, index);
    for (let axis = position.length - 1; axis >= 0; axis--) {
      index += strides[axis] ?? 0;
      position[axis] = (position[axis] ?? 0) + 1;
      if ((position[axis] ?? 0) < (slot.torchShape[axis] ?? 0)) break;
      index -= (strides[axis] ?? 0) * (position[axis] ?? 0);
      position[axis] = 0;
    }
  }
}
