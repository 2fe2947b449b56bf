// How an image is scaled beyond 112 pixels and cut out, against values worked out by hand.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutSquare, IMAGE_BYTES, type Pixels, scaleShorter } from '../../../../core/data/images/pixels.ts';

const flat = (width: number, height: number, value: number): Pixels => ({
  width,
  height,
  rgb: new Uint8Array(width * height * 3).fill(value),
});

/** Grey that rises by one a column. */
const ramp = (width: number, height: number): Pixels => ({
  width,
  height,
  rgb: Uint8Array.from({ length: width * height * 3 }, (_, i) => Math.floor(i / 3) % width),
});

test('the shorter side becomes the one asked for, the longer one follows, and a flat image stays flat', () => {
  for (const [width, height, across, down] of [
    [112, 112, 128, 128],
    [112, 140, 128, 160],
    [300, 201, 191, 128],
    [64, 50, 163, 128],
    // Beyond eight times as long as wide the ends are left out.
    [2000, 20, 1024, 128],
  ] as const) {
    const scaled = scaleShorter(flat(width, height, 77), 128);
    assert.deepEqual([scaled.width, scaled.height], [across, down]);
    assert.equal(scaled.rgb.length, across * down * 3);
    assert.ok(scaled.rgb.every((value) => value === 77));
  }
  const same = ramp(128, 130);
  assert.deepEqual(scaleShorter(same, 128), same);
});

test('values between two pixels are those of a straight line', () => {
  // Doubling: output x lies at (x + 0.5) / 2 - 0.5 of the ramp, so 0, 0.25, 0.75, 1.25, ... before rounding.
  const scaled = scaleShorter(ramp(64, 64), 128);
  const row = Array.from({ length: 128 }, (_, x) => scaled.rgb[x * 3]);
  assert.deepEqual(
    row,
    Array.from({ length: 128 }, (_, x) => Math.round(Math.min(63, Math.max(0, (x + 0.5) / 2 - 0.5)))),
  );
});

test('a cut begins at the place drawn, and the last place that fits is reached', () => {
  const image = ramp(128, 120);
  const into = new Uint8Array(IMAGE_BYTES);
  for (const [across, left] of [
    [0, 0],
    [0.5, 8],
    [1 - 2 ** -32, 16],
  ] as const) {
    cutSquare(image, [across, 0.99], into);
    assert.deepEqual([into[0], into[111 * 3], into[IMAGE_BYTES - 1]], [left, left + 111, left + 111]);
  }
});
