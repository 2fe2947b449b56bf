// What a trial costs in decisions alone: one finishes, the next is proposed and given out, at fleets of
// several sizes and with a long queue.

import { atMost, type Goal, say } from '../goals.ts';
import { createDecider, sweepOf } from './decider.ts';
import { cpuMs } from './processor.ts';

const FLEETS = [2, 16, 100, 1_000, 5_000];
/** Of a trial, milliseconds. */
const TRIAL_MS = 0.3;
const QUEUED_TRIAL_MS = 0.5;
/** Sizes from 16 workers on may differ by this factor. */
const SPREAD = 2;
const WARM_UP = 300;
/**
 * Measurements before the table, of TRIALS_MAX trials each. A trial of the first takes two and a half times as long as after
 * 10,000 trials, whatever the number of workers, because the engine still compiles.
 */
const WARM_UP_TIMES = 3;
const TRIALS_MAX = 3_000;
/** To look how much processor time has passed takes a tenth of a millisecond. */
const BETWEEN_LOOKS = 100;
/** A measurement ends after as much processor time, milliseconds. */
const CPU_MS_MAX = 8_000;

interface Measured {
  readonly workers: number;
  readonly open: number;
  readonly msPerTrial: number;
  readonly submitMs: number;
}

/** Milliseconds of a trial with as many busy workers as there are, and as many trials open as is said. */
function measure(workers: number, open: number): Measured {
  const decider = createDecider(workers);
  const begin = cpuMs();
  decider.give(sweepOf({ trials: 1_000_000, parallelism: open }));
  const submitMs = cpuMs() - begin;
  let next = 0;
  const turn = () => {
    next = (next + 7_919) % workers;
    decider.finish(`w${next}`);
    decider.takeEvents();
  };
  const warmUntil = cpuMs() + CPU_MS_MAX;
  for (let i = 0; i < WARM_UP && cpuMs() < warmUntil; i++) turn();
  const start = cpuMs();
  let trials = 0;
  while (trials < TRIALS_MAX && cpuMs() - start < CPU_MS_MAX)
    for (let i = 0; i < BETWEEN_LOOKS; i++) {
      turn();
      trials += 1;
    }
  return { workers, open, msPerTrial: (cpuMs() - start) / trials, submitMs };
}

/** The table of fleets, and the long queue. */
export function benchDecisions(): { goals: Goal[]; rows: unknown } {
  const rows: Measured[] = [];
  const note = (row: Measured): Measured => {
    rows.push(row);
    const { workers, open, msPerTrial, submitMs } = row;
    say(
      `${workers} workers, ${open} trials open: ${msPerTrial.toFixed(3)} ms a trial, submit ${submitMs.toFixed(0)} ms`,
    );
    return row;
  };
  // The goals are those of a coordinator that has decided for some minutes; what a new process takes is shown beside them.
  const warmUp = Array.from({ length: WARM_UP_TIMES }, () => measure(16, 16).msPerTrial);
  say(
    `warm-up, 16 workers, ${TRIALS_MAX} trials each: ${warmUp.map((ms) => ms.toFixed(3)).join(', ')} ms a trial`,
  );
  const fleets = FLEETS.map((workers) => note(measure(workers, workers)));
  const queued = note(measure(100, 1_000));
  const large = fleets.filter(({ workers }) => workers >= 16).map(({ msPerTrial }) => msPerTrial);
  const goals = [
    ...fleets.map(({ workers, msPerTrial }) =>
      atMost(`decide: a trial at ${workers} busy workers`, msPerTrial, TRIAL_MS, 'ms'),
    ),
    atMost(
      'decide: the dearest size against the cheapest, 16 to 5,000 workers',
      Math.max(...large) / Math.min(...large),
      SPREAD,
      'times',
    ),
    atMost('decide: a trial at 100 workers with 1,000 open', queued.msPerTrial, QUEUED_TRIAL_MS, 'ms'),
  ];
  return { goals, rows: { warmUp, fleets: rows } };
}
