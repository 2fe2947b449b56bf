// Which held-out images are compared: half genuine, half impostor pairs, drawn from labels and a seed alone,
// so that every network of a fleet is measured on the same pairs. Decides the draw and its order over the
// folds, and refuses a number of pairs that the images do not allow.

import { FleetError } from '../errors.ts';
import { randomStream } from '../rng.ts';

/** Two images that are compared. */
export interface Pair {
  /** Indices of two images of the split, a < b. */
  readonly a: number;
  readonly b: number;
  readonly same: boolean;
}

/** Number of images of each identity. */
export function identitySizes(labels: ArrayLike<number>): number[] {
  const counts = new Map<number, number>();
  for (let i = 0; i < labels.length; i++) counts.set(labels[i]!, (counts.get(labels[i]!) ?? 0) + 1);
  return [...counts.values()];
}

/** Number of different pairs of each sort that identities of these sizes allow. */
export function pairsPossible(sizes: readonly number[]): { genuine: number; impostor: number } {
  const images = imagesOf(sizes);
  let genuine = 0;
  for (const n of sizes) genuine += (n * (n - 1)) / 2;
  return { genuine, impostor: (images * (images - 1)) / 2 - genuine };
}

const imagesOf = (sizes: readonly number[]): number => sizes.reduce((sum, n) => sum + n, 0);

/** Every number of pairs is a multiple of this: one genuine and one impostor pair in each of ten folds. */
const PAIRS_STEP = 20;

/**
 * Throws where fewer than `pairs` / 2 different pairs of either sort exist; the message has the largest
 * number that is possible.
 */
export function assertPairsPossible(sizes: readonly number[], pairs: number): void {
  const possible = pairsPossible(sizes);
  const most = Math.floor((2 * Math.min(possible.genuine, possible.impostor)) / PAIRS_STEP) * PAIRS_STEP;
  const advice =
    most >= PAIRS_STEP
      ? `ask for at most ${most} or hold out more identities`
      : `that is too few for the least number of pairs, ${PAIRS_STEP}; hold out more identities, or have more images of each`;
  for (const sort of ['genuine', 'impostor'] as const)
    if (possible[sort] < pairs / 2)
      throw new FleetError(
        'invalidArgument',
        `verification.pairs: ${pairs} pairs need ${pairs / 2} different ${sort} ones, but the ${imagesOf(sizes)} held-out images allow ${possible[sort]}; ${advice}`,
        { details: { field: 'verification.pairs', possible } },
      );
}

/**
 * Draws `pairs` different pairs, a multiple of 20, half of them genuine. Genuine and impostor pairs
 * alternate, so that each contiguous fold of even length has equally many. Genuine pairs are drawn from every
 * identity in turn; drawn from all genuine pairs, an identity with many images would take most of them,
 * because their number grows with the square.
 */
export function verificationPairs(
  labels: ArrayLike<number>,
  options: { pairs: number; seed: number },
): Pair[] {
  assertPairsPossible(identitySizes(labels), options.pairs);
  const each = options.pairs / 2;
  const genuine = genuinePairs(labels, each, options.seed);
  const impostors = impostorPairs(labels, each, options.seed);
  return genuine.flatMap((pair, i) => [pair, impostors[i]!]);
}

function genuinePairs(labels: ArrayLike<number>, count: number, seed: number): Pair[] {
  const groups = new Map<number, number[]>();
  for (let i = 0; i < labels.length; i++) {
    const group = groups.get(labels[i]!);
    if (group) group.push(i);
    else groups.set(labels[i]!, [i]);
  }
  const queues = [...groups.entries()]
    .sort(([a], [b]) => a - b)
    .map(([label, images]) => drawWithin(images, count, seed, label));
  const out: Pair[] = [];
  for (let round = 0; out.length < count; round++)
    for (const queue of queues) {
      const pair = queue[round];
      if (pair && out.length < count) out.push(pair);
    }
  // Drawn in turn, an identity would stand at a fixed stride and could miss a fold; shuffled, folds differ by
  // chance alone.
  return shuffled(out, randomStream({ seed, purpose: 'genuine-order' }));
}

/**
 * Up to `count` different pairs of one identity's images, in random order: from the list of all pairs where
 * that is short or not much longer than what is drawn, else by rejection.
 */
function drawWithin(images: readonly number[], count: number, seed: number, label: number): Pair[] {
  const stream = randomStream({ seed, purpose: 'genuine', at: [label, 0] });
  const all = (images.length * (images.length - 1)) / 2;
  if (all <= 4 * count || all < 10_000) {
    const pairs: Pair[] = [];
    for (let i = 0; i < images.length; i++)
      for (let j = i + 1; j < images.length; j++) pairs.push({ a: images[i]!, b: images[j]!, same: true });
    return shuffled(pairs, stream).slice(0, count);
  }
  return drawDifferent(count, true, () => {
    const i = stream.integer(images.length);
    const j = stream.integer(images.length);
    return i === j ? undefined : [images[i]!, images[j]!];
  });
}

function impostorPairs(labels: ArrayLike<number>, count: number, seed: number): Pair[] {
  const stream = randomStream({ seed, purpose: 'impostor' });
  if (labels.length <= 200) {
    // With few images nearly all pairs may be wanted, where rejection would draw the last ones for long, and
    // listing them is cheap.
    const pairs: Pair[] = [];
    for (let a = 0; a < labels.length; a++)
      for (let b = a + 1; b < labels.length; b++)
        if (labels[a] !== labels[b]) pairs.push({ a, b, same: false });
    return shuffled(pairs, stream).slice(0, count);
  }
  return drawDifferent(count, false, () => {
    const a = stream.integer(labels.length);
    const b = stream.integer(labels.length);
    return labels[a] === labels[b] ? undefined : [a, b];
  });
}

/**
 * Draws until `count` different pairs have come; the caller makes sure that there are several times as many.
 */
function drawDifferent(
  count: number,
  same: boolean,
  draw: () => readonly [number, number] | undefined,
): Pair[] {
  const seen = new Set<string>();
  const out: Pair[] = [];
  while (out.length < count) {
    const drawn = draw();
    if (drawn === undefined) continue;
    const [a, b] = [Math.min(...drawn), Math.max(...drawn)];
    if (seen.has(`${a},${b}`)) continue;
    seen.add(`${a},${b}`);
    out.push({ a, b, same });
  }
  return out;
}

/** Shuffles in place (Fisher and Yates). */
function shuffled<T>(items: T[], stream: { integer(bound: number): number }): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = stream.integer(i + 1);
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return items;
}
