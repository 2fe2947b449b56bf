// What makes a synthetic person that person: geometry and colours that all their images share. Decides the
// population: which measure varies, and how much.
//
// Lengths are in half face heights: 1 from the middle of the face to the chin. x runs to the right of the
// image, y down.

import { type RandomStream, randomStream } from '../../rng.ts';
import { type Colour, hairColour, IRISES, mix, shown, skinColour } from './colour.ts';

export type HairStyle = 'bald' | 'cropped' | 'short' | 'bob' | 'long';
export type BeardStyle = 'none' | 'stubble' | 'moustache' | 'goatee' | 'full';

export interface Identity {
  readonly head: {
    /** Half width and half depth of the skull. */
    readonly width: number;
    readonly depth: number;
    /** 0 round .. 0.4 narrow at the chin. */
    readonly taper: number;
    /** How abruptly the jaw turns in: 1.5 soft .. 4 square. */
    readonly square: number;
    readonly cheekbones: number;
    readonly neck: number;
    readonly ears: number;
  };
  readonly skin: {
    readonly colour: Colour;
    readonly blush: number;
    readonly freckles: number;
    readonly lines: number;
    readonly gloss: number;
    readonly moles: readonly { readonly x: number; readonly y: number; readonly radius: number }[];
  };
  readonly eyes: {
    readonly apart: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
    /** Rise of the outer corner. */
    readonly tilt: number;
    readonly iris: Colour;
    readonly irisRadius: number;
    readonly crease: number;
    readonly bags: number;
    readonly depth: number;
  };
  readonly brows: {
    readonly gap: number;
    readonly length: number;
    readonly thickness: number;
    readonly tilt: number;
    readonly arch: number;
    readonly colour: Colour;
    readonly density: number;
  };
  readonly nose: {
    readonly length: number;
    readonly width: number;
    readonly bridge: number;
    readonly height: number;
    readonly tip: number;
  };
  readonly mouth: {
    readonly y: number;
    readonly width: number;
    readonly upper: number;
    readonly lower: number;
    readonly curve: number;
    readonly colour: Colour;
  };
  readonly hair: {
    readonly style: HairStyle;
    readonly colour: Colour;
    /** y of the hairline in the middle. */
    readonly line: number;
    /** How far the hairline falls towards the temples. */
    readonly temples: number;
    /** x of the parting, and how far a fringe hangs on either side of it. */
    readonly parting: number;
    readonly fringe: number;
    readonly volume: number;
    readonly curl: number;
  };
  readonly beard: { readonly style: BeardStyle; readonly colour: Colour; readonly density: number };
}

export function drawIdentity(seed: number, identity: number): Identity {
  const stream = randomStream({ seed, purpose: 'face-identity', at: [identity, 0] });
  /** A normal draw, cut at two deviations, because eyes must stay within the face. */
  const around = (mean: number, deviation: number) =>
    mean + deviation * Math.max(-2, Math.min(2, stream.normal()));
  const tone = stream.uniform() ** 1.1;
  const bearded = stream.chance(0.5);
  const age = stream.uniform();
  const head: Identity['head'] = {
    width: around(0.74, 0.055),
    depth: around(0.86, 0.04),
    taper: around(0.22, 0.085),
    square: around(2.4, 0.6),
    cheekbones: around(0.05, 0.025),
    neck: around(0.44, 0.06),
    ears: around(0.17, 0.035),
  };
  const skin = drawSkin(stream, tone, age);
  const shade = drawHairShade(stream, tone);
  const hair = hairColour(
    shade,
    stream.chance(0.12) ? stream.uniform(0.4, 0.9) : 0,
    age > 0.72 ? stream.uniform(0.2, 1) : 0,
  );
  return {
    head,
    skin,
    eyes: {
      apart: around(0.325, 0.032),
      y: around(-0.1, 0.03),
      width: around(0.155, 0.018),
      height: around(0.068, 0.015),
      tilt: around(0.012, 0.022),
      iris: mix(IRISES[drawIris(stream, tone)]!, shown(60, 50, 40), stream.uniform(0, 0.25)),
      irisRadius: around(0.068, 0.006),
      crease: stream.uniform(),
      bags: stream.uniform() * age,
      depth: stream.uniform(),
    },
    brows: {
      gap: around(0.185, 0.035),
      length: around(0.22, 0.03),
      thickness: around(0.036, 0.013),
      tilt: around(-0.01, 0.035),
      arch: around(0.035, 0.02),
      colour: mix(hair, shown(50, 38, 30), 0.45),
      density: stream.uniform(0.5, 1),
    },
    nose: {
      length: around(0.43, 0.05),
      width: around(0.155, 0.032),
      bridge: around(0.06, 0.013),
      height: around(0.24, 0.055),
      tip: around(0.085, 0.018),
    },
    mouth: {
      y: around(0.545, 0.035),
      width: around(0.265, 0.035),
      upper: around(0.042, 0.015),
      lower: around(0.06, 0.018),
      curve: around(0, 0.015),
      colour: mix(
        mix(skin.colour, shown(170, 70, 74), 0.5),
        shown(186, 40, 60),
        bearded ? 0 : stream.uniform() ** 2 * 0.7,
      ),
    },
    hair: drawHair(stream, hair, bearded, age),
    beard: {
      style: bearded ? pick(stream, BEARDS) : 'none',
      colour: mix(hair, shown(60, 46, 38), 0.3),
      density: stream.uniform(0.45, 0.95),
    },
  };
}

const BEARDS: readonly BeardStyle[] = ['none', 'stubble', 'stubble', 'moustache', 'goatee', 'full'];
const SHORT_STYLES: readonly HairStyle[] = ['bald', 'cropped', 'cropped', 'short', 'short', 'short', 'long'];
const LONG_STYLES: readonly HairStyle[] = ['cropped', 'short', 'bob', 'bob', 'long', 'long'];

const pick = <T>(stream: RandomStream, from: readonly T[]): T => from[stream.integer(from.length)]!;

function drawSkin(stream: RandomStream, tone: number, age: number): Identity['skin'] {
  return {
    colour: skinColour(tone, stream.uniform(-1, 1)),
    blush: stream.uniform(),
    freckles: tone < 0.45 && stream.chance(0.3) ? stream.uniform(0.4, 1) : 0,
    lines: age * stream.uniform(0.4, 1),
    gloss: stream.uniform(0.02, 0.14),
    moles: Array.from({ length: stream.integer(4) }, () => ({
      x: stream.uniform(-0.5, 0.5),
      y: stream.uniform(-0.5, 0.8),
      radius: stream.uniform(0.018, 0.04),
    })),
  };
}

/** 0 black .. 1 light blond; light hair is rare with dark skin. */
function drawHairShade(stream: RandomStream, tone: number): number {
  const light = stream.uniform();
  return tone > 0.5 ? light * 0.25 : light ** 1.2;
}

function drawIris(stream: RandomStream, tone: number): number {
  return tone > 0.5 ? stream.integer(2) : stream.integer(IRISES.length);
}

function drawHair(stream: RandomStream, colour: Colour, bearded: boolean, age: number): Identity['hair'] {
  const style = pick(stream, bearded ? SHORT_STYLES : LONG_STYLES);
  return {
    style,
    colour,
    line: -0.62 - 0.1 * stream.normal() * 0.6 - (bearded ? 0.12 * age : 0),
    temples: stream.uniform(0.05, 0.3),
    parting: stream.uniform(-0.35, 0.35),
    fringe: style === 'bald' || style === 'cropped' ? 0 : stream.uniform() ** 1.5 * 0.42,
    volume: style === 'bald' ? 0 : style === 'cropped' ? 0.05 : stream.uniform(0.08, 0.24),
    curl: stream.uniform(),
  };
}
