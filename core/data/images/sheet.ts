// A contact sheet: some identities, a row for each, as one PNG, so that a person can see what a network is
// shown. Decides which images stand where.

import { FleetError } from '../../errors.ts';
import type { Dataset } from '../dataset.ts';
import { encodePng } from './image.ts';
import { IMAGE_BYTES, SIDE } from './pixels.ts';

const GAP = 2;

/** Training identities first, then held-out ones; at most `identities` rows of at most `images` images. */
export async function contactSheet(
  dataset: Dataset,
  options: { identities: number; images: number },
): Promise<Buffer> {
  const rows = [...rowsOf(dataset, 'training', options), ...rowsOf(dataset, 'heldOut', options)].slice(
    0,
    options.identities,
  );
  const columns = Math.max(0, ...rows.map((row) => row.indices.length));
  if (columns === 0)
    throw new FleetError('invalidArgument', 'a sheet needs at least one identity and one image');
  const width = columns * (SIDE + GAP) - GAP;
  const height = rows.length * (SIDE + GAP) - GAP;
  const rgb = new Uint8Array(width * height * 3).fill(255);
  const pixels = new Uint8Array(IMAGE_BYTES);
  for (const [row, { split, indices }] of rows.entries())
    for (const [column, index] of indices.entries()) {
      await dataset[split].read(index, pixels);
      for (let y = 0; y < SIDE; y++)
        rgb.set(
          pixels.subarray(y * SIDE * 3, (y + 1) * SIDE * 3),
          ((row * (SIDE + GAP) + y) * width + column * (SIDE + GAP)) * 3,
        );
    }
  return encodePng({ width, height, rgb });
}

function rowsOf(
  dataset: Dataset,
  split: 'training' | 'heldOut',
  options: { identities: number; images: number },
): { split: 'training' | 'heldOut'; indices: number[] }[] {
  const rows = new Map<number, number[]>();
  for (let index = 0; index < dataset[split].size; index++) {
    const label = dataset[split].label(index);
    const row = rows.get(label) ?? [];
    if (!rows.has(label)) {
      if (rows.size === options.identities) continue;
      rows.set(label, row);
    }
    if (row.length < options.images) row.push(index);
  }
  return [...rows.values()].map((indices) => ({ split, indices }));
}
