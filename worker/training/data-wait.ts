// How long a step waits for data: the time in which batches are outstanding and none is there to be computed. Batches of
// several shards are asked for at once, in one step or in the steps of their own rounds, so one that comes late costs nothing while
// another is being computed.

import type { Clock } from '../../core/clock.ts';

export interface DataWait {
  /** A batch is there and its computation begins, or queues behind another. */
  arrived(): void;
  /** A batch is done with. */
  computed(): void;
  /** So far, without a wait that has not ended. */
  seconds(): number;
}

/** Waits from now on. */
export function createDataWait(clock: Pick<Clock, 'monotonic'>): DataWait {
  let computing = 0;
  let idleSince = clock.monotonic();
  let waited = 0;
  return {
    arrived() {
      if (computing === 0) waited += clock.monotonic() - idleSince;
      computing++;
    },
    computed() {
      computing--;
      if (computing === 0) idleSince = clock.monotonic();
    },
    seconds: () => waited / 1000,
  };
}
