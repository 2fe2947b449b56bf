// One case: an input drawn from a seed, given to its decoder, and judged. Decides how an input is drawn, and
// that time and memory are a part of the verdict.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomStream } from '../../core/rng.ts';
import { beginMemory, memoryNow } from './memory.ts';
import { mutated } from './mutators.ts';
import { MEMORY, type Sections, type Target, VIRTUAL_PLUS } from './target.ts';
import { faultOf } from './verdict.ts';

/** The outcome of a case. */
export interface Outcome {
  /** What is wrong; undefined when all is well. */
  readonly fault: string | undefined;
  /** The decoder gave a value. */
  readonly isValid: boolean;
  readonly milliseconds: number;
  /** Memory that the case took, bytes. */
  readonly taken: number;
  /** Of the input. */
  readonly bytes: number;
}

/** The input of a case; case 0 and on, until the corpus is used up, are the valid inputs themselves. */
export function inputOf(target: Target, corpus: readonly Sections[], seed: number, number: number): Sections {
  const own = corpus[number];
  if (own !== undefined) return own;
  const random = randomStream({ seed, purpose: `fuzz ${target.name}`, at: [number, 0] });
  if (target.compose !== undefined && random.chance(target.composed ?? 0.5))
    return target.compose(random, corpus);
  return mutated(random, corpus);
}

/** Gives an input to the decoder. `isOwn`: the input is valid, and must be taken. */
export async function judged(target: Target, input: Sections, isOwn: boolean): Promise<Outcome> {
  const bytes = input.reduce((sum, section) => sum + section.length, 0);
  // A folder costs more than most decoders; it is made for those that take one.
  const scratch = target.decode.length > 1 ? mkdtempSync(join(tmpdir(), 'pocketfleet-fuzz-')) : '';
  const before = beginMemory();
  const beganAt = performance.now();
  let fault: string | undefined;
  let isValid = false;
  try {
    // A copy: a decoder may write to what it is given, and the corpus is used again.
    await target.decode(
      input.map((section) => Buffer.from(section)),
      scratch,
    );
    isValid = true;
  } catch (caught) {
    fault = isOwn ? `it refuses a valid input: ${String(caught)}` : faultOf(caught, target);
  }
  const milliseconds = performance.now() - beganAt;
  const after = memoryNow();
  if (scratch !== '') rmSync(scratch, { recursive: true });
  const taken = Math.max(
    after.residentMax - before.residentMax,
    after.virtual - before.virtual - VIRTUAL_PLUS,
  );
  const { times, plus } = target.memory ?? MEMORY;
  const bound = times * bytes + plus;
  if (fault === undefined && taken > bound)
    fault = `it takes ${mib(taken)} for ${bytes} bytes, at most ${mib(bound)} are right`;
  return { fault, isValid, milliseconds, taken, bytes };
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
