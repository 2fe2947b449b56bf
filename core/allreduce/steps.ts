// Which steps a member works on at once. Decides which step a contribution may be for and when the sum of a
// step is over for all.
//
// With `open` = s, the step that is summed next:
//
//   s - 1   summed here; kept because a slower member may still ask for its results
//   s       being summed
//   s + 1   begun when a faster member, which has all of s, contributes to it before this one has all of s
//
// No other step can matter. A chunk of s is finished only with a contribution of every member, so nobody
// passes s before every member has begun it, and whoever has begun s has all of s - 1. Hence members are at
// most one step apart, and results of s - 2 cannot be asked for any more. (While the sum of s is running, its
// predecessor is therefore all that is kept.)

import type { FleetError } from '../errors.ts';
import type { Reduction } from './reduction.ts';

/** What a member knows of its steps when a contribution comes. */
export interface StepFacts {
  /** The step that is summed next; undefined before the members have agreed on one. */
  readonly open: number | undefined;
  /** Whether any step is worked on. */
  readonly isWorking: boolean;
  /** Of the open step: this member has sent all contributions and published all of its own chunks. */
  readonly hasGivenAll: boolean;
}

/**
 * Whether a contribution to `step`, on which this member does not work yet, begins that step here; otherwise
 * it is refused.
 */
export function beginsStep(step: number, { open, isWorking, hasGivenAll }: StepFacts): boolean {
  // A member that has heard all hellos may contribute before this one has: to the step that all will agree
  // on, no other.
  if (open === undefined) return !isWorking;
  if (step === open) return true;
  // Before this member has given everything to the open step, nobody can be ahead of it, and its memory is in
  // use.
  return step === open + 1 && hasGivenAll;
}

export interface Steps {
  /** The step that is summed next; undefined before the members have agreed on one. */
  openStep(): number | undefined;
  /** All go on at this step, whatever was begun before. */
  agreeOn(step: number): void;
  /** The open step is summed, and the next one is open; nobody can still ask for the one before it. */
  advance(): void;
  /** The sum of a step that is worked on. */
  reductionOf(step: number): Reduction | undefined;
  /** The sum of the open step, begun now if nothing has come for it yet. */
  openReduction(): Reduction;
  /** The sum that a contribution is for; undefined when it can be for no step that this member will sum. */
  reductionFor(step: number): Reduction | undefined;
  failAll(error: FleetError): void;
  clear(): void;
}

export function createSteps(createReduction: () => Reduction): Steps {
  const reductions = new Map<number, Reduction>();
  /** Of steps that are over, to be used again. */
  const spare: Reduction[] = [];
  let open: number | undefined;

  function begin(step: number): Reduction {
    const reduction = spare.pop() ?? createReduction();
    reduction.beginStep(step);
    reductions.set(step, reduction);
    return reduction;
  }

  function end(step: number): void {
    const reduction = reductions.get(step);
    if (reduction === undefined) return;
    reductions.delete(step);
    reduction.endStep();
    spare.push(reduction);
  }

  return {
    openStep: () => open,
    agreeOn(step) {
      open = step;
      for (const other of [...reductions.keys()]) if (other !== step) end(other);
    },
    advance() {
      const summed = open!;
      open = summed + 1;
      end(summed - 1);
    },
    reductionOf: (step) => reductions.get(step),
    openReduction: () => reductions.get(open!) ?? begin(open!),
    reductionFor(step) {
      const known = reductions.get(step);
      if (known !== undefined) return known;
      const hasGivenAll = open !== undefined && reductions.get(open)?.hasGivenAll() === true;
      return beginsStep(step, { open, isWorking: reductions.size > 0, hasGivenAll })
        ? begin(step)
        : undefined;
    },
    failAll(error) {
      for (const reduction of reductions.values()) reduction.failSum(error);
    },
    clear: () => reductions.clear(),
  };
}
