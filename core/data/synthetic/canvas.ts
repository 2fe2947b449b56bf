// The flattened front of a head: albedo and height over x, y in -1.1..1.1 half face heights, painted feature
// by feature before it is lit. Decides the resolution, and how one layer of paint covers another.

import type { Colour } from './colour.ts';

/** Texels of a side; about 1.1 for each pixel of the final image. */
export const TEXELS = 120;
/** Texels for one half face height. */
export const DENSITY = TEXELS / 2.2;

export interface Canvas {
  /** [TEXELS, TEXELS, 3] linear albedo. */
  readonly albedo: Float32Array;
  /** [TEXELS, TEXELS] rise above the skull, half face heights. */
  readonly height: Float32Array;
  /** [TEXELS, TEXELS] share of skin (1) against hair, cloth and others (0), which shine less. */
  readonly gloss: Float32Array;
}

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export function createCanvas(): Canvas {
  return {
    albedo: new Float32Array(TEXELS * TEXELS * 3),
    height: new Float32Array(TEXELS * TEXELS),
    gloss: new Float32Array(TEXELS * TEXELS),
  };
}

export const around = (x: number, y: number, halfWidth: number, halfHeight: number): Box => ({
  left: x - halfWidth,
  right: x + halfWidth,
  top: y - halfHeight,
  bottom: y + halfHeight,
});

/** The texel column of a place across, and the place of a column's middle. */
export const columnOf = (x: number): number => ((x + 1.1) * DENSITY) | 0;
export const placeOf = (column: number): number => (column + 0.5) / DENSITY - 1.1;

/** Calls `visit` with texel number and place for each texel in the box. */
export function eachTexel(box: Box, visit: (texel: number, x: number, y: number) => void): void {
  const left = Math.max(0, Math.floor((box.left + 1.1) * DENSITY));
  const right = Math.min(TEXELS - 1, Math.ceil((box.right + 1.1) * DENSITY));
  const top = Math.max(0, Math.floor((box.top + 1.1) * DENSITY));
  const bottom = Math.min(TEXELS - 1, Math.ceil((box.bottom + 1.1) * DENSITY));
  for (let row = top; row <= bottom; row++) {
    const y = (row + 0.5) / DENSITY - 1.1;
    for (let column = left; column <= right; column++)
      visit(row * TEXELS + column, (column + 0.5) / DENSITY - 1.1, y);
  }
}

/** Covers with a colour, by the share (0..1) that `cover` gives at each place. */
export function paint(
  canvas: Canvas,
  box: Box,
  colour: Colour,
  cover: (x: number, y: number) => number,
): void {
  const { albedo } = canvas;
  eachTexel(box, (texel, x, y) => {
    const part = cover(x, y);
    if (part <= 0) return;
    for (let c = 0; c < 3; c++) albedo[texel * 3 + c]! += (colour[c]! - albedo[texel * 3 + c]!) * part;
  });
}

/** Multiplies the albedo by 1 - share. */
export function darken(canvas: Canvas, box: Box, share: (x: number, y: number) => number): void {
  const { albedo } = canvas;
  eachTexel(box, (texel, x, y) => {
    const left = 1 - share(x, y);
    albedo[texel * 3]! *= left;
    albedo[texel * 3 + 1]! *= left;
    albedo[texel * 3 + 2]! *= left;
  });
}

export function raise(canvas: Canvas, box: Box, rise: (x: number, y: number) => number): void {
  const { height } = canvas;
  eachTexel(box, (texel, x, y) => {
    height[texel]! += rise(x, y);
  });
}

export function clearGloss(canvas: Canvas, box: Box, cover: (x: number, y: number) => number): void {
  eachTexel(box, (texel, x, y) => {
    canvas.gloss[texel]! *= 1 - Math.max(0, Math.min(1, cover(x, y)));
  });
}

/** 0 below `from`, 1 above `to`, smooth between; `from` may be the larger. */
export function smooth(from: number, to: number, at: number): number {
  const t = Math.max(0, Math.min(1, (at - from) / (to - from)));
  return t * t * (3 - 2 * t);
}

/** A bell that is exactly zero from radius 1 on: cheaper than an exponential, and bounded. */
export function bell(u: number, v: number): number {
  const left = 1 - u * u - v * v;
  return left <= 0 ? 0 : left * left;
}
