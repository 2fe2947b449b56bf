// What lens and sensor do to a lit scene: a hand before it, blur, exposure, colour, noise, and the bytes.
// Decides their order.

import { randomStream } from '../../rng.ts';
import { SIDE } from '../images/pixels.ts';
import { smooth } from './canvas.ts';
import type { Identity } from './identity.ts';
import type { Scene } from './scene.ts';

/** `light` [SIDE, SIDE, 3] linear is used up; `spare` has its size. */
export function develop(options: {
  light: Float32Array;
  spare: Float32Array;
  person: Identity;
  scene: Scene;
  into: Uint8Array;
}): void {
  const { light, spare, person, scene, into } = options;
  if (scene.occlusion.kind === 'hand') coverWithHand(light, person, scene, scene.occlusion);
  if (scene.camera.blur > 0.2) blur(light, spare, scene.camera.blur);
  expose(light, scene, into);
}

/** Four fingers side by side, entering from below. */
function coverWithHand(
  light: Float32Array,
  person: Identity,
  scene: Scene,
  hand: { x: number; y: number; angle: number },
): void {
  const [r, g, b] = person.skin.colour;
  const bright = scene.light.ambient[1] + 0.7 * scene.light.colour[1];
  const cos = Math.cos(hand.angle);
  const sin = Math.sin(hand.angle);
  for (let row = 0; row < SIDE; row++)
    for (let column = 0; column < SIDE; column++) {
      const x = (column + 0.5 - scene.x) / scene.scale - hand.x;
      const y = (row + 0.5 - scene.y) / scene.scale - hand.y;
      const u = x * cos + y * sin;
      const v = y * cos - x * sin;
      if (Math.abs(u) > 0.36 || v < -0.45) continue;
      const finger = ((u + 0.34) / 0.17) % 1;
      const tip = -0.32 + 0.5 * (Math.abs(u) - 0.05) ** 2 + 0.12 * (finger - 0.5) ** 2;
      const part = smooth(0.35, 0.32, Math.abs(u)) * smooth(tip - 0.02, tip + 0.02, v);
      if (part <= 0) continue;
      const between = v < 0.25 ? 1 - 0.5 * smooth(0.3, 0.5, Math.abs(finger - 0.5)) : 1;
      const at = (row * SIDE + column) * 3;
      light[at]! += (r * bright * between - light[at]!) * part;
      light[at + 1]! += (g * bright * between - light[at + 1]!) * part;
      light[at + 2]! += (b * bright * between - light[at + 2]!) * part;
    }
}

/** Two passes of a five-tap bell, across and down; its width comes from sigma. */
function blur(light: Float32Array, spare: Float32Array, sigma: number): void {
  const near = Math.exp(-0.5 / (sigma * sigma));
  const far = Math.exp(-2 / (sigma * sigma));
  const sum = 1 + 2 * near + 2 * far;
  const taps = [1 / sum, near / sum, far / sum] as const;
  pass(light, spare, 3, SIDE, SIDE * 3, taps);
  pass(spare, light, SIDE * 3, SIDE, 3, taps);
}

/** Filters along `stride` (`length` places), for each of the other places `other` apart; edges repeat. */
function pass(
  from: Float32Array,
  into: Float32Array,
  stride: number,
  length: number,
  other: number,
  [w0, w1, w2]: readonly [number, number, number],
): void {
  for (let line = 0; line < SIDE; line++)
    for (let i = 0; i < length; i++) {
      const base = line * other;
      const at = base + i * stride;
      const l1 = base + Math.max(0, i - 1) * stride;
      const l2 = base + Math.max(0, i - 2) * stride;
      const r1 = base + Math.min(length - 1, i + 1) * stride;
      const r2 = base + Math.min(length - 1, i + 2) * stride;
      for (let c = 0; c < 3; c++)
        into[at + c] =
          w0 * from[at + c]! + w1 * (from[l1 + c]! + from[r1 + c]!) + w2 * (from[l2 + c]! + from[r2 + c]!);
    }
}

function expose(light: Float32Array, scene: Scene, into: Uint8Array): void {
  const { camera } = scene;
  // Rounds and cuts to 0..255 on its own.
  const bytes = new Uint8ClampedArray(into.buffer, into.byteOffset, into.length);
  const red = camera.gain * camera.warmth;
  const blue = camera.gain / camera.warmth;
  const keep = camera.contrast * camera.saturation;
  const toGrey = camera.contrast * (1 - camera.saturation);
  const black = 120 * (1 - camera.contrast);
  let walk = (scene.grain | 1) >>> 0;
  for (let at = 0; at < light.length; at += 3) {
    const r = 255 * Math.sqrt(light[at]! * red);
    const g = 255 * Math.sqrt(light[at + 1]! * camera.gain);
    const b = 255 * Math.sqrt(light[at + 2]! * blue);
    // Noise walks a table of normal numbers by a stride of the image's own (Lehmer's multiplicative walk over
    // odd numbers): a draw of the counter generator for each sample would take longer than the drawing.
    // Sensors err together more than apart.
    walk = Math.imul(walk, 0x915f77f5) >>> 0;
    const place = walk >>> 20;
    const base = black + toGrey * (0.3 * r + 0.59 * g + 0.11 * b) + camera.noise * NORMALS[place]!;
    const apart = 0.5 * camera.noise;
    bytes[at] = base + r * keep + apart * NORMALS[(place + 1 + ((walk >>> 4) & 1023)) & (TABLE - 1)]!;
    bytes[at + 1] = base + g * keep + apart * NORMALS[(place + 1040 + ((walk >>> 7) & 1023)) & (TABLE - 1)]!;
    bytes[at + 2] = base + b * keep + apart * NORMALS[(place + 2070 + ((walk >>> 10) & 1023)) & (TABLE - 1)]!;
  }
}

const TABLE = 4096;
const NORMALS = noiseTable();

function noiseTable(): Float32Array {
  const stream = randomStream({ seed: 0, purpose: 'sensor-noise' });
  return Float32Array.from({ length: TABLE }, () => stream.normal());
}
