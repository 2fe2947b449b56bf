// Lights the painted head and puts it before its background. The head is an ellipsoid that narrows towards
// the chin; one parallel ray for each pixel meets it in closed form. The canvas is its skin, and the heights
// of the canvas are relief, which shifts with the view and turns the surface towards or away from the light.
// Decides geometry and lighting.

import { SIDE } from '../images/pixels.ts';
import { backdropOf } from './backdrop.ts';
import { type Canvas, DENSITY, smooth, TEXELS } from './canvas.ts';
import type { Identity } from './identity.ts';
import type { Scene } from './scene.ts';

/** Writes linear light [SIDE, SIDE, 3]. */
export function shade(canvas: Canvas, person: Identity, scene: Scene, out: Float32Array): void {
  const backdrop = backdropOf(person, scene);
  const head = headOf(person, scene);
  const light = lightingOf(head, scene, person.skin.gloss);
  const cos = Math.cos(scene.roll) / scene.scale;
  const sin = Math.sin(scene.roll) / scene.scale;
  const behind = new Float32Array(3);
  const front = new Float32Array(3);
  for (let row = 0; row < SIDE; row++)
    for (let column = 0; column < SIDE; column++) {
      const dx = column + 0.5 - scene.x;
      const dy = row + 0.5 - scene.y;
      const x = dx * cos + dy * sin;
      const y = dy * cos - dx * sin;
      const at = (row * SIDE + column) * 3;
      const inside = meet(head, x, y);
      if (inside < 1) backdrop(x, y, behind);
      if (inside > 0) lit(canvas, head, light, front);
      for (let c = 0; c < 3; c++)
        out[at + c] =
          inside <= 0 ? behind[c]! : front[c]! * inside + (inside < 1 ? behind[c]! * (1 - inside) : 0);
    }
}

interface Head {
  /** Rows of the rotation from head to view. */
  readonly right: readonly [number, number, number];
  readonly down: readonly [number, number, number];
  /** Direction to the viewer, in the head's frame. */
  readonly viewer: readonly [number, number, number];
  /** Half axes across, down, deep. */
  readonly axes: readonly [number, number, number];
  /**
   * Width left at y = -1.5 .. 1.5, in steps of 1/64: a power for each pixel would cost as much as all its
   * lighting.
   */
  readonly widths: Float64Array;
  readonly pitchShift: number;
  /** Where the last ray met the head, in its frame. */
  readonly hit: Float64Array;
}

function headOf(person: Identity, scene: Scene): Head {
  const cy = Math.cos(scene.yaw);
  const sy = Math.sin(scene.yaw);
  const cp = Math.cos(scene.pitch);
  const sp = Math.sin(scene.pitch);
  // View = pitch (about x) after yaw (about y); rows of that matrix are the view's axes in the head's frame.
  return {
    right: [cy, 0, sy],
    down: [sp * sy, cp, -sp * cy],
    viewer: [-cp * sy, sp, cp * cy],
    axes: [person.head.width, 1, person.head.depth],
    widths: Float64Array.from({ length: 193 }, (_, i) =>
      widthAt(person.head.taper, person.head.square, i / 64 - 1.5),
    ),
    pitchShift: sp * person.head.depth * 0.6,
    hit: new Float64Array(3),
  };
}

/** How much of the head's width is left at height y: 1 down to the cheeks, less towards the chin. */
function widthAt(taper: number, square: number, y: number): number {
  return y <= -0.1 ? 1 : 1 - taper * Math.min(1.2, (y + 0.1) / 1.1) ** square;
}

/**
 * Meets the ray through (x, y) with the head; returns how much of the pixel is covered, and leaves the place
 * in `hit`.
 */
function meet(head: Head, x: number, y: number): number {
  const step = Math.max(0, Math.min(192, Math.round((y + head.pitchShift + 1.5) * 64)));
  const narrowed = x / head.widths[step]!;
  const [ax, ay, az] = head.axes;
  const ox = (head.right[0] * narrowed + head.down[0] * y) / ax;
  const oy = (head.right[1] * narrowed + head.down[1] * y) / ay;
  const oz = (head.right[2] * narrowed + head.down[2] * y) / az;
  const vx = head.viewer[0] / ax;
  const vy = head.viewer[1] / ay;
  const vz = head.viewer[2] / az;
  const a = vx * vx + vy * vy + vz * vz;
  const b = ox * vx + oy * vy + oz * vz;
  const c = ox * ox + oy * oy + oz * oz - 1;
  const discriminant = b * b - a * c;
  // Within about a pixel of the edge the pixel is partly covered.
  const coverage = smooth(-0.035, 0.035, discriminant);
  if (coverage <= 0) return 0;
  const t = (-b + Math.sqrt(Math.max(0, discriminant))) / a;
  head.hit[0] = (ox + t * vx) * ax;
  head.hit[1] = (oy + t * vy) * ay;
  head.hit[2] = (oz + t * vz) * az;
  return coverage;
}

interface Lighting {
  /** Towards the light, and half way between it and the viewer, in the head's frame. */
  readonly direction: readonly [number, number, number];
  readonly half: readonly [number, number, number];
  readonly scene: Scene['light'];
  readonly gloss: number;
}

function lightingOf(head: Head, scene: Scene, gloss: number): Lighting {
  const [lx, ly, lz] = scene.light.direction;
  const toHead = (i: 0 | 1 | 2) => lx * head.right[i] + ly * head.down[i] + lz * head.viewer[i];
  const direction = [toHead(0), toHead(1), toHead(2)] as const;
  const half = direction.map((d, i) => d + head.viewer[i]!);
  const length = Math.hypot(...half);
  return {
    direction,
    half: [half[0]! / length, half[1]! / length, half[2]! / length],
    scene: scene.light,
    gloss,
  };
}

function lit(canvas: Canvas, head: Head, light: Lighting, into: Float32Array): void {
  const [x, y, z] = head.hit as unknown as [number, number, number];
  const { albedo, height, gloss } = canvas;
  // Relief seen from aside: the ray meets a rise before it would meet the skull under it.
  const depth = Math.max(0.35, head.viewer[2]);
  const first = texelAt(x, y);
  const rise = height[first]!;
  const texel = texelAt(x + (rise * head.viewer[0]) / depth, y + (rise * head.viewer[1]) / depth);
  const left = texel - (texel % TEXELS === 0 ? 0 : 1);
  const right = texel + (texel % TEXELS === TEXELS - 1 ? 0 : 1);
  const above = texel < TEXELS ? texel : texel - TEXELS;
  const below = texel >= TEXELS * (TEXELS - 1) ? texel : texel + TEXELS;
  const slope = DENSITY * 0.5;
  // The painted front does not reach round the sides, so relief fades out there.
  const frontal = Math.max(0, Math.min(1, (z / head.axes[2]) * 2));
  const [ax, , az] = head.axes;
  let nx = x / (ax * ax) - (height[right]! - height[left]!) * slope * frontal;
  let ny = y - (height[below]! - height[above]!) * slope * frontal;
  let nz = z / (az * az);
  const length = 1 / Math.sqrt(nx * nx + ny * ny + nz * nz);
  nx *= length;
  ny *= length;
  nz *= length;
  const [lx, ly, lz] = light.direction;
  // Light scatters through skin round edges, so the fall-off begins a little behind the terminator.
  const diffuse = Math.max(0, (nx * lx + ny * ly + nz * lz + 0.15) / 1.15);
  const [hx, hy, hz] = light.half;
  const shine = Math.max(0, nx * hx + ny * hy + nz * hz);
  const squared = shine * shine;
  const fourth = squared * squared;
  const specular = light.gloss * gloss[texel]! * fourth * fourth * fourth * fourth;
  const openSky = 0.8 - 0.2 * ny;
  for (let c = 0; c < 3; c++)
    into[c] =
      albedo[texel * 3 + c]! * (light.scene.ambient[c]! * openSky + light.scene.colour[c]! * diffuse) +
      specular * light.scene.colour[c]!;
}

function texelAt(x: number, y: number): number {
  const column = Math.max(0, Math.min(TEXELS - 1, ((x + 1.1) * DENSITY) | 0));
  const row = Math.max(0, Math.min(TEXELS - 1, ((y + 1.1) * DENSITY) | 0));
  return row * TEXELS + column;
}
