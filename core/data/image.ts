// From the bytes of an encoded image to pixels: PGM and PPM by pnm.ts, PNG, JPEG and WebP by sharp. Decides what counts as
// corrupt: an image that ends early or cannot be decoded as its header promises; bytes after a JPEG's end are not
// (golden records carry some). Scaling is pixels.ts', naming the file in the error is the caller's.

import sharp from 'sharp';
import { FleetError } from '../errors.ts';
import { fitSquare, type Pixels } from './pixels.ts';
import { decodePnm, isPnm } from './pnm.ts';

// An image is decoded once and kept by the loader; the library's own cache would keep it a second time.
sharp.cache(false);
sharp.concurrency(1);

/** First bytes of JPEG, PNG and WebP (RIFF); the library would also read SVG, PDF and more, which have no place here. */
const SIGNATURES: readonly (readonly number[])[] = [
  [0xff, 0xd8, 0xff],
  [0x89, 0x50, 0x4e, 0x47],
  [0x52, 0x49, 0x46, 0x46],
];
/** Larger images are refused: their pixels alone would take 192 MiB. */
const PIXELS_MAX = 1 << 26;

/** Decodes and fits into `into` (112 x 112 RGB). */
export async function readImage(bytes: Uint8Array, into: Uint8Array): Promise<void> {
  fitSquare(await decodeImage(bytes), into);
}

/** Upright RGB pixels in the image's own size. */
export async function decodeImage(bytes: Uint8Array): Promise<Pixels> {
  if (isPnm(bytes)) return decodePnm(bytes);
  assertKnown(bytes);
  return guarded(async () => {
    // At `error`, a JPEG with damaged Huffman codes would come out as grey blocks and teach the network nonsense.
    const { data, info } = await sharp(bytes, { failOn: 'warning', limitInputPixels: PIXELS_MAX })
      .autoOrient()
      .toColourspace('srgb')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3)
      throw new FleetError(
        'invalidArgument',
        `the image has ${info.channels} channels after conversion to RGB`,
      );
    return { width: info.width, height: info.height, rgb: data };
  });
}

/** Reads the header alone: cheap, and catches what is no image at all. */
export async function probeImage(bytes: Uint8Array): Promise<void> {
  if (isPnm(bytes)) {
    decodePnm(bytes);
    return;
  }
  assertKnown(bytes);
  await guarded(() => sharp(bytes, { limitInputPixels: PIXELS_MAX }).metadata());
}

/** An encoded PNG of RGB pixels, for sheets and reports. */
export async function encodePng(pixels: Pixels): Promise<Buffer> {
  return sharp(pixels.rgb, { raw: { width: pixels.width, height: pixels.height, channels: 3 } })
    .png()
    .toBuffer();
}

function assertKnown(bytes: Uint8Array): void {
  if (bytes.length === 0) throw new FleetError('invalidArgument', 'the image is empty');
  if (!SIGNATURES.some((signature) => signature.every((byte, i) => bytes[i] === byte)))
    throw new FleetError('invalidArgument', 'the image is not PGM, PPM, PNG, JPEG or WebP');
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (caught) {
    if (caught instanceof FleetError) throw caught;
    const message = caught instanceof Error ? caught.message : String(caught);
    throw new FleetError('invalidArgument', `the image is corrupt (${message.trim()})`, {
      cause: caught,
    });
  }
}
