// How long a unit waits for data: the time in which batches are outstanding and none is there to be computed.
// Batches of several shards are outstanding at once, so one that comes late costs nothing while another is
// being computed.

import type { Clock } from '../../core/clock.ts';
import type { BeginPhase } from '../../core/worker-time.ts';

export interface DataWait {
  /** A batch has arrived; its computation begins or queues behind another. */
  arrived(): void;
  /** The computation with a batch is over. */
  computed(): void;
  /** Seconds waited so far, without a wait that goes on. */
  seconds(): number;
  /** No batch is waited for any more. */
  readonly end: () => void;
}

/** The first wait begins now. `begin`: where the time of the run goes. */
export function createDataWait(clock: Pick<Clock, 'monotonic'>, begin: BeginPhase): DataWait {
  let endWait = begin('data_wait');
  let computing = 0;
  let idleSince = clock.monotonic();
  let waited = 0;
  return {
    arrived() {
      if (computing === 0) waited += clock.monotonic() - idleSince;
      endWait();
      computing++;
    },
    computed() {
      computing--;
      if (computing > 0) return;
      idleSince = clock.monotonic();
      endWait = begin('data_wait');
    },
    seconds: () => waited / 1000,
    end: () => endWait(),
  };
}
