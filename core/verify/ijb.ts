// The IJB 1:1 protocol on features (reference facts 5.3). Faces become templates: features are weighted by
// detector score, averaged within a medium (an image or a video), summed over media and brought to unit
// length. Pairs of templates are scored by their inner product, and the true accept rate (TAR) is read off
// the full ROC where the false accept rate (FAR) is nearest a target.
//
// Sums are double, because a video adds up hundreds of faces. Memory is one sum a template, one sum a medium
// whose faces have not all come, and one number a pair, so IJB-C with 15 million pairs fits.

import { FleetError } from '../errors.ts';

/** The rates that papers print; tables of compact models show 1e-4. */
export const IJB_FARS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1] as const;

/** Features of all templates. */
export interface Templates {
  /** Template id -> its row in the features. */
  readonly rows: ReadonlyMap<number, number>;
  /** Unit features [templates, size]. */
  readonly features: Float64Array;
  readonly size: number;
}

/** Takes the features of faces in any order. */
export interface TemplateBuilder {
  /** Adds the raw feature of a face: the sum of image and mirror image, not normalised. */
  add(face: { template: number; media: number; score: number }, feature: ArrayLike<number>): void;
  /** The templates; throws while faces are missing. */
  finish(): Templates;
}

/** Numbers of faces, from which a medium's sum is known to be complete and can be freed. */
export interface Memberships {
  /** Template id -> media id -> number of faces. */
  readonly counts: Map<number, Map<number, number>>;
}

/** Counts the faces of a protocol's list. */
export async function countMemberships(
  batches: AsyncIterable<readonly (readonly [template: number, media: number])[]>,
): Promise<Memberships> {
  const counts: Memberships['counts'] = new Map();
  for await (const batch of batches)
    for (const [template, media] of batch) {
      const own = counts.get(template) ?? new Map<number, number>();
      own.set(media, (own.get(media) ?? 0) + 1);
      counts.set(template, own);
    }
  return { counts };
}

/** A builder for the templates of these faces, with features of `size` numbers. */
export function createTemplates({ counts }: Memberships, size: number): TemplateBuilder {
  const rows = new Map([...counts.keys()].map((template, row) => [template, row] as const));
  const features = new Float64Array(rows.size * size);
  // Sum and number of missing faces of each medium of which a face has come.
  const open = new Map<string, { sum: Float64Array; left: number; total: number }>();
  let missing = [...counts.values()].reduce((sum, media) => sum + total(media.values()), 0);
  return {
    add({ template, media, score }, feature) {
      const faces = counts.get(template)?.get(media);
      if (faces === undefined || feature.length !== size)
        throw new FleetError(
          'invalidArgument',
          `a feature of ${feature.length} numbers for template ${template}, media ${media}; ${faces === undefined ? 'which is not in the list' : `${size} expected`}`,
        );
      const key = `${template}/${media}`;
      const entry = open.get(key) ?? { sum: new Float64Array(size), left: faces, total: faces };
      open.set(key, entry);
      for (let i = 0; i < size; i++) entry.sum[i]! += feature[i]! * score;
      entry.left -= 1;
      missing -= 1;
      if (entry.left > 0) return;
      const at = rows.get(template)! * size;
      for (let i = 0; i < size; i++) features[at + i]! += entry.sum[i]! / entry.total;
      open.delete(key);
    },
    finish() {
      if (missing !== 0) throw new FleetError('failedPrecondition', `${missing} faces have no feature yet`);
      for (let at = 0; at < features.length; at += size) toUnit(features.subarray(at, at + size));
      return { rows, features, size };
    },
  };
}

/** Scores of all pairs, each list in falling order. */
export interface Scores {
  readonly genuine: Float64Array;
  readonly impostor: Float64Array;
}

/** Scores pairs of templates, -1..1 each. */
export async function scorePairs(
  templates: Templates,
  batches: AsyncIterable<readonly { a: number; b: number; same: boolean }[]>,
): Promise<Scores> {
  const genuine = createList();
  const impostor = createList();
  const { rows, features, size } = templates;
  const rowOf = (template: number): number => {
    const row = rows.get(template);
    if (row === undefined)
      throw new FleetError('invalidArgument', `a pair names template ${template}, which has no faces`);
    return row * size;
  };
  for await (const batch of batches)
    for (const { a, b, same } of batch) {
      const [i, j] = [rowOf(a), rowOf(b)];
      let score = 0;
      for (let k = 0; k < size; k++) score += features[i + k]! * features[j + k]!;
      (same ? genuine : impostor).push(score);
    }
  return { genuine: genuine.falling(), impostor: impostor.falling() };
}

/** A point of the ROC. */
export interface RatePoint {
  /** The FAR that was asked for, 0..1. */
  readonly target: number;
  /** FAR of the nearest point of the curve. */
  readonly far: number;
  readonly tar: number;
  /** Pairs with at least this score are accepted; infinite where no pair is. */
  readonly threshold: number;
}

/**
 * For each target the point of the full ROC whose FAR is nearest; of equally near ones that with the largest
 * TAR. The threshold falls through all distinct scores once, so the curve is never stored.
 */
export function tarNearestFar(
  { genuine, impostor }: Scores,
  targets: readonly number[] = IJB_FARS,
): RatePoint[] {
  if (genuine.length === 0 || impostor.length === 0)
    throw new FleetError(
      'invalidArgument',
      `${genuine.length} genuine and ${impostor.length} impostor pairs; a ROC needs both`,
    );
  const best = targets.map((target) => ({ target, far: 0, tar: 0, threshold: Number.POSITIVE_INFINITY }));
  let trueAccepts = 0;
  let falseAccepts = 0;
  while (trueAccepts < genuine.length || falseAccepts < impostor.length) {
    const threshold = Math.max(
      genuine[trueAccepts] ?? Number.NEGATIVE_INFINITY,
      impostor[falseAccepts] ?? Number.NEGATIVE_INFINITY,
    );
    // All pairs with this score are accepted together.
    while (genuine[trueAccepts] === threshold) trueAccepts += 1;
    while (impostor[falseAccepts] === threshold) falseAccepts += 1;
    const far = falseAccepts / impostor.length;
    const tar = trueAccepts / genuine.length;
    for (const point of best)
      if (Math.abs(far - point.target) <= Math.abs(point.far - point.target))
        Object.assign(point, { far, tar, threshold });
  }
  return best;
}

/** A list of unknown length, whose array doubles when it is full. */
function createList(): { push(value: number): void; falling(): Float64Array } {
  let values = new Float64Array(1024);
  let length = 0;
  return {
    push(value) {
      if (Number.isNaN(value)) throw new FleetError('outOfRange', 'a score is not a number');
      if (length === values.length) {
        const larger = new Float64Array(2 * length);
        larger.set(values);
        values = larger;
      }
      values[length++] = value;
    },
    falling: () => values.subarray(0, length).sort().reverse(),
  };
}

function toUnit(feature: Float64Array): void {
  const norm = Math.sqrt(feature.reduce((sum, x) => sum + x * x, 0));
  // A zero feature has no direction. Left at zero it scores 0 with every other, where a division would give
  // NaN.
  if (norm > 0) for (let i = 0; i < feature.length; i++) feature[i]! /= norm;
}

function total(values: Iterable<number>): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}
