// From the bytes of an encoded image to pixels: PGM, PPM, PNG, JPEG and WebP. Decides what counts as corrupt:
// an image that ends early, or that cannot be decoded as its header promises. Bytes after the end of a JPEG
// are not a fault, since published packs have such images.

import sharp from 'sharp';
import { FleetError } from '../../errors.ts';
import { fitSquare, type Pixels } from './pixels.ts';
import { decodePnm, isPnm, pnmSize } from './pnm.ts';

// Decoded images are kept by the loader; the library's own cache would keep them a second time.
sharp.cache(false);
sharp.concurrency(1);

/**
 * First bytes of JPEG, PNG and WebP (RIFF); the library would also read SVG, PDF and more, which have no
 * place here.
 */
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
  return guarded(bytes, async () => {
    // At `error`, a JPEG with damaged Huffman codes would come out as grey blocks and teach the network
    // nonsense.
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

/** Width and height as the header promises them; cheap, and refuses what is no image or too large. */
export async function imageSize(
  bytes: Uint8Array,
): Promise<{ readonly width: number; readonly height: number }> {
  if (isPnm(bytes)) return pnmSize(bytes);
  assertKnown(bytes);
  const { width, height } = await guarded(bytes, () => sharp(bytes, { limitInputPixels: false }).metadata());
  assertPixels(width, height);
  return { width, height };
}

/** Above this many pixels an image is checked row by row, and not by holding all of it. */
const WHOLE_MAX = 1 << 22;

/**
 * Whether an image of that size can be decoded: refuses what decodeImage would refuse, within the memory of a
 * few rows where the format allows it.
 */
export async function checkImage(
  bytes: Uint8Array,
  { width, height }: { readonly width: number; readonly height: number },
): Promise<void> {
  if (isPnm(bytes) || width * height <= WHOLE_MAX) {
    await decodeImage(bytes);
    return;
  }
  // Only the last row is kept, and a decoder that reads from top to bottom passes through all others on its
  // way to it.
  await guarded(bytes, () =>
    sharp(bytes, { failOn: 'warning', limitInputPixels: PIXELS_MAX, sequentialRead: true })
      .extract({ left: 0, top: height - 1, width: 1, height: 1 })
      .raw()
      .toBuffer(),
  );
}

/** An encoded PNG of RGB pixels, for sheets and reports. */
export async function encodePng(pixels: Pixels): Promise<Buffer> {
  return sharp(pixels.rgb, { raw: { width: pixels.width, height: pixels.height, channels: 3 } })
    .png()
    .toBuffer();
}

function assertPixels(width: number, height: number): void {
  if (width * height > PIXELS_MAX)
    throw new FleetError(
      'invalidArgument',
      `the image has ${width} x ${height} pixels, and at most ${PIXELS_MAX} are decoded; make it smaller`,
    );
}

function assertKnown(bytes: Uint8Array): void {
  if (bytes.length === 0) throw new FleetError('invalidArgument', 'the image is empty');
  if (!SIGNATURES.some((signature) => signature.every((byte, i) => bytes[i] === byte)))
    throw new FleetError('invalidArgument', 'the image is not PGM, PPM, PNG, JPEG or WebP');
}

async function guarded<T>(bytes: Uint8Array, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (caught) {
    if (caught instanceof FleetError) throw caught;
    const message = caught instanceof Error ? caught.message : String(caught);
    throw new FleetError('invalidArgument', `the image is corrupt (${whyCorrupt(bytes, message)})`, {
      cause: caught,
    });
  }
}

/**
 * A fixed sentence, because the library's message names its parts and differs from one look at the same bytes
 * to the next.
 */
function whyCorrupt(bytes: Uint8Array, message: string): string {
  if (endsEarly(bytes) || /premature end/i.test(message)) return 'it ends early';
  if (/header|unsupported image format/i.test(message)) return 'its header cannot be read';
  return 'its pixels cannot be decoded';
}

/** All three formats mark their end: PNG by its last chunk, WebP by its size, JPEG by a marker. */
function endsEarly(bytes: Uint8Array): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[0] === 0x89) return !buffer.includes('IEND');
  if (bytes[0] === 0x52) return bytes.length < 12 || buffer.readUInt32LE(4) + 8 > bytes.length;
  return !buffer.includes(Buffer.of(0xff, 0xd9));
}
