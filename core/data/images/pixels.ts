// The one form of an image here: 112 x 112 RGB bytes, row by row. Decides how an image of another size
// becomes that (shorter side to 112, centre crop; or scaled larger and cut out anywhere) and how one is mirrored. The arithmetic is not an image
// library's, because vector code may round differently on another machine, and the bits of a run would depend
// on it.

/** Side of every image, in pixels; faces are aligned to this square (reference 5.2). */
export const SIDE = 112;
/** Bytes of one image. */
export const IMAGE_BYTES = SIDE * SIDE * 3;

/** Pixels as decoded: [height, width, 3] bytes. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/**
 * Scales the shorter side to 112 and keeps the centre. The triangle filter widens when it shrinks, so that
 * detail is averaged and not skipped.
 */
export function fitSquare(pixels: Pixels, into: Uint8Array): void {
  const { width, height, rgb } = pixels;
  if (width === SIDE && height === SIDE) {
    into.set(rgb);
    return;
  }
  const scale = SIDE / Math.min(width, height);
  const centred = (size: number) => tapsOf({ size, scale, places: SIDE, margin: (size * scale - SIDE) / 2 });
  resample(pixels, { columns: centred(width), rows: centred(height) }, into);
}

/** Longest side of a scaled image over its shorter one; what is beyond it is left out, half at each end. */
const LONGEST = 8;

/**
 * Scales the shorter side to `side`, at least 112, and the longer one with it, rounded down. An image that is
 * more than eight times as long as wide loses its ends, so that memory is bounded.
 */
export function scaleShorter({ width, height, rgb }: Pixels, side: number): Pixels {
  const shorter = Math.min(width, height);
  const length = (size: number) => Math.floor((side * size) / shorter);
  const along = (size: number) => {
    const whole = length(size);
    const places = Math.min(whole, LONGEST * side);
    return tapsOf({ size, scale: whole / size, places, margin: (whole - places) / 2 });
  };
  const [columns, rows] = [along(width), along(height)];
  const scaled = new Uint8Array(rows.length * columns.length * 3);
  resample({ width, height, rgb }, { columns, rows }, scaled);
  return { width: columns.length, height: rows.length, rgb: scaled };
}

/**
 * Cuts 112 x 112 out of a larger image. `place`: across and down, each in [0, 1); all places that fit are
 * equally likely where it is uniform.
 */
export function cutSquare(
  { width, height, rgb }: Pixels,
  [across, down]: readonly [number, number],
  into: Uint8Array,
): void {
  const left = Math.floor(across * (width - SIDE + 1));
  const top = Math.floor(down * (height - SIDE + 1));
  for (let y = 0; y < SIDE; y++) {
    const from = ((top + y) * width + left) * 3;
    into.set(rgb.subarray(from, from + SIDE * 3), y * SIDE * 3);
  }
}

/** Writes an image of as many rows and columns as there are taps, [rows, columns, 3]. */
function resample(
  { width, rgb }: Pixels,
  { columns, rows }: { readonly columns: readonly Tap[]; readonly rows: readonly Tap[] },
  into: Uint8Array,
): void {
  const across = columns.length;
  const firstRow = Math.min(...rows.map((tap) => tap.from));
  const lastRow = Math.max(...rows.map((tap) => tap.from + tap.weights.length));
  // narrow [source rows, columns, 3]: each needed row scaled across.
  const narrow = new Float64Array((lastRow - firstRow) * across * 3);
  for (let y = firstRow; y < lastRow; y++)
    for (let x = 0; x < across; x++) {
      const { from, weights } = columns[x]!;
      const out = ((y - firstRow) * across + x) * 3;
      for (let i = 0; i < weights.length; i++) {
        const at = (y * width + from + i) * 3;
        const weight = weights[i]!;
        narrow[out] = narrow[out]! + weight * rgb[at]!;
        narrow[out + 1] = narrow[out + 1]! + weight * rgb[at + 1]!;
        narrow[out + 2] = narrow[out + 2]! + weight * rgb[at + 2]!;
      }
    }
  for (let y = 0; y < rows.length; y++) {
    const { from, weights } = rows[y]!;
    for (let k = 0; k < across * 3; k++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++)
        sum += weights[i]! * narrow[(from - firstRow + i) * across * 3 + k]!;
      into[y * across * 3 + k] = Math.max(0, Math.min(255, Math.round(sum)));
    }
  }
}

interface Tap {
  /** First source index, and the weight of it and of those after it; they sum to 1. */
  readonly from: number;
  readonly weights: Float64Array;
}

/**
 * For each of `places` outputs, which source places it averages along one side of `size`. `margin`: scaled
 * places that are left out before the first one.
 */
function tapsOf(options: { size: number; scale: number; places: number; margin: number }): Tap[] {
  const { size, scale, margin } = options;
  const support = Math.max(1, 1 / scale);
  return Array.from({ length: options.places }, (_, place) => {
    const centre = (place + 0.5 + margin) / scale;
    const from = Math.max(0, Math.floor(centre - support));
    const to = Math.min(size, Math.ceil(centre + support));
    const weights = Float64Array.from({ length: to - from }, (_, i) =>
      Math.max(0, 1 - Math.abs(from + i + 0.5 - centre) / support),
    );
    const sum = weights.reduce((a, b) => a + b, 0);
    return { from, weights: weights.map((weight) => weight / sum) };
  });
}

/** Mirrors left to right, from one image to another place; the two must not overlap. */
export function mirror(from: Uint8Array, into: Uint8Array): void {
  for (let y = 0; y < SIDE; y++)
    for (let x = 0; x < SIDE; x++) {
      const a = (y * SIDE + x) * 3;
      const b = (y * SIDE + SIDE - 1 - x) * 3;
      into[b] = from[a]!;
      into[b + 1] = from[a + 1]!;
      into[b + 2] = from[a + 2]!;
    }
}
