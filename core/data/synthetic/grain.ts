// Smooth noise from one fixed table, for mottled skin, strands of hair and backgrounds. Decides the table,
// which is the same for every person and image.

import { uniforms } from '../../rng.ts';

const SIDE = 64;
const TABLE = Float32Array.from(uniforms(0, 'grain', SIDE * SIDE), (u) => 2 * u - 1);

/** -1..1, bilinear between table entries, periodic. */
export function grain(x: number, y: number): number {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const fx = x - left;
  const fy = y - top;
  const x0 = left & (SIDE - 1);
  const x1 = (left + 1) & (SIDE - 1);
  const y0 = (top & (SIDE - 1)) * SIDE;
  const y1 = ((top + 1) & (SIDE - 1)) * SIDE;
  const above = TABLE[y0 + x0]! + (TABLE[y0 + x1]! - TABLE[y0 + x0]!) * fx;
  const below = TABLE[y1 + x0]! + (TABLE[y1 + x1]! - TABLE[y1 + x0]!) * fx;
  return above + (below - above) * fy;
}

/** Side of the field that `mottle` reads from: a head's texels and room to shift by. */
const FIELD = 192;
const MOTTLES = Float32Array.from({ length: FIELD * FIELD }, (_, i) => {
  const x = i % FIELD;
  const y = Math.floor(i / FIELD);
  return 1 + 0.05 * grain(x * 0.11, y * 0.11) + 0.04 * grain(x * 0.45 + 9, y * 0.45);
});

/**
 * Brightness about 1 of mottled skin at a texel; `shift` 0..63 moves the pattern, so that people differ.
 * Computed once for all.
 */
export const mottle = (column: number, row: number, shift: number): number =>
  MOTTLES[(row + shift) * FIELD + column + shift]!;
