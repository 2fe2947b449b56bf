// A day of a small fleet whose owners ask for more than there is, while workers and coordinators are killed: who gets
// how much of it, and how long gangs that need most of it wait.

import assert from 'node:assert/strict';
import { runOf } from '../../coordinator/model/state.ts';
import { startFaults } from './faults.ts';
import { ownerOf } from './invariants.ts';
import { sweep, teacher } from './specs.ts';
import { followUsage } from './usage.ts';
import { userOf } from './users.ts';
import { createWorld, FACTS } from './world.ts';

const WORKERS = 8;
/** Steps of a run, which `stepMs` makes minutes: 4 an epoch. */
const EPOCHS = 5;
const SPREAD = 0.5;
const GANG = { min: 6, max: 6 };
/** As in coordinator/scheduling/reservation.ts: so long others may take what a gang waits for. */
const OVERTAKE_MS = 30_000;

/** Owners share alike, and their sweeps by weight. */
const DUE = { 'alice sweep-1': 1 / 8, 'alice sweep-2': 3 / 8, 'bob sweep-3': 1 / 2 };
/** Until a killed worker, or a leader, has been replaced and work is given out again, milliseconds. */
const AWAY_MS = 30_000;

/** What a day has shown. */
export interface Day {
  /** Shares of worker-seconds by owner, and by sweep within alice. */
  readonly shares: Readonly<Record<string, number>>;
  /** How long each gang has waited, milliseconds. */
  readonly waitedMs: readonly number[];
  readonly runs: number;
}

/**
 * Lives through `hours`, of which a run on one worker takes `runMs` on average. Alice has two sweeps of weights 1 and
 * 3, Bob one, and guests submit `gangs` runs that need 6 of 8 workers. Throws when a share is not within 5 % of what it
 * should be, or a gang waits for longer than all that trained when its workers began to be kept takes to end.
 */
export async function liveThroughDay(options: {
  readonly seed: number;
  readonly hours: number;
  readonly runMs: number;
  readonly gangs: number;
}): Promise<Day> {
  const { seed, hours, runMs, gangs } = options;
  const stepMs = runMs / (4 * EPOCHS);
  const world = createWorld({
    ...{ seed, coordinators: 2, stepMs, stepSpread: SPREAD, keepEvents: true },
    limits: { tickMs: 2_000, heartbeatIntervalMs: 10_000, heartbeatsMissedMax: 3 },
  });
  for (let i = 1; i <= WORKERS; i++) world.addWorker(`w${i}`, { slots: 1 });
  const evaluation = { training: { epochs: EPOCHS, batch: 16, shards: 8 } };
  const submit = async (owner: string, name: string, weight: number) => {
    const spec = sweep({ name, weight, strategy: { trials: 100_000 }, evaluation, parallelism: 2 * WORKERS });
    await world.call({
      kind: 'submit',
      documents: [{ kind: 'sweep', spec, facts: FACTS }],
      by: userOf(owner),
    });
  };
  const usage = followUsage(world, (run) => {
    const owner = ownerOf(world.witness.state, run);
    return run.sweepId === undefined ? owner : `${owner} ${run.sweepId}`;
  });
  await world.runUntil(() => (world.leader?.links.connected.size ?? 0) === WORKERS, 60_000);
  await submit('alice', 'light', 1);
  await submit('alice', 'heavy', 3);
  await submit('bob', 'other', 1);
  const endMs = world.now() + 3_600_000 * hours;
  const done = () => world.now() >= endMs;
  startFaults(world, { everyMs: runMs, done, appendsADeath: 200 });
  const waitedMs: number[] = [];
  for (let i = 1; i <= gangs; i++) {
    await world.runUntil(
      () => world.now() >= endMs - ((gangs + 1 - i) / (gangs + 1)) * 3_600_000 * hours,
      1e9,
    );
    waitedMs.push(await gangStarts());
  }
  await world.runUntil(done, 1e9);

  /** A gang comes; how long it waits. */
  async function gangStarts(): Promise<number> {
    const spec = teacher({ name: 'gang', workers: GANG, training: { ...evaluation.training, epochs: 1 } });
    const answer = await world.call({
      ...{ kind: 'submit', documents: [{ kind: 'run', spec, facts: FACTS }], by: userOf('guest') },
    });
    const id = answer?.kind === 'submitted' ? answer.runIds[0]! : '';
    const from = world.now();
    await world.runUntil(() => runOf(world.witness.state, id).startedAtMs !== undefined, 1e9);
    return world.now() - from;
  }

  const shares: Record<string, number> = {};
  const all = usage.total - usage.of('guest');
  for (const [key, due] of Object.entries(DUE)) {
    const share = usage.of(key) / all;
    shares[key] = share;
    assert.ok(Math.abs(share / due - 1) < 0.05, `seed ${seed}: ${key} has ${share} in place of ${due}`);
  }
  // A run may be slower by the spread, and a killed worker is away for some seconds.
  const bound = OVERTAKE_MS + (1 + SPREAD) * runMs + AWAY_MS;
  for (const ms of waitedMs)
    assert.ok(ms <= bound, `seed ${seed}: a gang waited ${ms} ms of ${bound} at most`);
  return { shares, waitedMs, runs: world.witness.ends.get('run.finished') ?? 0 };
}
