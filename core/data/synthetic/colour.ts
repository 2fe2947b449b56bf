// Colours of people: skin, hair, eyes, lips, cloth, as linear light (the square of the displayed value, so
// that the way back is one square root). Decides the palettes.

/** Linear red, green, blue, 0..1. */
export type Colour = readonly [number, number, number];

/** From displayed 0..255. */
export const shown = (r: number, g: number, b: number): Colour => [
  (r / 255) ** 2,
  (g / 255) ** 2,
  (b / 255) ** 2,
];

export const mix = (a: Colour, b: Colour, part: number): Colour => [
  a[0] + (b[0] - a[0]) * part,
  a[1] + (b[1] - a[1]) * part,
  a[2] + (b[2] - a[2]) * part,
];

export const scaled = (a: Colour, by: number): Colour => [a[0] * by, a[1] * by, a[2] * by];

/** From fair to dark; `tone` 0..1 runs along them. */
const SKINS: readonly Colour[] = [
  shown(245, 214, 196),
  shown(232, 190, 164),
  shown(213, 166, 132),
  shown(180, 128, 94),
  shown(134, 90, 64),
  shown(88, 60, 46),
];

/** `warmth` -1..1: pink to olive. */
export function skinColour(tone: number, warmth: number): Colour {
  const [r, g, b] = along(SKINS, tone);
  return [r * (1 - 0.04 * warmth), g * (1 + 0.07 * warmth), b * (1 - 0.12 * warmth)];
}

const HAIRS: readonly Colour[] = [
  shown(28, 24, 24),
  shown(56, 38, 30),
  shown(92, 62, 42),
  shown(136, 98, 62),
  shown(196, 160, 104),
  shown(224, 200, 150),
];

/** `shade` 0..1: black to light blond; `red` and `grey` 0..1 are mixed in. */
export function hairColour(shade: number, red: number, grey: number): Colour {
  const base = mix(along(HAIRS, shade), shown(150, 66, 34), red);
  return mix(base, shown(188, 186, 184), grey);
}

export const IRISES: readonly Colour[] = [
  shown(46, 28, 20),
  shown(84, 54, 32),
  shown(128, 94, 48),
  shown(98, 116, 70),
  shown(92, 132, 160),
  shown(132, 150, 166),
];

function along(stops: readonly Colour[], at: number): Colour {
  const place = Math.max(0, Math.min(0.9999, at)) * (stops.length - 1);
  const below = Math.floor(place);
  return mix(stops[below]!, stops[below + 1]!, place - below);
}
