// Two coordinators, gangs, students and a sweep, and everything that can fail failing: no trial is lost, none
// ends twice, nobody idles beside work, and somebody leads. The large sizes are in soak.ts.

import assert from 'node:assert/strict';
import test from 'node:test';
import type { CheckedDocument } from '../../coordinator/decisions/inputs.ts';
import { lookup, valuesOf } from '../../coordinator/model/persistent-map.ts';
import { runOf } from '../../coordinator/model/state.ts';
import { plainOf } from '../support/state.ts';
import { type FaultCounts, startFaults } from './faults.ts';
import { student, sweep, teacher, training } from './specs.ts';
import { allEnded, createWorld, FACTS } from './world.ts';

const SEEDS = [43];
const WORKERS = 10;
const TRIALS = 80;
const TEACHERS = 8;

const run = (spec: ReturnType<typeof teacher>): CheckedDocument => ({ kind: 'run', spec, facts: FACTS });

function isConnected({ leader }: ReturnType<typeof createWorld>, id: string): boolean {
  return leader !== undefined && lookup(leader.links.connected, id) === true;
}

test('leaders, standbys, workers, appends and clocks fail, and everything ends once and done', async () => {
  const total: Partial<FaultCounts> = {};
  for (const seed of SEEDS) {
    const world = createWorld({ seed, coordinators: 2, groupEventsMax: 5, snapshotEvents: 300 });
    for (let i = 1; i <= WORKERS; i++) world.addWorker(`w${i}`);
    const documents: CheckedDocument[] = [];
    for (let i = 0; i < TEACHERS; i++) {
      const workers = { min: 1 + (i % 2), max: 2 + (i % 3) };
      documents.push(run(teacher({ name: `t${i}`, training: { ...training, epochs: 20 }, workers })));
      documents.push(run(student(`t${i}`, { name: `s${i}`, training: { ...training, epochs: 10 } })));
    }
    const spec = sweep({ strategy: { trials: TRIALS } });
    await world.call({ kind: 'submit', documents: [...documents, { kind: 'sweep', spec, facts: FACTS }] });
    const counts = startFaults(world, { everyMs: 1_000, done: () => allEnded(world), appendsADeath: 50 });
    await world.runUntil(() => allEnded(world), 3_600_000);
    await world.runUntil(() => world.leader?.isSettled === true, 60_000);
    assert.ok(world.broker.snapshot !== undefined, `seed ${seed}: a start has a snapshot to begin with`);
    const { ends, open, state } = world.witness;
    assert.deepEqual([...open], [], `seed ${seed}: something was lost`);
    const counted = { trials: ends.get('trial.ended done'), runs: ends.get('run.finished') };
    assert.deepEqual(counted, { trials: TRIALS, runs: TRIALS + 2 * TEACHERS }, `seed ${seed}`);
    const led = plainOf(world.leader!.driver.state);
    assert.deepEqual(led, plainOf(state), `seed ${seed}: the leader's state`);
    world.checkFold();
    for (const [kind, count] of Object.entries(counts))
      total[kind as keyof FaultCounts] = (total[kind as keyof FaultCounts] ?? 0) + count;
  }
  for (const [kind, count] of Object.entries(total)) assert.ok(count > 0, `no ${kind} in any seed`);
});

test('a leader that stood still while another took over sends nothing and answers nothing of its own', async () => {
  const world = createWorld({ seed: 5, coordinators: 2 });
  world.addWorker('w1');
  await world.runUntil(() => world.leader !== undefined, 10_000);
  const old = world.leader!;
  const place = world.coordinators.indexOf(old);
  const spec = teacher({ training: { epochs: 200, batch: 16, shards: 8 } });
  const answer = await world.call({ kind: 'submit', documents: [run(spec)] });
  assert.equal(answer?.kind, 'submitted');
  const [id = ''] = answer.kind === 'submitted' ? answer.runIds : [];
  await world.runUntil(() => runOf(world.witness.state, id).checkpoints.length > 2, 10_000);
  world.stopCoordinator(place, 20_000);
  // Both were asked before either knew of the other.
  let outcome = '';
  old.submit({ kind: 'cancel', id, reason: 'by the old leader' }).then(
    () => {
      outcome = 'answered';
    },
    (error) => {
      outcome = error.code;
    },
  );
  await world.runUntil(() => world.leader !== undefined && world.leader !== old, 10_000);
  await world.runUntil(() => outcome !== '', 60_000);
  assert.equal(outcome, 'unavailable');
  const { generation } = runOf(world.witness.state, id);
  await world.runUntil(() => old.driver.leads === false, 10_000);
  const { checkpoints } = runOf(world.witness.state, id);
  await world.runUntil(
    () => runOf(world.witness.state, id).checkpoints.length > checkpoints.length + 5,
    60_000,
  );
  assert.equal(runOf(world.witness.state, id).state, 'running');
  assert.equal(runOf(world.witness.state, id).generation, generation, 'its worker was left alone');
});

test('a leader that stood still drops no run of the one that took over, though the worker dials it again', async () => {
  const world = createWorld({ seed: 7, coordinators: 2 });
  world.addWorker('w1');
  // It has journalled the worker, so that it decides about the worker's next stream without an event.
  await world.runUntil(() => isConnected(world, 'w1'), 10_000);
  await world.runUntil(() => world.leader?.isSettled === true, 10_000);
  const old = world.leader!;
  const place = world.coordinators.indexOf(old);
  const worker = world.workers.get('w1')!;
  world.stopCoordinator(place, 20_000);
  const goesOnMs = world.now() + 20_000;
  await world.runUntil(() => world.leader !== undefined && world.leader !== old, 10_000);
  await world.runUntil(() => isConnected(world, 'w1'), 60_000);
  const spec = teacher({ training: { epochs: 2000, batch: 16, shards: 8 } });
  await world.call({ kind: 'submit', documents: [run(spec)] });
  await world.runUntil(() => worker.held.size === 1, 10_000);
  // The old leader finds the hello before it finds out that it was replaced.
  await world.runUntil(() => world.now() >= goesOnMs - 500, 20_000);
  worker.redial(place);
  await world.runUntil(() => world.now() >= goesOnMs + 400, 12_000);
  assert.equal(old.driver.leads, false);
  assert.equal(worker.held.size, 1, 'the run was released by a coordinator that does not lead');
  await world.runUntil(() => isConnected(world, 'w1'), 60_000);
  assert.equal(worker.held.size, 1);
});

test('an hour that only the clock has seen is charged to nobody', async () => {
  const world = createWorld({ seed: 6 });
  world.addWorker('w1');
  const spec = teacher({ training: { epochs: 400, batch: 16, shards: 8 } });
  await world.call({ kind: 'submit', documents: [run(spec)] });
  const isCharged = () => [...valuesOf(world.witness.state.accounts)].some(({ workers }) => workers > 0);
  await world.runUntil(isCharged, 10_000);
  world.jumpClock(0, 3_600_000);
  const jumps = () => world.events.filter(({ kind }) => kind === 'clock.jumped');
  await world.runUntil(() => jumps().length > 0, 5_000);
  const accounts = [...valuesOf(world.witness.state.accounts)];
  assert.ok(accounts.length > 0);
  for (const { usedMs } of accounts) assert.ok(usedMs < 20_000, `${usedMs} ms are charged`);
  await world.runUntil(() => false, 3_000).catch(() => undefined);
  assert.equal(jumps().length, 1, 'it is told once');
});

test('a clock that goes back by an hour makes no decision wait', async () => {
  const world = createWorld({ seed: 6 });
  world.addWorker('w1');
  const spec = teacher({ training: { epochs: 400, batch: 16, shards: 8 }, workers: { min: 1, max: 2 } });
  const answer = await world.call({ kind: 'submit', documents: [run(spec)] });
  const [id = ''] = answer?.kind === 'submitted' ? answer.runIds : [];
  const gang = () => runOf(world.witness.state, id).gang.length;
  await world.runUntil(() => gang() === 1, 10_000);
  world.jumpClock(0, -3_600_000);
  world.addWorker('w2');
  const from = world.now();
  await world.runUntil(() => gang() === 2, 10_000);
  assert.ok(world.now() - from < 3_000, `w2 joined after ${world.now() - from} ms`);
});
