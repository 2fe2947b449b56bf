// A thread for tests of thread calls: on request it answers at once or later, refuses, sends notes, or ends.

import { FleetError } from '../../core/errors.ts';
import { answerCalls } from '../../core/thread-calls.ts';

export type TestCalls = {
  readonly double: { readonly ask: number; readonly answer: number };
  /** Answered by the note `go`. */
  readonly later: { readonly ask: string; readonly answer: string };
  readonly refuse: { readonly ask: undefined; readonly answer: undefined };
  readonly mistake: { readonly ask: undefined; readonly answer: undefined };
  /** Fails with something that cannot be cloned, or answers with it. */
  readonly odd: { readonly ask: 'details' | 'answer'; readonly answer: unknown };
  readonly add: { readonly ask: Int32Array; readonly answer: undefined };
  readonly bytes: { readonly ask: number; readonly answer: Uint8Array<ArrayBuffer> };
  readonly exit: { readonly ask: number; readonly answer: undefined };
};
export type TestNote = 'go' | 'throw';

const waiting: (() => void)[] = [];
const note = answerCalls<TestCalls, TestNote, string, number>({
  answers: {
    double: (n) => 2 * n,
    later: (text) =>
      new Promise((resolve) => {
        note(`waits: ${text}`);
        waiting.push(() => resolve(text));
      }),
    refuse: () => {
      throw new FleetError('notFound', 'there is no such thing', { details: { field: 'a.b', bytes: 10n } });
    },
    mistake: () => {
      throw new TypeError('a mistake');
    },
    odd: (what) => {
      const uncloneable = () => 1;
      if (what === 'answer') return uncloneable;
      throw new FleetError('aborted', 'odd', { details: { uncloneable, kept: 1 } });
    },
    add: (shared) => {
      shared[0]! += 1;
      return undefined;
    },
    bytes: (count) => new Uint8Array(count).fill(7),
    exit: (code) => process.exit(code),
  },
  onNote: (what) => {
    if (what === 'throw') throw new Error('a note that cannot be taken');
    // In reverse order: the last call is answered first.
    for (const resolve of waiting.splice(0).reverse()) resolve();
  },
  transfer: (answer) => (answer instanceof Uint8Array ? [answer.buffer as ArrayBuffer] : []),
  beside: () => waiting.length,
});
