// Which steps a member works on at once: the open one, the last one for whoever still asks for its sum, and the next one for whoever
// is ahead. Decides which step a message may be for and when the sum of one is over for all; what happens within a step
// is reduction.ts', when one ends exchange.ts'.

import type { FleetError } from '../errors.ts';
import type { Reduction } from './reduction.ts';

export interface Steps {
  /** The step that is summed next; undefined before the members have agreed on one. */
  open(): number | undefined;
  /** All go on at this step, whatever was begun before. */
  agree(step: number): void;
  /** The open step is summed, and the next one is open; nobody can still ask for the one before it. */
  advance(): void;
  /** Of a step that is worked on. */
  find(step: number): Reduction | undefined;
  /** Of the open step, begun now if nothing has come for it yet. */
  current(): Reduction;
  /** Where a contribution goes; undefined when it can be for no step that this member will sum. */
  forContribution(step: number): Reduction | undefined;
  fail(error: FleetError): void;
  clear(): void;
}

export function createSteps(createReduction: () => Reduction): Steps {
  const reductions = new Map<number, Reduction>();
  /** Of steps that are over. */
  const spare: Reduction[] = [];
  let open: number | undefined;

  function add(step: number): Reduction {
    const reduction = spare.pop() ?? createReduction();
    reduction.open(step);
    reductions.set(step, reduction);
    return reduction;
  }

  function end(step: number): void {
    const reduction = reductions.get(step);
    if (reduction === undefined) return;
    reductions.delete(step);
    reduction.end();
    spare.push(reduction);
  }

  return {
    open: () => open,
    agree(step) {
      open = step;
      for (const other of [...reductions.keys()]) if (other !== step) end(other);
    },
    advance() {
      const summed = open!;
      open = summed + 1;
      end(summed - 1);
    },
    find: (step) => reductions.get(step),
    current: () => reductions.get(open!) ?? add(open!),
    forContribution(step) {
      const known = reductions.get(step);
      if (known !== undefined) return known;
      // A member that has heard all may contribute before this one has: to the step that all will agree on, no other.
      if (open === undefined) return reductions.size === 0 ? add(step) : undefined;
      if (step === open) return add(step);
      // Nobody can be a step ahead before everything is given from here; until then the memory is in use.
      const ahead = step === open + 1 && reductions.get(open)?.hasGivenAll() === true;
      return ahead ? add(step) : undefined;
    },
    fail(error) {
      for (const reduction of reductions.values()) reduction.fail(error);
    },
    clear: () => reductions.clear(),
  };
}
