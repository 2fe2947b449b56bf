// The volatile half of what a coordinator knows: who is on a stream, how far runs are, who complains of whom. Empty
// after each start. Decides what a decision sees of it.

import type { Observed } from './model/observed.ts';
import type { StartOptions } from './start-options.ts';
import { createImageTimes } from './workers/image-times.ts';
import { createLinks } from './workers/links.ts';
import { createProgressBoard } from './workers/progress-board.ts';
import { createRowRefusals } from './workers/row-refusals.ts';
import { createSuspicionBoard } from './workers/suspicion.ts';
import { createTimeBoard } from './workers/time-board.ts';

/** Begins with a fleet of which nothing was heard. */
export function observeFleet({ config, log, clock }: Pick<StartOptions, 'config' | 'log' | 'clock'>) {
  const links = createLinks({ clock, log, limits: config });
  const progress = createProgressBoard();
  const imageTimes = createImageTimes();
  const rowRefusals = createRowRefusals();
  const { heartbeatIntervalMs } = config;
  const suspicion = createSuspicionBoard({ now: clock.monotonic, heartbeatIntervalMs });
  const times = createTimeBoard();
  links.onDetach(progress.removeWorker);
  links.onDetach(suspicion.removeWorker);
  const observe = (): Observed => ({
    now: clock.now(),
    connected: suspicion.placeable(links.connected),
    stepOf: (runId) => progress.of(runId)?.point.step,
    speedOf: progress.speedOf,
    secondsOf: imageTimes.secondsOf,
    imageRowsBytes: config.imageRowsBytes,
    rowsRefusedOf: rowRefusals.of,
    openTimeOf: times.of,
  });
  return { links, progress, imageTimes, rowRefusals, suspicion, times, observe };
}

/** What one coordinator has seen of its fleet since it was started. */
export type ObservedFleet = ReturnType<typeof observeFleet>;
