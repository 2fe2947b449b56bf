// One work from its first process to its table: the ways start, prove that they compute the same, compile, and take turns.

import { say } from '../goals.ts';
import { compareMakers } from './equality.ts';
import { speedTable } from './table.ts';
import type { Torch } from './torch.ts';
import { measure, openField, type Speed, warm } from './ways.ts';
import { prepare, type Work } from './work.ts';

export async function measureWork(
  work: Work,
  options: {
    readonly torch: Torch;
    /** Whether TensorFlow.js as its users write it takes part. */
    readonly plain: boolean;
    readonly rounds: number;
    readonly milliseconds: number;
  },
): Promise<Speed[]> {
  const prepared = prepare(work);
  const field = await openField(prepared, options);
  try {
    say('');
    say(`${work.name}: ${prepared.layout.backboneCount} parameters without a head`);
    for (const { maker, forward, gradient } of await compareMakers(field, prepared))
      say(
        `  ${maker} agrees with ours: forward to ${forward.toExponential(1)}, gradient to ${gradient.toExponential(1)}`,
      );
    await warm(field);
    const speeds = await measure(field, work.name, options);
    for (const line of speedTable(speeds)) say(line);
    return speeds;
  } finally {
    await field.close();
  }
}
