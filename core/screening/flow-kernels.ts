// The loops of a linear network in double precision, over maps that hold two planes: values and their
// derivatives. Each adds to or writes into an array that is there. What a kernel decides is the order of its
// sums: window row, window column, channel.
//
// Legend: H x W map, C channels in and O out, k x k window; maps [2, H, W, C].

/** A map's sizes with its two planes. */
interface Planes {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly numbers: Float64Array;
}

type Size = Omit<Planes, 'numbers'>;

interface Window {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/**
 * A product of matrices: [pixels, C] with weights [C, O] -> [pixels, O]. Blocks of 4 x 2 sums stay in
 * registers.
 */
export function pointwise(
  numbers: Float64Array,
  weights: Float64Array,
  channelsIn: number,
  into: Float64Array,
): void {
  const pixels = numbers.length / channelsIn;
  const out = into.length / pixels;
  // By output channel, so that the inner loop reads both operands in order.
  const columns = transposed(weights, channelsIn, out);
  const whole = pixels - (pixels % 4);
  for (let p = 0; p < whole; p += 4) {
    const a = p * channelsIn;
    const b = a + channelsIn;
    const c = b + channelsIn;
    const d = c + channelsIn;
    let o = 0;
    for (; o + 1 < out; o += 2) {
      const left = o * channelsIn;
      const right = left + channelsIn;
      let [a0, a1, b0, b1, c0, c1, d0, d1] = [0, 0, 0, 0, 0, 0, 0, 0];
      for (let i = 0; i < channelsIn; i++) {
        const w0 = columns[left + i]!;
        const w1 = columns[right + i]!;
        const xa = numbers[a + i]!;
        const xb = numbers[b + i]!;
        const xc = numbers[c + i]!;
        const xd = numbers[d + i]!;
        a0 += xa * w0;
        a1 += xa * w1;
        b0 += xb * w0;
        b1 += xb * w1;
        c0 += xc * w0;
        c1 += xc * w1;
        d0 += xd * w0;
        d1 += xd * w1;
      }
      const at = p * out + o;
      into[at] = a0;
      into[at + 1] = a1;
      into[at + out] = b0;
      into[at + out + 1] = b1;
      into[at + 2 * out] = c0;
      into[at + 2 * out + 1] = c1;
      into[at + 3 * out] = d0;
      into[at + 3 * out + 1] = d1;
    }
    for (; o < out; o++)
      for (let q = p; q < p + 4; q++) into[q * out + o] = dot(numbers, q, columns, o, channelsIn);
  }
  for (let p = whole; p < pixels; p++)
    for (let o = 0; o < out; o++) into[p * out + o] = dot(numbers, p, columns, o, channelsIn);
}

function dot(a: Float64Array, row: number, b: Float64Array, column: number, length: number): number {
  let total = 0;
  for (let i = 0; i < length; i++) total += a[row * length + i]! * b[column * length + i]!;
  return total;
}

function transposed(weights: Float64Array, rows: number, columns: number): Float64Array {
  const turned = new Float64Array(weights.length);
  for (let i = 0; i < rows; i++)
    for (let o = 0; o < columns; o++) turned[o * rows + i] = weights[i * columns + o]!;
  return turned;
}

/** One filter a channel, weights [k, k, C]. It costs as much as all products, so the loop is its own. */
export function depthwise(
  from: Planes,
  weights: Float64Array,
  { kernel, stride, padding }: Window,
  { height, width, channels }: Size,
  into: Float64Array,
): void {
  const { numbers } = from;
  for (let row = 0; row < 2 * height; row++) {
    const plane = row < height ? 0 : 1;
    const top = (row - plane * height) * stride - padding;
    for (let i = Math.max(0, -top); i < kernel && top + i < from.height; i++) {
      const rowFrom = (plane * from.height + top + i) * from.width;
      for (let column = 0; column < width; column++) {
        const y = (row * width + column) * channels;
        const left = column * stride - padding;
        for (let j = Math.max(0, -left); j < kernel && left + j < from.width; j++) {
          const x = (rowFrom + left + j) * channels;
          const w = (i * kernel + j) * channels;
          for (let c = 0; c < channels; c++) into[y + c]! += numbers[x + c]! * weights[w + c]!;
        }
      }
    }
  }
}

/** Any convolution: weights [k, k, C / groups, O]. */
export function grouped(
  from: Planes,
  weights: Float64Array,
  window: Window & { readonly groups: number },
  size: Size,
  into: Float64Array,
): void {
  const own = from.channels / window.groups;
  const out = size.channels;
  const outOfGroup = out / window.groups;
  eachPlace(from, window, size, (x, tap, y) => {
    for (let i = 0; i < own; i++) {
      const w = (tap * own + i) * out;
      for (let group = 0; group < window.groups; group++) {
        const value = from.numbers[x + group * own + i]!;
        for (let o = group * outOfGroup; o < (group + 1) * outOfGroup; o++)
          into[y + o]! += value * weights[w + o]!;
      }
    }
  });
}

/** The largest value of a window with its own derivative, the first of equal ones; padding is left out. */
export function maxima(from: Planes, window: Window, size: Size, into: Float64Array): void {
  const { channels } = size;
  const plane = size.height * size.width * channels;
  const planeFrom = from.numbers.length / 2;
  into.fill(-1, 0, plane);
  eachPlace(from, window, size, (x, _, y) => {
    // Values decide, and their derivatives come along.
    if (y >= plane) return;
    for (let c = 0; c < channels; c++) {
      const value = from.numbers[x + c]!;
      if (value <= into[y + c]!) continue;
      into[y + c] = value;
      into[plane + y + c] = from.numbers[planeFrom + x + c]!;
    }
  });
}

/** The mean over those pixels of a window that are no padding. */
export function averages(from: Planes, window: Window, size: Size, into: Float64Array): void {
  const { channels } = size;
  const counts = new Uint8Array(into.length / channels);
  eachPlace(from, window, size, (x, _, y) => {
    counts[y / channels]!++;
    for (let c = 0; c < channels; c++) into[y + c]! += from.numbers[x + c]!;
  });
  for (let p = 0; p < counts.length; p++)
    for (let c = 0; c < channels; c++) into[p * channels + c]! /= counts[p]!;
}

/** Without the first rows and columns that `size` has fewer. */
export function takeFrom(from: Planes, size: Size, into: Float64Array): void {
  const [top, left] = [from.height - size.height, from.width - size.width];
  const row = size.width * size.channels;
  for (let plane = 0; plane < 2; plane++)
    for (let y = 0; y < size.height; y++) {
      const at = ((plane * from.height + y + top) * from.width + left) * from.channels;
      into.set(from.numbers.subarray(at, at + row), (plane * size.height + y) * row);
    }
}

/** Adds a map times a factor to the channels of another one, from `channel` on. */
export function addInto(
  into: Float64Array,
  channels: number,
  channel: number,
  from: Planes,
  factor: number,
): void {
  const pixels = into.length / channels;
  for (let p = 0; p < pixels; p++)
    for (let c = 0; c < from.channels; c++)
      into[p * channels + channel + c]! += from.numbers[p * from.channels + c]! * factor;
}

/** To channel, row, column order, plane by plane. */
export function flatten(from: Planes, into: Float64Array): void {
  const pixels = from.height * from.width;
  const plane = pixels * from.channels;
  for (let start = 0; start < into.length; start += plane)
    for (let p = 0; p < pixels; p++)
      for (let c = 0; c < from.channels; c++)
        into[start + c * pixels + p] = from.numbers[start + p * from.channels + c]!;
}

/**
 * Visits each pair of an output pixel and an input pixel in its window, in both planes: offsets of their first
 * channels and the place in the window.
 */
function eachPlace(
  from: Planes,
  { kernel, stride, padding }: Window,
  size: Size,
  visit: (x: number, tap: number, y: number) => void,
): void {
  for (let plane = 0; plane < 2; plane++)
    for (let row = 0; row < size.height; row++)
      for (let column = 0; column < size.width; column++) {
        const y = ((plane * size.height + row) * size.width + column) * size.channels;
        for (let i = 0; i < kernel; i++) {
          const rowFrom = row * stride - padding + i;
          if (rowFrom < 0 || rowFrom >= from.height) continue;
          for (let j = 0; j < kernel; j++) {
            const columnFrom = column * stride - padding + j;
            if (columnFrom < 0 || columnFrom >= from.width) continue;
            const x = ((plane * from.height + rowFrom) * from.width + columnFrom) * from.channels;
            visit(x, i * kernel + j, y);
          }
        }
      }
}
