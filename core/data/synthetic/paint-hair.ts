// Paints the hair over the forehead, and what may cover a face: glasses, a mask, a hat. Decides hairlines,
// fringes and the outlines of those things.

import {
  around,
  type Canvas,
  clearGloss,
  DENSITY,
  darken,
  eachTexel,
  paint,
  raise,
  smooth,
  TEXELS,
} from './canvas.ts';
import { type Colour, scaled, shown } from './colour.ts';
import { grain } from './grain.ts';
import type { Identity } from './identity.ts';
import type { Scene } from './scene.ts';

const LENS = shown(20, 20, 24);

export function paintHair(canvas: Canvas, person: Identity): void {
  const { hair } = person;
  if (hair.style === 'bald') return;
  const cover = hairCover(person);
  const dark = scaled(hair.colour, 0.55);
  const { albedo, height, gloss } = canvas;
  eachTexel({ left: -1, right: 1, top: -1.1, bottom: 1.1 }, (texel, x, y) => {
    const part = cover(texel % TEXELS, y);
    const shadow = part === 1 || y > 0.3 ? 0 : 0.3 * cover(texel % TEXELS, y - 0.05) * (1 - part);
    if (part <= 0 && shadow <= 0) return;
    // Curly hair is spotted, straight hair striped.
    const strand = part <= 0 ? 0 : smooth(-0.1, 0.7, grain(x * 26 + 2 * y, y * (4 + 20 * hair.curl)));
    for (let c = 0; c < 3; c++) {
      const at = texel * 3 + c;
      const hairy = hair.colour[c]! + (dark[c]! - hair.colour[c]!) * strand;
      albedo[at]! += (hairy - albedo[at]!) * part - albedo[at]! * shadow;
    }
    gloss[texel]! *= 1 - part;
    height[texel]! += part * (0.05 - 0.02 * strand);
  });
}

/**
 * 0..1 by column and y: above the hairline, which falls to the temples and, where there is a fringe, away
 * from the parting.
 */
function hairCover({ hair, head }: Identity): (column: number, y: number) => number {
  const lines = new Float64Array(TEXELS);
  const sides = new Float64Array(TEXELS);
  for (let column = 0; column < TEXELS; column++) {
    const x = (column + 0.5) / DENSITY - 1.1;
    const side = Math.abs(x) / head.width;
    const temples = smooth(0.55, 1, side) * (0.3 + hair.temples);
    const fringe = hair.fringe * smooth(0, 0.25, Math.abs(x - hair.parting)) * smooth(1.2, 0.4, side);
    lines[column] = hair.line + temples + fringe + 0.025 * grain(x * (9 + 12 * hair.curl), 3);
    sides[column] = side;
  }
  const hanging = hair.style === 'bob' || hair.style === 'long';
  return (column, y) => {
    const line = lines[column]!;
    const side = sides[column]!;
    const above = y >= line + 0.05 ? 0 : y <= line - 0.03 ? 1 : smooth(line + 0.05, line - 0.03, y);
    // Sideburns end at the ears.
    if (side < 0.75 || above === 1) return above;
    if (!hanging) return Math.max(above, smooth(0.93, 0.99, side) * smooth(0.2, 0.05, y));
    return Math.max(above, smooth(0.8, 0.93, side + 0.05 * grain(5, y * 5)) * smooth(-0.5, -0.3, y));
  };
}

export function paintCovering(canvas: Canvas, person: Identity, scene: Scene): void {
  const { occlusion } = scene;
  switch (occlusion.kind) {
    case 'glasses':
      paintGlasses(canvas, person, occlusion);
      return;
    case 'mask':
      paintMask(canvas, person, occlusion);
      return;
    case 'hat':
      paintHat(canvas, occlusion);
      return;
    default:
      return;
  }
}

function paintGlasses(
  canvas: Canvas,
  { eyes, head }: Identity,
  glasses: { dark: boolean; round: boolean; frame: Colour },
): void {
  const width = glasses.round ? 0.235 : 0.26;
  const height = glasses.round ? 0.21 : 0.16;
  const power = glasses.round ? 2 : 4;
  const y0 = eyes.y + 0.03;
  for (const side of [-1, 1]) {
    const x0 = side * (eyes.apart + 0.01);
    const box = around(x0, y0, width + 0.05, height + 0.05);
    const rim = (x: number, y: number) =>
      (Math.abs(x - x0) / width) ** power + (Math.abs(y - y0) / height) ** power;
    if (glasses.dark) {
      paint(canvas, box, LENS, (x, y) => 0.93 * smooth(1.05, 0.95, rim(x, y)));
    } else darken(canvas, box, (x, y) => 0.08 * smooth(1.05, 0.95, rim(x, y)));
    paint(canvas, box, glasses.frame, (x, y) => smooth(0.62, 0.82, rim(x, y)) * smooth(1.4, 1.18, rim(x, y)));
    paint(
      canvas,
      around(side * (head.width + x0 * side + width) * 0.5, y0 - 0.04, 0.3, 0.04),
      glasses.frame,
      (x, y) =>
        smooth(Math.abs(x0) + width - 0.02, Math.abs(x0) + width, x * side) *
        smooth(0.034, 0.014, Math.abs(y - y0 + 0.04)),
    );
  }
  const inner = eyes.apart + 0.01 - width;
  paint(
    canvas,
    around(0, y0 - 0.03, Math.max(0.03, inner) + 0.02, 0.05),
    glasses.frame,
    (x, y) => smooth(inner + 0.03, inner, Math.abs(x)) * smooth(0.036, 0.016, Math.abs(y - y0 + 0.03)),
  );
}

function paintMask(canvas: Canvas, { nose }: Identity, mask: { colour: Colour; top: number }): void {
  const box = { left: -1.1, right: 1.1, top: 0, bottom: 1.1 };
  const cover = (x: number, y: number) => {
    const edge = mask.top + 0.35 * x * x - 0.1 * smooth(0.25, 0, Math.abs(x));
    return smooth(edge - 0.015, edge + 0.015, y);
  };
  paint(canvas, box, mask.colour, cover);
  darken(canvas, box, (x, y) => cover(x, y) * 0.22 * smooth(0.2, 0.6, grain(x * 2, y * 13)));
  raise(canvas, box, (x, y) => cover(x, y) * 0.05 * smooth(nose.length + 0.3, nose.length, y));
  clearGloss(canvas, box, cover);
}

function paintHat(canvas: Canvas, hat: { colour: Colour; brim: number }): void {
  const box = { left: -1.1, right: 1.1, top: -1.1, bottom: 0.2 };
  const edge = (x: number) => hat.brim + 0.1 * x * x;
  darken(canvas, box, (x, y) => 0.55 * smooth(edge(x) + 0.32, edge(x) + 0.02, y));
  paint(canvas, box, hat.colour, (x, y) => smooth(edge(x) + 0.02, edge(x) - 0.02, y));
  paint(canvas, box, scaled(hat.colour, 0.45), (x, y) => smooth(0.06, 0.03, Math.abs(y - edge(x) + 0.06)));
  clearGloss(canvas, box, (x, y) => smooth(edge(x) + 0.02, edge(x) - 0.02, y));
}
