// The fields in which two run specs differ, as far as results depend on them. Pure. A difference in the specs
// explains every later difference in bits, so it is looked for first.

/** Fields without any effect on the weights. */
const WITHOUT_EFFECT = /^(name|priority|workers\..*|checkpoints\..*|verification\..*|kind)$/;

export interface SpecDifference {
  /** Dotted path. */
  readonly field: string;
  readonly a: unknown;
  readonly b: unknown;
}

export function specDifferences(a: unknown, b: unknown): SpecDifference[] {
  return differencesAt(a, b, '').filter(({ field }) => !WITHOUT_EFFECT.test(field));
}

function differencesAt(a: unknown, b: unknown, field: string): SpecDifference[] {
  if (isRecord(a) && isRecord(b)) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
    return keys.flatMap((key) => differencesAt(a[key], b[key], field === '' ? key : `${field}.${key}`));
  }
  return JSON.stringify(a) === JSON.stringify(b) ? [] : [{ field, a, b }];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
