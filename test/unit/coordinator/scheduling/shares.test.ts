import assert from 'node:assert/strict';
import test from 'node:test';
import { usedAt } from '../../../../coordinator/model/accounts.ts';
import { entriesOf, lookup } from '../../../../coordinator/model/persistent-map.ts';
import { openRuns, type RunState } from '../../../../coordinator/model/state.ts';
import { runSchema } from '../../../../core/spec/run.ts';
import { sweepSchema } from '../../../../core/spec/sweep.ts';
import { chanceOf } from '../../../sim/chance.ts';
import { sweep, teacher } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const one = { min: 1, max: 1 };
const many = { strategy: { trials: 1_000 }, parallelism: 12 };

/** Runs a fleet of eight workers for a while; runs take 5 to 35 minutes. Worker-milliseconds by what `of` says of a run. */
function life(fleet: ReturnType<typeof handFleet>, forMs: number, of: (run: RunState) => string) {
  const chance = chanceOf(7);
  const endMs = fleet.now() + forMs;
  const ends = new Map<string, number>();
  const used = new Map<string, number>();
  for (;;) {
    const running = openRuns(fleet.state()).filter((run) => run.state === 'running');
    for (const { id } of running)
      if (!ends.has(id)) ends.set(id, fleet.now() + Math.floor((5 + 30 * chance()) * MINUTE));
    const next = running.reduce((a, b) => (ends.get(b.id)! < ends.get(a.id)! ? b : a));
    const passed = Math.min(ends.get(next.id)!, endMs) - fleet.now();
    for (const run of running) used.set(of(run), (used.get(of(run)) ?? 0) + passed * run.gang.length);
    fleet.wait(passed - 1);
    if (ends.get(next.id)! >= endMs) return used;
    const { id: runId, generation, gang } = next;
    const evaluation = { accuracy: 0.5, accuracyStd: 0, auc: 0.5, eer: 0.5, tarAtFar: 0, pairs: 1 };
    const done = { kind: 'finished', runId, generation, step: 8, weightsDigest: 'd', evaluation } as const;
    fleet.report(gang[0]!.workerId, done);
  }
}

const eight = () => handFleet(...Array.from({ length: 8 }, () => ({})));
const sweepOfRun = (run: RunState) => run.sweepId!;

function assertShares(used: ReadonlyMap<string, number>, expected: Readonly<Record<string, number>>): void {
  const total = [...used.values()].reduce((sum, ms) => sum + ms, 0);
  const weights = Object.values(expected).reduce((sum, weight) => sum + weight, 0);
  for (const [id, weight] of Object.entries(expected)) {
    const share = (used.get(id) ?? 0) / total;
    const due = weight / weights;
    assert.ok(
      Math.abs(share / due - 1) < 0.05,
      `${id} has ${share.toFixed(4)} in place of ${due.toFixed(4)}`,
    );
  }
}

test('over a day sweeps get workers by their weight within an owner, and owners alike, whatever they submit', () => {
  const fleet = eight();
  const light = fleet.submit(sweep({ ...many, name: 'light' }), 'alice');
  const heavy = fleet.submit(sweep({ ...many, name: 'heavy', weight: 3 }), 'alice');
  // Before shares it was age: the first sweep would have had everything.
  const other = fleet.submit(sweep({ ...many, name: 'other', weight: 100, parallelism: 8 }), 'bob');
  assertShares(life(fleet, DAY, sweepOfRun), { [light]: 1, [heavy]: 3, [other]: 4 });
});

test('runs by themselves are one share of their owner, as a sweep is', () => {
  const fleet = eight();
  const search = fleet.submit(sweep(many));
  for (let i = 0; i < 150; i++) fleet.submit(teacher({ workers: one, name: `run-${i}` }));
  assertShares(
    life(fleet, DAY / 4, (run) => run.sweepId ?? 'runs'),
    { [search]: 1, runs: 1 },
  );
});

test('a sweep that comes later gets its share from then on, and not all until it has caught up', () => {
  const fleet = eight();
  const early = fleet.submit(sweep({ ...many, name: 'early' }));
  life(fleet, DAY / 3, sweepOfRun);
  const late = fleet.submit(sweep({ ...many, name: 'late' }));
  life(fleet, HOUR, sweepOfRun);
  assertShares(life(fleet, DAY / 3, sweepOfRun), { [early]: 1, [late]: 1 });
});

test('what an owner used counts half after a half-life: the sum by hand is the sum of the account', () => {
  const account = { usedMs: 1_000, atMs: 0, workers: 0, open: 0 };
  const halfLife = DAY;
  assert.ok(Math.abs(usedAt(account, DAY, halfLife) - 500) < 1e-9);
  assert.ok(Math.abs(usedAt(account, 3 * DAY, halfLife) - 125) < 1e-9);
  assert.equal(usedAt(account, 1_000 * DAY, halfLife), 0);
  // Step by step and at once is the same, in every place of a quantum.
  for (const workers of [0, 1, 5]) {
    let stepped = { ...account, workers, atMs: 12_345 };
    for (let at = 12_345; at < 2 * DAY; at += 777_777) {
      const nowMs = at + 777_777;
      stepped = { ...stepped, usedMs: usedAt(stepped, nowMs, halfLife), atMs: nowMs };
      const atOnce = usedAt({ ...account, workers, atMs: 12_345 }, nowMs, halfLife);
      assert.ok(Math.abs(stepped.usedMs / atOnce - 1) < 1e-9);
    }
  }
  // Without decay it is workers by time.
  assert.equal(usedAt({ ...account, workers: 3 }, 1_000, halfLife), 4_000);
});

test('accounts are kept for owners and for what is open, and no longer', () => {
  const fleet = handFleet({}, {});
  const keys = () => [...entriesOf(fleet.state().accounts)].map(([key]) => key).sort();
  const id = fleet.submit(sweep({ ...many, parallelism: 1 }), 'alice');
  const run = fleet.submit(teacher({ workers: one, weight: 2 }), 'bob');
  fleet.wait(HOUR);
  assert.deepEqual(keys(), ['owner alice', 'owner bob', 'runs 2 bob', id]);
  assert.equal(lookup(fleet.state().accounts, id)?.workers, 1);
  fleet.give({ kind: 'cancel', id, reason: '' });
  fleet.give({ kind: 'cancel', id: run, reason: '' });
  assert.deepEqual(keys(), ['owner alice', 'owner bob']);
  assert.ok(lookup(fleet.state().accounts, 'owner alice')!.usedMs > 0.95 * HOUR);
  fleet.give({ kind: 'resume', id, reason: '' });
  assert.deepEqual(keys(), ['owner alice', 'owner bob', id]);
});

/** Hours until a run of priority 0 has a worker, whose only one goes through runs of this priority. */
function hoursUnder(priority: number) {
  const fleet = handFleet({});
  let busy = fleet.submit(teacher({ workers: one, priority }), 'bob');
  const low = fleet.submit(teacher({ workers: one, priority: 0 }), 'carol');
  let hours = 0;
  for (; fleet.gang(low).length === 0; hours += 0.5) {
    assert.ok(hours < 12, 'not for ever');
    const next = fleet.submit(teacher({ workers: one, priority }), 'bob');
    fleet.wait(HOUR / 2);
    fleet.give({ kind: 'cancel', id: busy, reason: '' });
    busy = next;
  }
  return { fleet, low, hours };
}

test('a low priority ages until it shares with higher ones, whatever they are, and equal priorities do not', () => {
  for (const [priority, least] of [
    [30, 3],
    [100, 10],
  ] as const) {
    const { hours } = hoursUnder(priority);
    assert.ok(hours >= least && hours <= least + 0.5, `it has waited for ${hours} h`);
  }
});

test('a run that was placed because it had aged keeps its workers against the priority that it had aged to', () => {
  const { fleet, low } = hoursUnder(30);
  const before = fleet.run(low);
  assert.match(before.reason, /; waiting has raised its priority from 0 to 30$/);
  const state = () => fleet.run(low).state;
  // Those that it was placed before wait beside it.
  fleet.pass(10 * 60_000);
  assert.deepEqual([fleet.run(low).generation, state()], [before.generation, 'running']);
  const urgent = fleet.submit(teacher({ workers: one, priority: 31 }), 'bob');
  assert.deepEqual([state(), fleet.run(low).pausing?.forRunId], ['pausing', urgent]);
  const { generation } = fleet.run(low);
  fleet.report('w1', { kind: 'paused', runId: low, generation, step: 0 });
  assert.equal(fleet.run(low).agedPriority, undefined, 'it waits anew');
});

test('a priority that somebody sets takes the place of what waiting had given', () => {
  const { fleet, low } = hoursUnder(30);
  fleet.give({ kind: 'prioritise', id: low, priority: 5, reason: '' });
  fleet.pass(1_000);
  assert.equal(fleet.run(low).state, 'pausing');
});

test('where several shares wait a reason has what each has used', () => {
  const fleet = handFleet({});
  fleet.submit(teacher({ workers: one }), 'alice');
  const waits = fleet.submit(teacher({ workers: one }), 'alice');
  assert.equal(fleet.reason(waits), 'queued: 0 of 1 workers: 1 without a free slot');
  const other = fleet.submit(sweep({ ...many, parallelism: 1, weight: 2 }), 'bob');
  fleet.wait(3 * HOUR);
  fleet.pass(1);
  assert.match(
    fleet.reason(waits),
    /; its share has used 2.9 worker-hours of late \(weight 1\), alice 2.9 in all$/,
  );
  const [trial] = openRuns(fleet.state()).filter(({ sweepId }) => sweepId === other);
  assert.match(
    fleet.reason(trial!.id),
    /; sweep-1 has used 0.0 worker-hours of late \(weight 2\), bob 0.0 in all$/,
  );
});

test('a weight is a positive number', () => {
  for (const schema of [runSchema, sweepSchema])
    for (const weight of [0, -1, Number.POSITIVE_INFINITY, 'much']) {
      const parsed = schema.safeParse({ ...(schema === runSchema ? teacher() : sweep()), weight });
      assert.deepEqual(
        parsed.error?.issues.map(({ path }) => path.join('.')),
        ['weight'],
      );
    }
});
