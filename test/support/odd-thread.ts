// A thread for tests of the thread pool: on request it answers, refuses, fills its memory, spins, or ends.

import { FleetError } from '../../core/errors.ts';
import { answerPool } from '../../core/thread-pool.ts';

export type Odd =
  | { readonly kind: 'echo'; readonly value: unknown }
  | { readonly kind: 'count'; readonly to: number }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'grow' }
  /** Adds one to `turns[0]` for as long as the thread lives. */
  | { readonly kind: 'spin'; readonly turns: Int32Array }
  | { readonly kind: 'exit' };

answerPool<Odd, number>((odd, progress) => {
  switch (odd.kind) {
    case 'echo':
      return odd.value;
    case 'count':
      for (let i = 1; i <= odd.to; i++) progress(i);
      return 'counted';
    case 'refuse':
      throw new FleetError('notFound', 'there is no such thing', { details: { field: 'a.b' } });
    case 'grow': {
      const kept: unknown[] = [];
      for (;;) kept.push(Array.from({ length: 1000 }, (_, i) => ({ i })));
    }
    case 'spin':
      for (;;) Atomics.add(odd.turns, 0, 1);
    case 'exit':
      process.exit(7);
  }
});
