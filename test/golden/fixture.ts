// Reads golden fixtures: tensors by name in the shapes that this project uses, networks from a fixture's metadata, and the
// measures that the fixtures' tolerances are stated in. Decides no tolerance.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { FleetError } from '../../core/errors.ts';
import { importSlots } from '../../core/model/export.ts';
import { readSafetensors, type StoredTensor } from '../../core/model/safetensors.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import type { Slot } from '../../core/nn/layout.ts';
import type { Network } from '../../core/nn/network.ts';
import { networkSchema } from '../../core/spec/network.ts';

export interface Fixture {
  readonly file: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

export function openFixture(path: string): Fixture {
  const file = basename(path);
  return { file, ...readSafetensors(readFileSync(path), file) };
}

/** A metadata value that must be there. */
export function meta(fixture: Fixture, key: string): string {
  const value = fixture.metadata[key];
  if (value === undefined)
    throw new FleetError('invalidArgument', `${fixture.file} has no metadata key ${key}`);
  return value;
}

export function stored(fixture: Fixture, name: string): StoredTensor {
  const tensor = fixture.tensors.get(name);
  if (tensor === undefined) throw new FleetError('invalidArgument', `${fixture.file} has no tensor ${name}`);
  return tensor;
}

export function floats(fixture: Fixture, name: string): Float32Array {
  const { data, dtype } = stored(fixture, name);
  if (!(data instanceof Float32Array))
    throw new FleetError('invalidArgument', `${fixture.file}: ${name} is ${dtype}, F32 expected`);
  return data;
}

export function integers(fixture: Fixture, name: string): Int32Array {
  const { data, dtype } = stored(fixture, name);
  if (!(data instanceof Int32Array))
    throw new FleetError('invalidArgument', `${fixture.file}: ${name} is ${dtype}, I32 expected`);
  return data;
}

/** Bytes N,C,H,W, in any number of leading dimensions, as N,H,W,C. */
export function imageBytes(fixture: Fixture, name: string): { images: Uint8Array; count: number } {
  const { data, shape, dtype } = stored(fixture, name);
  if (!(data instanceof Uint8Array))
    throw new FleetError('invalidArgument', `${fixture.file}: ${name} is ${dtype}, U8 expected`);
  return { images: channelsLast(data, shape, new Uint8Array(data.length)), count: shape.at(-4) ?? 1 };
}

/** Values of [..., C, H, W] as [..., H, W, C]. */
export function channelsLast<T extends Uint8Array | Float32Array>(
  data: T,
  shape: readonly number[],
  into: T,
): T {
  const [channels = 1, height = 1, width = 1] = shape.slice(-3);
  const area = height * width;
  for (let image = 0; image * channels * area < data.length; image++) {
    const base = image * channels * area;
    for (let channel = 0; channel < channels; channel++)
      for (let place = 0; place < area; place++)
        into[base + place * channels + channel] = data[base + channel * area + place]!;
  }
  return into;
}

/** Slots' tensors under a prefix as one flat vector in our layout. */
export function slots(
  fixture: Fixture,
  prefix: string,
  chosen: readonly Slot[],
  count: number,
): Float32Array {
  return importSlots({ slots: chosen, count, tensors: fixture.tensors, prefix, where: fixture.file });
}

/** The network that a fixture's metadata describes. */
export function networkOf(fixture: Fixture): Network {
  const embedding = Number(meta(fixture, 'embedding'));
  if (fixture.metadata.network === 'IResNet')
    return buildNetwork(
      networkSchema.parse({
        kind: 'iresnet',
        blocks: JSON.parse(meta(fixture, 'layers')),
        widths: JSON.parse(meta(fixture, 'stage_widths')),
        stem: Number(meta(fixture, 'stem_width')),
        embedding,
      }),
    );
  return buildNetwork(
    networkSchema.parse({
      kind: 'pocketnet',
      channels: Number(meta(fixture, 'C')),
      layers: Number(meta(fixture, 'layers')),
      embedding,
      genotype: JSON.parse(meta(fixture, 'genotype')),
    }),
  );
}

export function largest(values: ArrayLike<number>): number {
  let found = 0;
  for (let i = 0; i < values.length; i++) found = Math.max(found, Math.abs(values[i]!));
  return found;
}

/** max|a-b|; infinite for different lengths or a value that is not a number. */
export function absolute(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let found = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (Number.isNaN(difference)) return Number.POSITIVE_INFINITY;
    found = Math.max(found, difference);
  }
  return found;
}

/** max|a-b| / max|b|, the fixtures' `max`. */
export function relative(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return absolute(a, b) / largest(b);
}

/** ||a-b|| / ||b||, the fixtures' `L2`; several pairs are taken together. */
export function euclidean(pairs: readonly (readonly [ArrayLike<number>, ArrayLike<number>])[]): number {
  let difference = 0;
  let norm = 0;
  for (const [a, b] of pairs) {
    if (a.length !== b.length) return Number.POSITIVE_INFINITY;
    for (let i = 0; i < a.length; i++) {
      difference += (a[i]! - b[i]!) ** 2;
      norm += b[i]! ** 2;
    }
  }
  const result = Math.sqrt(difference / norm);
  return Number.isNaN(result) ? Number.POSITIVE_INFINITY : result;
}

/** a - b in double precision: what changed between two states. */
export function movement(a: Float32Array, b: Float32Array): Float64Array {
  return Float64Array.from(a, (value, i) => value - b[i]!);
}

export function part(slot: Slot, vector: Float32Array): Float32Array {
  return vector.subarray(slot.offset, slot.offset + slot.size);
}
