// The IJB 1:1 protocol: faces become templates (features weighted by detector score, averaged within a media, summed over
// media, brought to unit length), pairs of templates are scored by their product, and the true accept rate is read off the
// full ROC where the false accept rate is nearest a target (reference facts 5.3). Takes features; who computes them does
// not matter here. Memory: one sum a template and one a media that is not complete, and one number a pair.

import { FleetError } from '../errors.ts';

/** The rates that papers print; tables of compact models show 1e-4. */
export const IJB_FARS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1] as const;

export interface Templates {
  /** Row of each template id in the features. */
  readonly rows: ReadonlyMap<number, number>;
  /** Unit features [templates, size]. */
  readonly features: Float64Array;
  readonly size: number;
}

export interface TemplateBuilder {
  /** The raw feature of a face: image and mirror image added, not normalised. */
  add(face: { template: number; media: number; score: number }, feature: ArrayLike<number>): void;
  /** Throws while faces are missing. */
  finish(): Templates;
}

/** How many faces each media of each template has; lets a media's sum go as soon as it is complete. */
export interface Memberships {
  readonly counts: Map<number, Map<number, number>>;
}

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

export function createTemplates({ counts }: Memberships, size: number): TemplateBuilder {
  const rows = new Map([...counts.keys()].map((template, row) => [template, row] as const));
  const features = new Float64Array(rows.size * size);
  // Sum and missing faces of each media that has begun.
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

export interface Scores {
  /** Falling. */
  readonly genuine: Float64Array;
  readonly impostor: Float64Array;
}

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

export interface RatePoint {
  /** The rate asked for. */
  readonly target: number;
  /** The nearest that there is. */
  readonly far: number;
  readonly tar: number;
  /** Pairs with at least this score are accepted; infinite where none is. */
  readonly threshold: number;
}

/** For each target the point of the full ROC whose FAR is nearest; of equally near ones that with the largest TAR. */
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

/** Numbers without a known count; doubles its memory as it grows. */
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
  // A zero feature has no direction; leaving it scores 0 with everything instead of NaN.
  if (norm > 0) for (let i = 0; i < feature.length; i++) feature[i]! /= norm;
}

function total(values: Iterable<number>): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}
