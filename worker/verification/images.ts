// Mirror images of a batch and PNG files, for evaluations. Decides nothing.

import sharp from 'sharp';
import { IMAGE_BYTES, mirror, SIDE } from '../../core/data/images/pixels.ts';

/** `count` images one after the other, each mirrored left to right. */
export function mirrored(images: Uint8Array, count: number): Uint8Array {
  const out = new Uint8Array(images.length);
  for (let i = 0; i < count; i++) {
    const [from, to] = [i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES];
    mirror(images.subarray(from, to), out.subarray(from, to));
  }
  return out;
}

/** One RGB image as a PNG file. */
export function pngOf(image: Uint8Array): Promise<Buffer> {
  return sharp(image, { raw: { width: SIDE, height: SIDE, channels: 3 } })
    .png()
    .toBuffer();
}
