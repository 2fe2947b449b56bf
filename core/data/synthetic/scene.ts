// What differs between two images of one synthetic person: pose, light, expression, what covers the face, and
// the camera. Decides how widely each varies; `difficulty` 0..1 scales all of it.

import { type RandomStream, randomStream } from '../../rng.ts';
import { type Colour, shown } from './colour.ts';

export type Occlusion =
  | { readonly kind: 'none' }
  | { readonly kind: 'glasses'; readonly dark: boolean; readonly round: boolean; readonly frame: Colour }
  | { readonly kind: 'mask'; readonly colour: Colour; readonly top: number }
  | { readonly kind: 'hat'; readonly colour: Colour; readonly brim: number }
  | {
      readonly kind: 'hand';
      /** Place and angle on the image, in half face heights from its middle. */
      readonly x: number;
      readonly y: number;
      readonly angle: number;
    };

export interface Scene {
  /** Radians; yaw to the image's right, pitch down, roll clockwise. */
  readonly yaw: number;
  readonly pitch: number;
  readonly roll: number;
  /** Pixels for a half face height, and the place of the face's middle. */
  readonly scale: number;
  readonly x: number;
  readonly y: number;
  readonly light: {
    /** Unit vector towards the light; x right, y down, z towards the viewer. */
    readonly direction: readonly [number, number, number];
    readonly colour: Colour;
    readonly ambient: Colour;
  };
  readonly expression: {
    /** -0.5 frown .. 1 smile. */
    readonly smile: number;
    readonly open: number;
    /** 0 shut .. 1.15 wide. */
    readonly eyes: number;
    readonly brows: number;
    readonly gaze: readonly [number, number];
  };
  readonly occlusion: Occlusion;
  readonly background: {
    readonly a: Colour;
    readonly b: Colour;
    readonly angle: number;
    readonly texture: number;
  };
  readonly cloth: Colour;
  readonly camera: {
    /** Standard deviation of the blur, pixels. */
    readonly blur: number;
    /** Standard deviation of the noise, grey levels. */
    readonly noise: number;
    readonly gain: number;
    readonly contrast: number;
    readonly saturation: number;
    /** Factor on red against blue. */
    readonly warmth: number;
  };
  /** Seed of whatever has no parameter of its own: noise, background blobs. */
  readonly grain: number;
}

export function drawScene(options: {
  seed: number;
  identity: number;
  image: number;
  difficulty: number;
}): Scene {
  const { difficulty: d } = options;
  const stream = randomStream({
    seed: options.seed,
    purpose: 'face-scene',
    at: [options.identity, options.image],
  });
  const limited = (deviation: number) => deviation * d * Math.max(-1.9, Math.min(1.9, stream.normal()));
  const degrees = Math.PI / 180;
  return {
    yaw: limited(23) * degrees,
    pitch: limited(9) * degrees,
    roll: limited(7) * degrees,
    scale: 50 * (1 + limited(0.07)),
    x: 56 + limited(3.6),
    y: 61 + limited(3.2),
    light: drawLight(stream, d),
    expression: {
      smile: 0.15 + d * stream.uniform(-0.5, 0.85),
      open: stream.chance(0.4 * d) ? d * stream.uniform(0.2, 1) : 0,
      eyes: 1 - d * stream.uniform(-0.12, 0.55) * (stream.chance(0.08) ? 1.6 : 1),
      brows: limited(0.022),
      gaze: [limited(0.022), limited(0.01)],
    },
    occlusion: stream.chance(0.34 * d) ? drawOcclusion(stream) : { kind: 'none' },
    background: {
      a: drawColour(stream),
      b: drawColour(stream),
      angle: stream.uniform(0, 2 * Math.PI),
      texture: stream.uniform(0, d),
    },
    cloth: drawColour(stream),
    camera: {
      blur: 0.35 + d * stream.uniform() ** 2 * 1.5,
      noise: 1 + d * stream.uniform() ** 2 * 10,
      gain: Math.exp(limited(0.27)),
      contrast: 1 + limited(0.12),
      saturation: stream.chance(0.1 * d) ? 0 : 1 + limited(0.2),
      warmth: Math.exp(limited(0.1)),
    },
    grain: stream.integer(2 ** 31),
  };
}

function drawColour(stream: RandomStream): Colour {
  return shown(stream.uniform(20, 235), stream.uniform(20, 235), stream.uniform(20, 235));
}

function drawLight(stream: RandomStream, d: number): Scene['light'] {
  const across = d * stream.uniform(-1.25, 1.25);
  const above = -0.45 + d * stream.uniform(-0.45, 0.6);
  const length = Math.hypot(Math.sin(across), above, Math.cos(across));
  const strength = 0.75 + d * stream.uniform(-0.2, 0.45);
  const tint = d * stream.uniform(-0.2, 0.2);
  const ambient = 0.36 + d * stream.uniform(-0.2, 0.12);
  const ambientTint = d * stream.uniform(-0.2, 0.2);
  return {
    direction: [Math.sin(across) / length, above / length, Math.cos(across) / length],
    colour: [strength * (1 + tint), strength, strength * (1 - tint)],
    ambient: [ambient * (1 + ambientTint), ambient, ambient * (1 - ambientTint)],
  };
}

function drawOcclusion(stream: RandomStream): Occlusion {
  const u = stream.uniform();
  if (u < 0.45)
    return {
      kind: 'glasses',
      dark: stream.chance(0.35),
      round: stream.chance(0.4),
      frame: stream.chance(0.6) ? shown(30, 28, 30) : drawColour(stream),
    };
  if (u < 0.63) return { kind: 'mask', colour: drawColour(stream), top: stream.uniform(0.14, 0.32) };
  if (u < 0.83) return { kind: 'hat', colour: drawColour(stream), brim: stream.uniform(-0.62, -0.4) };
  const left = stream.chance(0.5);
  return {
    kind: 'hand',
    x: (left ? -1 : 1) * stream.uniform(0.35, 0.75),
    y: stream.uniform(0.35, 0.85),
    angle: (left ? 1 : -1) * stream.uniform(0.2, 0.9),
  };
}
