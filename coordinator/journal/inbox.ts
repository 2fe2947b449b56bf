// The inputs that wait for their decision, each with its caller. Keeps their order: whatever is put back,
// because it could not be appended, is decided before what came after it.

import type { FleetError } from '../../core/errors.ts';
import type { Answer, Input } from '../decisions/inputs.ts';

/** An input and its caller. */
export interface Waiting {
  readonly input: Input;
  /** What follows from the input is on disk. */
  readonly resolve: (answer: Answer | undefined) => void;
  /** The input is refused, or what follows from it cannot be stored. */
  readonly reject: (error: FleetError) => void;
}

/** Inputs in the order in which they will be decided. */
export interface Inbox {
  readonly size: number;
  /** A tick is among them. */
  readonly tickWaits: boolean;
  /** Puts an input behind the others; resolves or rejects once it was decided. */
  put(input: Input): Promise<Answer | undefined>;
  /** Puts these before the others, in their order. */
  putFirst(waiting: readonly Waiting[]): void;
  /** Takes the oldest out, oldest first. */
  take(count: number): readonly Waiting[];
  /** Takes out those that are meant, all unless a choice is given, and rejects them. */
  reject(error: FleetError, isMeant?: (input: Input) => boolean): void;
}

/** An inbox without inputs. */
export function createInbox(): Inbox {
  let all: Waiting[] = [];
  let tickWaits = false;
  return {
    get size() {
      return all.length;
    },
    get tickWaits() {
      return tickWaits;
    },
    put: (input) =>
      new Promise((resolve, reject) => {
        tickWaits ||= input.kind === 'tick';
        all.push({ input, resolve, reject });
      }),
    putFirst(waiting) {
      all = [...waiting, ...all];
    },
    take(count) {
      const taken = all.splice(0, count);
      tickWaits = tickWaits && all.some(({ input }) => input.kind === 'tick');
      return taken;
    },
    reject(error, isMeant = () => true) {
      const meant = all.filter(({ input }) => isMeant(input));
      all = all.filter(({ input }) => !isMeant(input));
      tickWaits = all.some(({ input }) => input.kind === 'tick');
      for (const { reject } of meant) reject(error);
    },
  };
}
