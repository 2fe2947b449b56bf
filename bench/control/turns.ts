// The longest turn of the event loop while a large sweep is submitted to the real driver: whatever else the
// coordinator does, heartbeats and calls of a thousand workers, waits for as long.

import { pino } from 'pino';
import { createDesk } from '../../coordinator/decisions/desk.ts';
import { createDriver } from '../../coordinator/journal/driver.ts';
import { openLease } from '../../coordinator/journal/lease.ts';
import { prepareSpaces } from '../../coordinator/strategies/spaces.ts';
import { createBroker } from '../../test/sim/broker.ts';
import { createHost } from '../../test/sim/host.ts';
import { createMemoryJournal, memoryLeaseKey } from '../../test/sim/memory-journal.ts';
import { until } from '../../test/support/processes.ts';
import { connections } from '../../test/support/state.ts';
import { atMost, type Goal, say } from '../goals.ts';
import { helloOf, sweepOf } from './decider.ts';
import { cpuMs } from './processor.ts';

const PARALLELISMS = [1_000, 5_000];
const TURN_MS_MAX = 20;
const ASSIGNED_MS = 120_000;
/** Events of a message, as many as the real journal's 256 KB have. */
const GROUP_EVENTS_MAX = 400;

/**
 * The longest turn between now and `stop`: time that passed, or the processor time of this process where that is less.
 * What the thread itself takes is no more than either; other programs lengthen the one, and the threads beside it,
 * which collect garbage and compile, the other.
 */
function watchTurns(): { stop(): number } {
  let longest = 0;
  let stopped = false;
  let last = { passed: performance.now(), cpu: cpuMs() };
  const look = () => {
    const now = { passed: performance.now(), cpu: cpuMs() };
    longest = Math.max(longest, Math.min(now.passed - last.passed, now.cpu - last.cpu));
    last = now;
    if (!stopped) setImmediate(look);
  };
  setImmediate(look);
  return {
    stop() {
      stopped = true;
      look();
      return longest;
    },
  };
}

async function measure(parallelism: number) {
  const host = createHost('bench', 'bench', {
    now: () => performance.now(),
    later(ms, action) {
      const timer = setTimeout(action, ms);
      return () => clearTimeout(timer);
    },
    runUntil: () => Promise.reject(new Error('time passes by itself')),
  });
  let assigned = 0;
  const connected = new Set(Array.from({ length: parallelism }, (_, i) => `w${i}`));
  const there = connections(connected);
  const { clock } = host;
  const broker = createBroker();
  const driver = createDriver({
    journal: createMemoryJournal({ broker, host, groupEventsMax: GROUP_EVENTS_MAX }),
    lease: openLease({
      key: memoryLeaseKey({ broker, host }),
      ...{ address: Promise.resolve(host.name), version: 'bench', clock },
    }),
    onLead: () => undefined,
    onLeave: () => undefined,
    ...{ clock, log: pino({ level: 'silent' }), version: 'bench' },
    observe: () => ({ now: clock.now(), connected: there }),
    desk: createDesk(clock),
    perform(effect) {
      if (effect.kind === 'send' && effect.command.kind === 'assign') assigned += 1;
    },
    prepare: () => Promise.resolve(),
  });
  await driver.begun;
  await Promise.all(
    [...connected].map((workerId) => driver.submit({ kind: 'attached', hello: helloOf(workerId) })),
  );
  const submission = sweepOf({ trials: 1_000_000, parallelism });
  const turns = watchTurns();
  const start = cpuMs();
  // As a call does before it hands its documents to the driver.
  await prepareSpaces(submission.documents.map(({ spec }) => spec));
  await driver.submit(submission);
  const answeredMs = cpuMs() - start;
  await until('each worker has a run', () => assigned === parallelism, ASSIGNED_MS);
  const allMs = cpuMs() - start;
  const longestMs = turns.stop();
  await driver.close();
  return { parallelism, longestMs, answeredMs, allMs };
}

/** A submit to a fleet of as many idle workers as trials may be open. */
export async function benchTurns(): Promise<{ goals: Goal[]; rows: unknown }> {
  const rows = [];
  for (const parallelism of PARALLELISMS) {
    const row = await measure(parallelism);
    rows.push(row);
    say(
      `a submit with parallelism ${parallelism}: answered after ${row.answeredMs.toFixed(0)} ms, all placed after ${row.allMs.toFixed(0)} ms, longest turn ${row.longestMs.toFixed(1)} ms`,
    );
  }
  const goals = rows.map(({ parallelism, longestMs }) =>
    atMost(`submit: longest turn with parallelism ${parallelism}`, longestMs, TURN_MS_MAX, 'ms'),
  );
  return { goals, rows };
}
