// Paints skin, nose, mouth and beard on the flattened head. Decides how a person's measures and the image's
// expression become albedo and height.

import { around, bell, type Canvas, darken, eachTexel, paint, raise, smooth, TEXELS } from './canvas.ts';
import { mix, scaled, shown } from './colour.ts';
import { grain, mottle } from './grain.ts';
import type { Identity } from './identity.ts';
import type { Scene } from './scene.ts';

/** Where each beard can grow. */
const LOWER = {
  moustache: { left: -0.5, top: 0.25, right: 0.5, bottom: 0.75 },
  goatee: { left: -0.5, top: 0.25, right: 0.5, bottom: 1.1 },
  stubble: { left: -0.9, top: 0.25, right: 0.9, bottom: 1.1 },
  full: { left: -0.9, top: 0, right: 0.9, bottom: 1.1 },
} as const;
const TEETH = shown(228, 222, 210);
const THROAT = shown(44, 16, 16);
const MOLE = shown(62, 38, 30);

export function paintFace(canvas: Canvas, person: Identity, scene: Scene, grainAt: number): void {
  paintSkin(canvas, person, grainAt);
  paintRelief(canvas, person, scene);
  paintBeard(canvas, person, scene);
  paintNose(canvas, person);
  paintMouth(canvas, person, scene);
  for (const mole of person.skin.moles) {
    const box = around(mole.x, mole.y, mole.radius * 1.3, mole.radius * 1.3);
    paint(
      canvas,
      box,
      MOLE,
      (x, y) => smooth(mole.radius * 1.2, mole.radius * 0.6, Math.hypot(x - mole.x, y - mole.y)) * 0.85,
    );
  }
}

function paintSkin(canvas: Canvas, { skin }: Identity, grainAt: number): void {
  const [r, g, b] = skin.colour;
  const { albedo, gloss, height } = canvas;
  height.fill(0);
  gloss.fill(1);
  let at = 0;
  for (let row = 0; row < TEXELS; row++)
    for (let column = 0; column < TEXELS; column++) {
      const bright = mottle(column, row, grainAt);
      albedo[at] = r * bright;
      albedo[at + 1] = g * bright;
      albedo[at + 2] = b * bright;
      at += 3;
    }
  const flush = mix(skin.colour, shown(200, 80, 76), 0.45);
  for (const side of [-1, 1])
    paint(
      canvas,
      around(side * 0.4, 0.25, 0.28, 0.24),
      flush,
      (x, y) => 0.55 * skin.blush * bell((x - side * 0.4) / 0.28, (y - 0.25) / 0.24),
    );
  if (skin.freckles > 0)
    darken(
      canvas,
      around(0, 0.12, 0.62, 0.34),
      (x, y) =>
        0.5 *
        skin.freckles *
        smooth(0.35, 0.7, grain(x * 22 + grainAt, y * 22)) *
        bell(x / 0.66, (y - 0.12) / 0.36) ** 0.5,
    );
}

/** Cheekbones, chin, brow ridge, and the lines of age, which a smile deepens. */
function paintRelief(canvas: Canvas, { head, nose, mouth, skin }: Identity, scene: Scene): void {
  const { smile } = scene.expression;
  for (const side of [-1, 1]) {
    const x = side * 0.46;
    const y = 0.2 - 0.04 * Math.max(0, smile);
    const rise = head.cheekbones + 0.03 * Math.max(0, smile);
    raise(canvas, around(x, y, 0.3, 0.24), (px, py) => rise * bell((px - x) / 0.3, (py - y) / 0.24));
    const fold = 0.12 + 0.4 * skin.lines + 0.35 * Math.max(0, smile);
    darken(canvas, around(side * (mouth.width + 0.05), 0.42, 0.2, 0.3), (px, py) => {
      const t = (py - nose.length + 0.06) / 0.34;
      if (t < 0 || t > 1) return 0;
      const line = side * (nose.width + 0.045 + (mouth.width - nose.width + 0.03) * t);
      return 0.75 * fold * bell(0, (px - line) / 0.035) * (t < 0.5 ? smooth(0, 0.2, t) : smooth(1, 0.7, t));
    });
  }
  raise(canvas, around(0, 0.86, 0.3, 0.2), (x, y) => 0.07 * bell(x / 0.3, (y - 0.86) / 0.2));
  darken(canvas, around(0, 0.72, 0.24, 0.06), (x, y) => 0.2 * bell(x / 0.22, (y - 0.72) / 0.05));
  if (skin.lines > 0.3)
    darken(
      canvas,
      around(0, -0.45, 0.5, 0.16),
      (x, y) =>
        0.3 * skin.lines * (0.5 + 0.5 * Math.cos((y + 0.03 * x * x) * 75)) * bell(x / 0.5, (y + 0.45) / 0.15),
    );
}

function paintNose(canvas: Canvas, { nose, eyes, skin }: Identity): void {
  const top = eyes.y - 0.05;
  const tipY = nose.length - 0.07;
  raise(canvas, { left: -0.32, right: 0.32, top: top - 0.05, bottom: nose.length + 0.08 }, (x, y) => {
    const t = Math.max(0, Math.min(1, (y - top) / (tipY - top)));
    const wide = nose.bridge * 1.5 + (nose.width * 0.62 - nose.bridge) * t * t;
    const ridge =
      nose.height * (0.22 + 0.62 * t) * bell(0, x / (wide * 1.6)) * smooth(nose.length + 0.03, tipY, y);
    const tip = nose.height * 0.42 * bell(x / (nose.tip * 1.5), (y - tipY) / (nose.tip * 1.35));
    const wings =
      nose.height *
      0.3 *
      bell((Math.abs(x) - nose.width * 0.72) / (nose.width * 0.5), (y - tipY - 0.015) / 0.09);
    return (ridge + tip + wings) * smooth(top - 0.05, top + 0.1, y);
  });
  for (const side of [-1, 1]) {
    const x = side * nose.width * 0.48;
    paint(
      canvas,
      around(x, nose.length, 0.09, 0.06),
      scaled(skin.colour, 0.12),
      (px, py) => 0.95 * bell((px - x) / (nose.width * 0.36), (py - nose.length + 0.005) / 0.034),
    );
  }
  darken(
    canvas,
    around(0, nose.length + 0.03, nose.width * 1.3, 0.06),
    (x, y) => 0.35 * bell(x / (nose.width * 1.3), (y - nose.length - 0.025) / 0.05),
  );
  for (const side of [-1, 1]) {
    const x = side * nose.width * 1.12;
    darken(
      canvas,
      around(x, tipY + 0.01, 0.05, 0.1),
      (px, py) => 0.38 * bell((px - x) / 0.04, (py - tipY - 0.01) / 0.09),
    );
  }
}

function paintMouth(canvas: Canvas, { mouth }: Identity, scene: Scene): void {
  const { smile, open } = scene.expression;
  const halfWidth = mouth.width * (1 + 0.17 * smile - 0.12 * open);
  const gap = 0.085 * open;
  const lift = mouth.curve + 0.05 * smile;
  const box = around(0, mouth.y + gap / 2, halfWidth + 0.05, mouth.upper + mouth.lower + gap + 0.06);
  const along = (x: number) => x / halfWidth;
  // The corners rise by `lift` against the middle.
  const seam = (u: number) => mouth.y - lift * u * u + 0.012 * (1 - u * u);
  const shape = (u: number) => (Math.abs(u) >= 1 ? 0 : (1 - u * u) ** 0.75);
  const bow = (u: number) => 1 - 0.28 * bell(u / 0.22, 0) + 0.1 * bell((Math.abs(u) - 0.28) / 0.2, 0);
  const soft = 0.012;
  const lips = (x: number, y: number) => {
    const u = along(x);
    const form = shape(u);
    if (form === 0) return 0;
    const above = seam(u) - mouth.upper * (1 - 0.25 * Math.max(0, smile)) * form * bow(u);
    const below = seam(u) + (gap + mouth.lower * (1 - 0.2 * Math.max(0, smile))) * form;
    return smooth(-soft, soft, y - above) * smooth(-soft, soft, below - y);
  };
  paint(canvas, box, mouth.colour, (x, y) => 0.9 * lips(x, y));
  raise(canvas, box, (x, y) => 0.03 * lips(x, y));
  const inside = (x: number, y: number) => {
    const u = along(x);
    const form = shape(u * 1.06);
    if (form === 0) return 0;
    return smooth(-soft, soft, y - seam(u) + 0.006) * smooth(-soft, soft, seam(u) + gap * form + 0.006 - y);
  };
  paint(canvas, box, THROAT, (x, y) => inside(x, y));
  if (open > 0.05)
    paint(canvas, box, TEETH, (x, y) => {
      const u = along(x);
      return (
        0.9 * inside(x, y) * smooth(0.5 * gap + 0.02, 0.2 * gap, y - seam(u)) * smooth(0.9, 0.6, Math.abs(u))
      );
    });
  darken(
    canvas,
    around(0, mouth.y + gap + mouth.lower + 0.05, halfWidth * 0.8, 0.05),
    (x, y) => 0.25 * bell(x / (halfWidth * 0.75), (y - mouth.y - gap - mouth.lower - 0.045) / 0.045),
  );
}

function paintBeard(canvas: Canvas, { beard, mouth, head, nose }: Identity, scene: Scene): void {
  if (beard.style === 'none') return;
  const { open } = scene.expression;
  const moustache = (x: number, y: number) =>
    smooth(mouth.width * 1.25, mouth.width * 1.05, Math.abs(x)) *
    smooth(nose.length + 0.015, nose.length + 0.06, y) *
    smooth(mouth.y + 0.02, mouth.y - 0.02, y);
  const goatee = (x: number, y: number) =>
    smooth(mouth.width * 0.95, mouth.width * 0.7, Math.abs(x)) *
    smooth(mouth.y + 0.06, mouth.y + 0.14, y + 0.3 * Math.abs(x));
  const jaw = (x: number, y: number) => {
    const edge = 0.5 - (0.9 * Math.max(0, Math.abs(x) - 0.42)) / head.width;
    return smooth(edge - 0.03, edge + 0.09, y + 0.05 * grain(x * 9, y * 9));
  };
  const cover = (x: number, y: number) => {
    switch (beard.style) {
      case 'moustache':
        return moustache(x, y);
      case 'goatee':
        return Math.max(moustache(x, y) * 0.9, goatee(x, y));
      case 'stubble':
        return 0.42 * Math.max(moustache(x, y), jaw(x, y));
      default:
        return Math.max(moustache(x, y), jaw(x, y));
    }
  };
  const { albedo, gloss } = canvas;
  eachTexel(LOWER[beard.style], (texel, x, y) => {
    const part = cover(x, y - 0.03 * open);
    if (part <= 0) return;
    const hairs = beard.density * part * (0.82 + 0.18 * grain(x * 38, y * 26));
    for (let c = 0; c < 3; c++) albedo[texel * 3 + c]! += (beard.colour[c]! - albedo[texel * 3 + c]!) * hairs;
    gloss[texel]! *= 1 - part;
  });
}
