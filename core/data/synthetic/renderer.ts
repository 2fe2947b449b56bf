// Draws image `image` of synthetic person `identity`: 112 x 112 RGB bytes that depend on (seed, identity,
// image, difficulty) alone. Decides the order of painting; each part is in a file of its own beside this one.

import { SIDE } from '../images/pixels.ts';
import { develop } from './camera.ts';
import { createCanvas } from './canvas.ts';
import { drawIdentity } from './identity.ts';
import { paintEyes } from './paint-eyes.ts';
import { paintFace } from './paint-face.ts';
import { paintCovering, paintHair } from './paint-hair.ts';
import { drawScene } from './scene.ts';
import { shade } from './shade.ts';

export interface Renderer {
  render(identity: number, image: number, into: Uint8Array): void;
}

export function createRenderer(options: { seed: number; difficulty: number }): Renderer {
  const canvas = createCanvas();
  const light = new Float32Array(SIDE * SIDE * 3);
  const spare = new Float32Array(SIDE * SIDE * 3);
  return {
    render(identity, image, into) {
      const person = drawIdentity(options.seed, identity);
      const scene = drawScene({ ...options, identity, image });
      paintFace(canvas, person, scene, identity % 64);
      paintEyes(canvas, person, scene);
      paintHair(canvas, person);
      paintCovering(canvas, person, scene);
      shade(canvas, person, scene, light);
      develop({ light, spare, person, scene, into });
    },
  };
}
