// `npm run soak:control`: the whole control plane in one process under a fake clock, 5,000 workers and 100,000
// trials, then 1,000,000, with faults all the way. Ends with 0 when every trial has ended once, no worker
// stood idle beside work, memory stayed bounded and the leader's state is the fold of the journal. The seed is
// of the hour unless POCKETFLEET_SEED gives one.

import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { seedOf } from '../fault/seed.ts';
import { liveThroughDay } from './day.ts';
import { startFaults } from './faults.ts';
import { calmMoves, type LifeCounts, liveThrough } from './life.ts';
import { sweep } from './specs.ts';
import { createWorld, FACTS, type World } from './world.ts';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '5000' },
    trials: { type: 'string', multiple: true, default: ['100000', '1000000'] },
    calm: { type: 'boolean', default: false },
    lives: { type: 'string' },
    day: { type: 'string' },
  },
});
const WORKERS = Number(values.workers);
/** Milliseconds of a trial on average, and how far a trial may be from it. */
const TRIAL_MS = 10_000;
const SPREAD = 0.8;
/** Between two faults on average, milliseconds, and appends of which one kills its writer. */
const FAULTS = { everyMs: 4_000, appendsADeath: 1_000 };
/**
 * In a course of more trials than so many: after each fault of a coordinator all workers attach anew, and one that
 * starts reads a snapshot of all trials, which costs as much as thousands of trials do.
 */
const LONG_TRIALS = 100_000;
const LONG_FAULTS = { everyMs: 60_000, appendsADeath: 20_000 };
/** Heap that each coordinator may take: for the fleet, and for each trial. */
const FLEET_BYTES = 200e6;
const TRIAL_BYTES = 2_500;
const COORDINATORS = 2;
/** Trials of each search of a life. */
const LIFE_TRIALS = 12;
/** Of a run of a day on one worker, milliseconds, and how many gangs come. */
const DAY_RUN_MS = 600_000;
const DAY_GANGS = 24;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

function heapBytes(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return process.memoryUsage().heapUsed;
}

async function soak(seed: number, trials: number): Promise<void> {
  const startedAt = performance.now();
  const cpu = process.cpuUsage();
  const world = createWorld({
    ...{ seed, coordinators: COORDINATORS, stepMs: TRIAL_MS, stepSpread: SPREAD, keepEvents: false },
    ...{ groupEventsMax: 400, limits: { heartbeatIntervalMs: 2_000, heartbeatsMissedMax: 5 } },
  });
  for (let i = 1; i <= WORKERS; i++) world.addWorker(`w${i}`, { slots: 1 });
  const attached = () => (world.leader?.links.connected.size ?? 0) >= WORKERS;
  await world.runUntil(attached, 120_000);
  const evaluation = { training: { epochs: 1, batch: 64, shards: 1 } };
  const spec = sweep({ strategy: { trials }, evaluation, parallelism: WORKERS });
  await world.call({ kind: 'submit', documents: [{ kind: 'sweep', spec, facts: FACTS }] });
  const ended = () => endsOf(world, 'trial.ended');
  const done = () => ended() >= trials;
  const faults = values.calm
    ? undefined
    : startFaults(world, {
        ...(trials > LONG_TRIALS ? LONG_FAULTS : FAULTS),
        workersAtOnce: Math.ceil(WORKERS / 200),
        done,
      });
  const fakeFrom = world.now();
  const fakeMs = (20 * TRIAL_MS * trials) / WORKERS + 600_000;
  for (let quarter = 1; quarter <= 4; quarter++) {
    const goal = Math.ceil((trials * quarter) / 4);
    await world.runUntil(() => ended() >= goal, fakeMs);
    const heap = heapBytes();
    say(`  ${ended()} trials: heap ${(heap / 1e6).toFixed(0)} MB, ${seconds(startedAt)} s`);
    assert.ok(heap <= COORDINATORS * (FLEET_BYTES + TRIAL_BYTES * ended()), `heap ${heap} bytes`);
  }
  await world.runUntil(() => world.witness.open.size === 0 && world.leader?.isSettled === true, 600_000);
  const failed = endsOf(world, 'trial.ended failed');
  assert.equal(ended(), trials, 'each trial has ended once');
  assert.equal(endsOf(world, 'trial.ended done') + failed, trials);
  // Workers die all the time, but no run is at fault for it.
  assert.ok(failed <= trials / 10_000, `${failed} trials have failed`);
  world.checkFold();
  const { user, system } = process.cpuUsage(cpu);
  say(
    `${trials} trials on ${WORKERS} workers: ${endsOf(world, 'trial.ended done')} done, ${failed} failed, 0 lost, 0 doubled; ${((world.now() - fakeFrom) / 1000).toFixed(0)} s of fake time in ${seconds(startedAt)} s, ${((user + system) / 1e6).toFixed(0)} s of processor time; ${(world.broker.bytes / trials).toFixed(0)} bytes a trial; faults ${JSON.stringify(faults ?? {})}`,
  );
}

const seconds = (since: number): string => ((performance.now() - since) / 1000).toFixed(0);

/** Ends of all kinds that begin so. */
function endsOf({ witness: { ends } }: World, prefix: string): number {
  let sum = 0;
  for (const [kind, count] of ends) if (kind.startsWith(prefix)) sum += count;
  return sum;
}

/** Small fleets with searches of every strategy, users and faults, one seed after the other for so many minutes. */
async function lives(first: number, minutes: number): Promise<void> {
  const endMs = performance.now() + 60_000 * minutes;
  const total = new Map<string, number>();
  const expected = await calmMoves(LIFE_TRIALS);
  let seed = first;
  for (; performance.now() < endMs; seed++) {
    let counts: LifeCounts;
    try {
      counts = await liveThrough(seed, LIFE_TRIALS, expected);
    } catch (caught) {
      say(`seed ${seed}: POCKETFLEET_SEED=${seed} npm run soak:control -- --lives 0.01 repeats this life`);
      throw caught;
    }
    for (const [kind, count] of Object.entries(counts)) total.set(kind, (total.get(kind) ?? 0) + count);
  }
  say(
    `${seed - first} lives of ${6 * LIFE_TRIALS} trials: ${[...total].map((one) => one.join(' ')).join(', ')}`,
  );
}

/** So many hours of a small fleet that is asked for more than it has. */
async function day(first: number, hours: number): Promise<void> {
  const { shares, waitedMs, runs } = await liveThroughDay({
    seed: first,
    hours,
    runMs: DAY_RUN_MS,
    gangs: DAY_GANGS,
  });
  const waited = waitedMs.map((ms) => (ms / 1000).toFixed(0));
  say(`${runs} runs in ${hours} h: shares ${JSON.stringify(shares)}; gangs waited ${waited.join(', ')} s`);
}

const seed = seedOf(Date.now() % 0x1_0000_0000);
say(`seed ${seed}`);
try {
  if (values.day !== undefined) await day(seed, Number(values.day));
  else if (values.lives !== undefined) await lives(seed, Number(values.lives));
  else for (const trials of values.trials) await soak(seed, Number(trials));
} catch (caught) {
  say(`${(caught as Error).stack}\nPOCKETFLEET_SEED=${seed} npm run soak:control repeats this course`);
  process.exitCode = 1;
}
