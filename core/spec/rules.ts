// Rules over several fields of a mapping. Decides when one is checked: as soon as the fields that it looks at are right
// by themselves, whatever is wrong with others, so that everything is told at once.

import type { z } from 'zod';

/**
 * For `refine` and `superRefine`: dotted paths of the fields that a rule looks at, `*` for each key. Fields that it does
 * not name may be missing or of another type when it runs.
 */
export function over(...fields: readonly string[]): {
  readonly when: (payload: z.core.ParsePayload) => boolean;
} {
  const paths = fields.map((field) => field.split('.'));
  return {
    when: ({ value, issues }) =>
      typeof value === 'object' &&
      value !== null &&
      !issues.some(
        // An unknown key makes no known one wrong.
        ({ path = [], code }) => code !== 'unrecognized_keys' && paths.some((field) => meet(field, path)),
      ),
  };
}

/** Whether one of the paths leads to the other, or beyond it. */
function meet(field: readonly string[], path: readonly PropertyKey[]): boolean {
  for (let at = 0; at < Math.min(field.length, path.length); at++)
    if (field[at] !== '*' && field[at] !== String(path[at])) return false;
  return true;
}

/** For `superRefine`: the sum over shards is a binary tree, so their number is a power of two. */
export function shardsArePowerOfTwo(
  { shards }: { readonly shards: number },
  context: Pick<z.RefinementCtx, 'addIssue'>,
): void {
  if ((shards & (shards - 1)) !== 0)
    context.addIssue({ code: 'custom', path: ['shards'], message: `${shards} is not a power of two` });
}
