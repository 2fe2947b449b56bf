// What `why` says of the queue, of workers and of gangs, on the real scheduler.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHANGE_INTERVAL_MS } from '../../../../coordinator/scheduling/board.ts';
import { OVERTAKE_MS } from '../../../../coordinator/scheduling/reservation.ts';
import { sweep, teacher } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';

const workers = (min: number, max = min) => ({ workers: { min, max } });

test('the queue is told in the order of placing, with priority, use, weight and the reason of each', async () => {
  const fleet = handFleet({}, {});
  assert.deepEqual(await fleet.why({ about: 'queue' }), [
    'now: no run waits; 2 workers are there, 2 with a free slot, and 0 runs train',
  ]);
  fleet.submit(teacher(workers(2)), 'alice');
  fleet.wait(3_600_000);
  fleet.submit(sweep({ parallelism: 3, name: 'light', priority: 40 }), 'alice');
  fleet.submit(sweep({ parallelism: 1, name: 'other', weight: 2, priority: 40 }), 'bob');
  fleet.submit(teacher({ ...workers(1), require: { labels: { gpu: 'a100' } } }), 'bob');
  const [head, ...lines] = await fleet.why({ about: 'queue' });
  assert.equal(head, 'now: 5 runs wait; 2 workers are there, 0 with a free slot, and 1 run trains');
  assert.deepEqual(
    lines.map((line) => line.slice(0, line.indexOf(', waits for'))),
    [
      'now: 1. run-6: priority 50, runs by themselves used 0.0 worker-hours of late (weight 1) of bob, who used 0.0 in all',
      'now: 2. run-5: priority 40, sweep-2 used 0.0 worker-hours of late (weight 2) of bob, who used 0.0 in all',
      'now: 3. run-2 and 2 runs like it: priority 40, sweep-1 used 2.0 worker-hours of late (weight 1) of alice, who used 2.0 in all',
    ],
  );
  assert.match(lines[0]!, /: 0 of 1 workers: .*2 without what it requires \(label gpu=a100\)/);
  assert.match(lines[2]!, /waits for 0 s: 0 of 1 workers: 2 without a free slot/);
  fleet.wait(90_000);
  assert.match((await fleet.why({ id: 'run-6' })).at(-1)!, /^now: run-6 is queued: .*; it waits for 90 s$/);
  await assert.rejects(fleet.why({ about: 'queue', id: 'run-1' }), { code: 'invalidArgument' });
  await assert.rejects(fleet.why({ about: 'shape' }), /"shape" is neither queue nor gang/);
});

test('a worker tells what it holds and why its free slot stays free', async () => {
  const fleet = handFleet({}, {}, { slots: 2 });
  const now = async (id: string) => (await fleet.why({ id })).at(-1);
  assert.equal(await now('w1'), 'now: w1 holds no run; 1 of 1 slot free: no run waits');
  const run = fleet.submit(teacher(workers(1)));
  const [holder = ''] = fleet.gang(run);
  assert.equal(await now(holder), `now: ${holder} holds ${run} (shards 0 to 7 of 8); its slot is taken`);
  const large = fleet.submit(teacher(workers(3)));
  fleet.pass(OVERTAKE_MS + 1);
  const free = ['w1', 'w2'].find((id) => id !== holder)!;
  assert.equal(
    await now(free),
    `now: ${free} holds no run; 1 of 1 slot free: it is kept for ${large}, which needs 3 workers and lacks 1`,
  );
  fleet.give({ kind: 'cancel', id: large, reason: '' });
  const picky = fleet.submit(teacher({ ...workers(1), require: { labels: { gpu: 'a100' } } }));
  assert.equal(
    await now(free),
    `now: ${free} holds no run; 1 of 1 slot free: ${picky} requires label gpu=a100`,
  );
  fleet.give({ kind: 'drain', workerId: holder, undo: false, reason: 'new disks' });
  assert.match((await now(holder))!, /it drains and gets no other: .*new disks/);
});

test('a gang tells its generations and members, and while there is none what it waits for', async () => {
  const fleet = handFleet({}, {}, {});
  const run = fleet.submit(teacher(workers(1, 2)));
  fleet.pass(CHANGE_INTERVAL_MS);
  fleet.give({ kind: 'prioritise', id: run, priority: 60, reason: 'soon' });
  const told = await fleet.why({ about: 'gang', id: run });
  const last = told.at(-1)!;
  assert.match(told[0]!, /^run-1 got generation 1 with /);
  assert.ok(!told.some((line) => line.includes('was created')), 'nothing but the gang');
  assert.ok(told.some((line) => line.includes('has priority 60')));
  assert.match(
    last,
    /^now: generation \d of run-1 since 1970-01-01T00:00:\d\dZ: w1 \[0\.\.3\], w2 \[4\.\.7\] of cpu; 2 of 1 to 2 workers: /,
  );
  const wide = fleet.submit(teacher(workers(3)));
  fleet.pass(OVERTAKE_MS + 1);
  assert.match(
    (await fleet.why({ about: 'gang', id: wide })).at(-1)!,
    /^now: run-2 has no gang after 0 generations and needs 3 workers: 1 of 3 workers: .*; free ones are kept for it since/,
  );
  fleet.give({ kind: 'cancel', id: run, reason: '' });
  assert.ok(
    !(await fleet.why({ about: 'gang', id: run })).at(-1)!.startsWith('now:'),
    'what has ended waits for nothing',
  );
});

test('the story of a worker has each gang that it joins and leaves', async () => {
  const fleet = handFleet({}, {});
  const run = fleet.submit(teacher(workers(2)));
  const [first = '', second = ''] = fleet.gang(run);
  fleet.crash(second);
  fleet.give({ kind: 'cancel', id: run, reason: 'enough' });
  const story = (await fleet.why({ id: second })).filter((line) => line.startsWith(run));
  assert.match(story[0]!, /^run-1 got generation 1 with w\d \[.*\], w\d \[/);
  assert.equal(story.filter((line) => line.endsWith(`; ${second} leaves it`)).length, 1);
  const last = (await fleet.why({ id: first })).findLast((line) => line.startsWith(run));
  assert.match(last!, new RegExp(`^run-1 was cancelled: enough; ${first} leaves it$`));
  assert.ok(!(await fleet.why({ id: run })).some((line) => line.includes('leaves it')));
});
