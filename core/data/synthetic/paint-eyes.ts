// Paints eyes and brows on the flattened head. Decides their shape from the person's measures and the
// expression of the image.

import {
  around,
  type Box,
  bell,
  type Canvas,
  clearGloss,
  columnOf,
  darken,
  paint,
  placeOf,
  raise,
  smooth,
  TEXELS,
} from './canvas.ts';
import { type Colour, mix, scaled, shown } from './colour.ts';
import type { Identity } from './identity.ts';
import type { Scene } from './scene.ts';

const WHITE = shown(226, 220, 214);
const BLACK = shown(14, 12, 12);
const GLINT = shown(250, 250, 250);

export function paintEyes(canvas: Canvas, person: Identity, scene: Scene): void {
  for (const side of [-1, 1] as const) {
    paintSocket(canvas, person, side);
    paintEye(canvas, person, scene, side);
    paintBrow(canvas, person, scene, side);
  }
}

function paintSocket(canvas: Canvas, { eyes }: Identity, side: -1 | 1): void {
  const x = side * eyes.apart;
  const box = around(x, eyes.y, 0.3, 0.22);
  raise(
    canvas,
    box,
    (px, py) => -0.06 * (0.5 + eyes.depth) * bell((px - x) / 0.26, (py - eyes.y + 0.03) / 0.17),
  );
  darken(canvas, box, (px, py) => 0.22 * eyes.depth * bell((px - x) / 0.26, (py - eyes.y + 0.05) / 0.17));
  const bagY = eyes.y + eyes.height + 0.055;
  darken(canvas, around(x, bagY, 0.16, 0.06), (px, py) => {
    const v = (py - bagY - 0.25 * (px - x) ** 2) / 0.045;
    return 0.4 * eyes.bags * bell((px - x) / 0.16, v);
  });
}

function paintEye(canvas: Canvas, { eyes, skin }: Identity, scene: Scene, side: -1 | 1): void {
  const centre = side * eyes.apart;
  const openness = Math.max(0.06, scene.expression.eyes);
  const box = around(centre, eyes.y, eyes.width * 1.35, eyes.height * 2 + 0.05);
  const lids = lidsOf({ eyes, centre, side, openness });
  const within = (x: number, y: number) => {
    const column = columnOf(x);
    if (Math.abs(lids.along[column]!) >= 1) return 0;
    const below = y - lids.upper[column]!;
    const above = lids.lower[column]! - y;
    return below <= -0.008 || above <= -0.008 ? 0 : smooth(-0.008, 0.01, below) * smooth(-0.008, 0.01, above);
  };
  paint(canvas, box, WHITE, within);
  clearGloss(canvas, box, (x, y) => 0.6 * within(x, y));
  const [gazeX, gazeY] = scene.expression.gaze;
  const irisX = centre + gazeX;
  const irisY = eyes.y - 0.006 + gazeY;
  const disc = (radius: number, soft: number) => (x: number, y: number) =>
    smooth(radius + soft, radius - soft, Math.hypot(x - irisX, y - irisY)) * within(x, y);
  const irisBox = around(irisX, irisY, eyes.irisRadius + 0.03, eyes.irisRadius + 0.03);
  paint(canvas, irisBox, scaled(eyes.iris, 0.4), disc(eyes.irisRadius, 0.012));
  paint(canvas, irisBox, eyes.iris, disc(eyes.irisRadius * 0.8, 0.014));
  paint(canvas, irisBox, BLACK, disc(eyes.irisRadius * 0.42, 0.01));
  paint(
    canvas,
    irisBox,
    GLINT,
    (x, y) => 0.85 * bell((x - irisX + 0.02) / 0.02, (y - irisY + 0.022) / 0.02) * within(x, y),
  );
  paintLids(canvas, box, lids, { lash: mix(BLACK, skin.colour, 0.12), crease: eyes.crease });
}

/** By texel column: place along the eye (-1..1 outwards, beyond at the skin) and the lids' edges. */
interface Lids {
  readonly along: Float64Array;
  readonly upper: Float64Array;
  readonly lower: Float64Array;
}

function lidsOf(eye: { eyes: Identity['eyes']; centre: number; side: -1 | 1; openness: number }): Lids {
  const { eyes, centre, side, openness } = eye;
  const along = Float64Array.from(
    { length: TEXELS },
    (_, column) => ((placeOf(column) - centre) * side) / eyes.width,
  );
  const edge = (rise: (form: number) => number) =>
    along.map((place) => {
      const u = Math.max(-1, Math.min(1, place));
      return eyes.y - eyes.tilt * u + (1 - openness) * eyes.height * 0.45 + rise(1 - u * u);
    });
  return {
    along,
    upper: edge((form) => -eyes.height * openness * form ** 0.7),
    lower: edge((form) => eyes.height * 0.62 * openness * form),
  };
}

function paintLids(
  canvas: Canvas,
  box: Box,
  lids: Lids,
  look: { readonly lash: Colour; readonly crease: number },
): void {
  paint(canvas, box, look.lash, (x, y) => {
    const column = columnOf(x);
    const u = lids.along[column]!;
    if (u < -1.02 || u > 1.1) return 0;
    return 0.9 * bell(0, (y - lids.upper[column]!) / (0.02 + 0.008 * u)) * smooth(-1.1, -0.7, u);
  });
  darken(canvas, box, (x, y) => {
    const column = columnOf(x);
    const u = lids.along[column]!;
    if (u < -1 || u > 1.15) return 0;
    const rise = 0.045 + 0.01 * look.crease;
    const crease = 0.5 * look.crease * bell(0, (y - lids.upper[column]! + rise) / 0.022);
    return crease + 0.35 * bell(0, (y - lids.lower[column]!) / 0.014) * smooth(-1, -0.4, u);
  });
}

function paintBrow(canvas: Canvas, person: Identity, scene: Scene, side: -1 | 1): void {
  const { brows, eyes } = person;
  const centre = side * (eyes.apart + 0.012);
  const y = eyes.y - brows.gap - scene.expression.brows;
  const box = around(centre, y, brows.length * 1.2, 0.16);
  const line = (u: number) => y - brows.tilt * u - brows.arch * (1 - u * u);
  paint(canvas, box, brows.colour, (px, py) => {
    const u = ((px - centre) * side) / brows.length;
    if (u <= -1.05 || u >= 1.05) return 0;
    // Thick at the nose, thin at the temple.
    const thickness = brows.thickness * (1.15 - 0.5 * (u + 1) * 0.5);
    return (
      brows.density *
      1.15 *
      bell(0, (py - line(u)) / (thickness * 1.5)) *
      smooth(1.05, 0.8, Math.abs(u)) ** 0.5
    );
  });
  raise(
    canvas,
    around(centre, y + 0.02, 0.3, 0.12),
    (px, py) => 0.03 * bell((px - centre) / 0.3, (py - y - 0.02) / 0.12),
  );
}
