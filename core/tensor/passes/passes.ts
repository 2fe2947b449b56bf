// All passes over a recording, in the order in which they run. Each is pure, from recording to recording, and keeps the bits:
// what they change is how much memory is written and read. The order matters: sums are folded into the operations that make their
// summands before maps are split, and both before reads and writes are merged, because a later pass looks for what an earlier one
// leaves.

import type { Recording } from '../recording/record.ts';
import { foldSums } from './fold-sums.ts';
import { normaliseWhileReading } from './normalise-while-reading.ts';
import { keepApart } from './split-maps.ts';
import { sumWhileWriting } from './sum-while-writing.ts';

const PASSES: readonly ((recording: Recording) => Recording)[] = [
  foldSums,
  keepApart,
  sumWhileWriting,
  normaliseWhileReading,
];

/** A recording that computes the same values with fewer passes over memory. */
export function optimised(recording: Recording): Recording {
  return PASSES.reduce((current, pass) => pass(current), recording);
}
