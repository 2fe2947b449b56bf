// What the core has answered to an input.

import type { Answer } from '../decisions/inputs.ts';

/** The answer, which has to be of this kind. */
export function answered<K extends Answer['kind']>(
  answer: Answer | undefined,
  kind: K,
): Extract<Answer, { kind: K }> {
  if (answer?.kind !== kind)
    throw new Error(`assertion: the core answered ${answer?.kind} instead of ${kind}`);
  return answer as Extract<Answer, { kind: K }>;
}
