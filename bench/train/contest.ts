// One work from its first process to its table: the ways start, prove that they compute the same, compile,
// and take turns.

import { say } from '../goals.ts';
import { compareMakers } from './equality.ts';
import { speedTable } from './table.ts';
import type { Torch } from './torch.ts';
import { FORMS, measure, openField, type Speed, warm } from './ways.ts';
import { prepare, type Work } from './work.ts';

/** `torch`: in turns with PyTorch; `plain`: in turns with TensorFlow.js as its users write it. */
export interface Contest {
  readonly torch: readonly Speed[];
  readonly plain: readonly Speed[];
}

export async function measureWork(
  work: Work,
  options: {
    readonly torch: Torch;
    readonly plain: boolean;
    readonly rounds: number;
    readonly milliseconds: number;
  },
): Promise<Contest> {
  const prepared = prepare(work);
  say('');
  say(`${work.name}: ${prepared.layout.backboneCount} parameters without a head`);
  const contest = async (forms: readonly number[], against: { torch: Torch | undefined; plain: boolean }) => {
    const field = await openField(prepared, { forms, ...against });
    try {
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
  };
  const torch = await contest(FORMS, { torch: options.torch, plain: false });
  const plain: Speed[] = [];
  // Plain TensorFlow.js keeps every intermediate map: several gigabytes a process, so one form at a time.
  if (options.plain)
    for (const form of FORMS) plain.push(...(await contest([form], { torch: undefined, plain: true })));
  return { torch, plain };
}
