// All passes over a recording, in the order in which they run. Each is a pure function from recording to
// recording that changes how much memory a step reads and writes, not what it computes; a network's step
// waits for memory, not for arithmetic. Three keep every bit; sumWhileWriting takes sums in another order.
//
// The order matters, because each pass looks for forms that an earlier one leaves:
// 1. foldSums, while a node of a cell is still one sum of two blocks;
// 2. splitMaps, which removes a split only where a block's gradient makes what is split, which a sum in
// between
//    would hide;
// 3. sumWhileWriting, which names the part of a dx that a norm's dy is, and refuses a dx with several
// summands;
// 4. normaliseWhileReading last, because it gives an output of a block another shape, which no other pass
// expects.

import type { Recording } from '../recording/record.ts';
import { foldSums } from './fold-sums.ts';
import { normaliseWhileReading } from './normalise-while-reading.ts';
import { splitMaps } from './split-maps.ts';
import { sumWhileWriting } from './sum-while-writing.ts';

const PASSES: readonly ((recording: Recording) => Recording)[] = [
  foldSums,
  splitMaps,
  sumWhileWriting,
  normaliseWhileReading,
];

/** A recording that computes the same values with fewer passes over memory. */
export function optimised(recording: Recording): Recording {
  return PASSES.reduce((current, pass) => pass(current), recording);
}
