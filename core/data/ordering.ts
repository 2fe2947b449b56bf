// The order of millions of numbers, without a comparator: each number and its place are the two halves of one
// 64-bit integer, and the engine sorts such integers natively. It takes 12 bytes for each number while it
// works, and nothing for numbers that rise already.

/**
 * Places of `values` (whole numbers from 0 to 2^53) so that the values rise; equal ones keep their order.
 * undefined: they rise already.
 */
export function risingOrder(values: Uint32Array | Float64Array): Uint32Array | undefined {
  let rises = true;
  let high = false;
  for (let i = 0; i < values.length; i++) {
    if (i > 0 && values[i]! < values[i - 1]!) rises = false;
    if (values[i]! >= 2 ** 32) high = true;
  }
  if (rises) return undefined;
  const byLow = sortedPlaces(values.length, (i) => values[i]! % 2 ** 32);
  if (!high) return byLow;
  // Two rounds from the low half to the high one, each of them stable, as a radix sort does it.
  const byHigh = sortedPlaces(values.length, (i) => Math.floor(values[byLow[i]!]! / 2 ** 32));
  return byHigh.map((place) => byLow[place]!);
}

function sortedPlaces(count: number, word: (i: number) => number): Uint32Array {
  const pairs = new BigUint64Array(count);
  const words = new Uint32Array(pairs.buffer);
  const [low, high] = littleEndian ? [0, 1] : [1, 0];
  for (let i = 0; i < count; i++) {
    words[2 * i + low] = i;
    words[2 * i + high] = word(i);
  }
  pairs.sort();
  const places = new Uint32Array(count);
  for (let i = 0; i < count; i++) places[i] = words[2 * i + low]!;
  return places;
}

const littleEndian = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;
