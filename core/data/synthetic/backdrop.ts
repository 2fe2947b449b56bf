// What is seen where the head is not: background, shoulders, neck, ears, and the hair beside and above the
// head. Decides their outlines in the plane of the image, in half face heights from the middle of the face.

import { smooth } from './canvas.ts';
import { type Colour, scaled } from './colour.ts';
import { grain } from './grain.ts';
import type { Identity } from './identity.ts';
import type { Scene } from './scene.ts';

/** Writes the colour at a place. */
export type Backdrop = (x: number, y: number, into: Float32Array) => void;

export function backdropOf(person: Identity, scene: Scene): Backdrop {
  const { background, grain: seed, light } = scene;
  const across = Math.cos(background.angle);
  const along = Math.sin(background.angle);
  const bodyLight = bodyLighting(scene);
  const neck = bodyLight(scaled(person.skin.colour, 0.62));
  const cloth = bodyLight(scene.cloth);
  const hair = hairOf(person, scene);
  const ears = earsOf(person, scene, bodyLight(scaled(person.skin.colour, 0.85)));
  const neckX = -0.25 * Math.sin(scene.yaw);
  return (x, y, into) => {
    const part = Math.max(
      0,
      Math.min(
        1,
        0.5 +
          0.4 * (x * across + y * along) +
          0.55 * background.texture * grain(x * 2.3 + seed * 0.37, y * 2.3 + seed * 0.11),
      ),
    );
    const dim = 0.25 + 0.75 * light.ambient[1];
    for (let c = 0; c < 3; c++)
      into[c] = (background.a[c]! + (background.b[c]! - background.a[c]!) * part) * dim;
    hair.behind(x, y, into);
    if (y > 0.5) {
      const shoulder = 1.28 - 0.55 * Math.exp(-((x - neckX) ** 2) * 5) * 0.35;
      cover(into, neck, smooth(person.head.neck + 0.03, person.head.neck - 0.03, Math.abs(x - neckX)));
      cover(
        into,
        cloth,
        smooth(shoulder - 0.03, shoulder + 0.03, y + 0.16 * (1 - Math.min(1, Math.abs(x - neckX)))),
      );
    }
    ears(x, y, into);
    hair.beside(x, y, into);
  };
}

function bodyLighting({ light }: Scene): (colour: Colour) => Colour {
  const facing = 0.35 + 0.5 * Math.max(0, light.direction[2]);
  return (colour) => [
    colour[0] * (light.ambient[0] + light.colour[0] * facing),
    colour[1] * (light.ambient[1] + light.colour[1] * facing),
    colour[2] * (light.ambient[2] + light.colour[2] * facing),
  ];
}

function cover(into: Float32Array, colour: Colour, part: number): void {
  if (part <= 0) return;
  for (let c = 0; c < 3; c++) into[c]! += (colour[c]! - into[c]!) * part;
}

function earsOf(person: Identity, scene: Scene, colour: Colour): Backdrop {
  const size = person.head.ears;
  const middleY = 0.06 + Math.sin(scene.pitch) * 0.1;
  const places = [-1, 1].map((side) => ({
    x: side * (person.head.width + 0.02) * Math.cos(scene.yaw) - Math.sin(scene.yaw) * -0.05,
    wide: size * 0.55 * (1 - 0.5 * side * Math.sin(scene.yaw)),
  }));
  const shadow = scaled(colour, 0.55);
  const hidden = person.hair.style === 'long' || person.hair.style === 'bob';
  return (x, y, into) => {
    if (hidden) return;
    for (const ear of places) {
      const u = (x - ear.x) / ear.wide;
      const v = (y - middleY) / size;
      const r = u * u + v * v;
      if (r > 1.3) continue;
      cover(into, colour, smooth(1.15, 0.85, r));
      cover(into, shadow, smooth(0.6, 0.1, r));
    }
  };
}

/** The outline of the hair (or hat) round the skull, and of long hair hanging behind the face. */
function hairOf(person: Identity, scene: Scene): { behind: Backdrop; beside: Backdrop } {
  const { hair, head } = person;
  const hat = scene.occlusion.kind === 'hat' ? scene.occlusion : undefined;
  const light = bodyLighting(scene);
  const colour = light(hair.colour);
  const shadow = light(scaled(hair.colour, 0.5));
  const crown = light(scaled(hat?.colour ?? hair.colour, 0.85));
  const turned = Math.sin(scene.yaw);
  const top = Math.sin(scene.pitch) * 0.1;
  const coverWithStrands = (into: Float32Array, x: number, y: number, part: number) => {
    const dark = smooth(-0.2, 0.7, grain(x * 22, y * (3 + 16 * hair.curl)));
    const side = 1 + 0.35 * scene.light.direction[0] * x;
    for (let c = 0; c < 3; c++) {
      const strand = (colour[c]! + (shadow[c]! - colour[c]!) * dark) * side;
      into[c]! += (strand - into[c]!) * part;
    }
  };
  const length = hair.style === 'long' ? 1.6 : hair.style === 'bob' ? 0.72 : 0;
  const behind: Backdrop = (x, y, into) => {
    if (length === 0 || y > length + 0.1 || Math.abs(x) > 1.35) return;
    // Round like the skull above the ears, hanging below them.
    const round = y < 0 ? Math.sqrt(Math.max(0, 1 - (y / (1 + hair.volume)) ** 2)) : 1;
    const wide =
      (head.width +
        hair.volume * 0.8 +
        0.04 * Math.sin(y * 3 + hair.curl * 6) +
        0.04 * hair.curl * grain(2, y * 7)) *
      round;
    const part =
      smooth(wide + 0.02, wide - 0.03, Math.abs(x + 0.12 * turned)) * smooth(length + 0.05, length - 0.05, y);
    if (part > 0) coverWithStrands(into, x, y, part);
  };
  const beside: Backdrop = (x, y, into) => {
    if (hat) {
      if (y > hat.brim + 0.2) return;
      const edge = hat.brim + 0.12;
      const r = ((x + 0.05 * turned) / (head.width + 0.1)) ** 2 + ((y + top) / 1.13) ** 2;
      cover(into, crown, smooth(1.05, 0.97, r) * smooth(edge + 0.02, edge - 0.02, y));
      return;
    }
    if (hair.volume === 0 || y > 0.1) return;
    // Places further out than the curls reach are not hair.
    if (Math.abs(x) > head.width + hair.volume + 0.15 || y < -1.3) return;
    const ragged = 0.05 * hair.curl * grain(x * 9, y * 9);
    const r =
      ((x + 0.1 * turned) / (head.width + hair.volume * 0.75)) ** 2 + ((y + top) / (1 + hair.volume)) ** 2;
    const part = smooth(1.05, 0.93, r + ragged) * smooth(0.08, -0.12, y + (length > 0 ? -1 : 0));
    if (part > 0) coverWithStrands(into, x, y, part);
  };
  return { behind, beside };
}
