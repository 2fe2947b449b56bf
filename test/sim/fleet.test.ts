import assert from 'node:assert/strict';
import test from 'node:test';
import type { CheckedDocument } from '../../coordinator/decisions/inputs.ts';
import { networkOf, specOf } from '../../coordinator/model/spec-of.ts';
import { hasEnded, isWhole, planOf, runOf, workerWith } from '../../coordinator/model/state.ts';
import { folded, inOrder, plainOf } from '../support/state.ts';
import { plan, student, sweep, teacher, training } from './specs.ts';
import { POISON } from './worker.ts';
import { allEnded, createWorld, FACTS, type World } from './world.ts';

const run = (spec: ReturnType<typeof teacher>): CheckedDocument => ({ kind: 'run', spec, facts: FACTS });

function newWorld(seed: number, workers: number): World {
  const world = createWorld({ seed });
  for (let i = 1; i <= workers; i++) world.addWorker(`w${i}`);
  return world;
}

async function submit(world: World, ...documents: CheckedDocument[]): Promise<readonly string[]> {
  const answer = await world.call({ kind: 'submit', documents });
  assert.equal(answer?.kind, 'submitted');
  return answer.kind === 'submitted' ? [...answer.planIds, ...answer.sweepIds, ...answer.runIds] : [];
}

const stateOf = (world: World) => world.witness.state;

function finishedOnce(world: World): void {
  const finished = new Map<string, number>();
  for (const event of world.events)
    if (event.kind === 'run.finished') finished.set(event.runId, (finished.get(event.runId) ?? 0) + 1);
  for (const { id, state } of inOrder(stateOf(world).runs)) {
    assert.equal(state, 'done', `${id} is ${state}`);
    assert.equal(finished.get(id), 1, `${id} finished ${finished.get(id)} times`);
  }
}

test('a plan goes from search to winner, teacher, students and export, and says why at each turn', async () => {
  const world = newWorld(1, 2);
  const [planId] = await submit(world, { kind: 'plan', spec: plan(), yaml: '', facts: FACTS });
  await world.runUntil(() => hasEnded(planOf(stateOf(world), planId!)), 600_000);
  const ended = planOf(stateOf(world), planId!);
  assert.equal(ended.state, 'done', ended.reason);
  finishedOnce(world);
  const kinds = inOrder(stateOf(world).runs).map((r) => (isWhole(r) ? r.job.kind : 'candidate'));
  assert.deepEqual(kinds, [...Array(6).fill('candidate'), 'teacher', 'student', 'student']);
  const students = ended.studentRunIds.map((id) => runOf(stateOf(world), id));
  const winner = students.reduce((a, b) => (b.evaluation!.accuracy > a.evaluation!.accuracy ? b : a));
  assert.equal(ended.winnerRunId, winner.id);
  const best = stateOf(world).sweeps;
  assert.equal(best.size, 1);
  const searched = inOrder(best)[0]!;
  const trial = inOrder(stateOf(world).trials).find(({ id }) => id === searched.bestTrialId)!;
  assert.equal(specOf(stateOf(world), students[0]!).network.kind, 'pocketnet');
  assert.deepEqual(students[0]!.job.network, networkOf(searched, trial));
  assert.equal(students[1]!.teacherRunId, ended.teacherRunId);
  assert.match(ended.reason, /most accurate of 2 students/);
});

test('300 runs finish exactly once while workers die, drain and come back and the coordinator is killed', async () => {
  for (const seed of [11, 12]) {
    const world = newWorld(seed, 8);
    for (let i = 0; i < 40; i++) {
      const max = 1 + (i % 4);
      const min = max > 1 ? 1 + (i % 2) : 1;
      await submit(
        world,
        run(teacher({ name: `t${i}`, training: { ...training, epochs: 12 }, workers: { min, max } })),
      );
    }
    const teachers = inOrder(stateOf(world).runs);
    for (let i = 0; i < 160; i++)
      await submit(
        world,
        run(student(teachers[i % 40]!.id, { name: `s${i}`, training: { ...training, epochs: 6 } })),
      );
    await submit(world, { kind: 'sweep', spec: sweep({ strategy: { trials: 100 } }), facts: FACTS });
    const faults = { kill: 0, drain: 0, restart: 0 };
    const fault = () => {
      const ids = [...world.workers.keys()];
      const id = ids[Math.floor(world.chance() * ids.length)]!;
      const dice = world.chance();
      if (dice < 0.6) {
        faults.kill += 1;
        world.workers.get(id)?.kill(200 + world.chance() * 4000);
      } else if (dice < 0.78) {
        faults.drain += 1;
        world.workers.get(id)?.drain();
        world.later(3000, () => world.workers.get(id)?.kill(500));
      } else {
        faults.restart += 1;
        world.killCoordinator(0, 100 + world.chance() * 3000);
      }
      if (!allEnded(world)) world.later(200 + world.chance() * 1000, fault);
    };
    world.later(500, fault);
    await world.runUntil(() => allEnded(world), 3_600_000);
    finishedOnce(world);
    assert.equal(inOrder(stateOf(world).runs).length, 300);
    assert.ok(faults.kill >= 20 && faults.drain >= 3 && faults.restart >= 3, JSON.stringify(faults));
    assert.deepEqual(plainOf(folded(world.events)), plainOf(stateOf(world)), 'the journal tells the state');
  }
});

test('a coordinator that comes back finds the work going on: no new generation when everybody re-attaches', async () => {
  const world = newWorld(2, 2);
  await world.runUntil(() => stateOf(world).workers.size === 2, 5_000);
  const [id] = await submit(world, run(teacher({ training: { epochs: 20, batch: 16, shards: 8 } })));
  await world.runUntil(() => runOf(stateOf(world), id!).checkpoints.length >= 2, 60_000);
  const { generation } = runOf(stateOf(world), id!);
  world.killCoordinator(0, 4_000);
  await world.runUntil(() => runOf(stateOf(world), id!).checkpoints.length >= 16, 60_000);
  assert.equal(runOf(stateOf(world), id!).generation, generation);
  assert.ok(world.events.some((event) => event.kind === 'coordinator.started' && event.epoch === 2));
});

test('a worker that does not come back after a restart is declared lost after the grace, and the others go on', async () => {
  const world = newWorld(3, 2);
  await world.runUntil(() => stateOf(world).workers.size === 2, 5_000);
  const [id] = await submit(world, run(teacher({ training: { epochs: 200, batch: 16, shards: 8 } })));
  await world.runUntil(() => runOf(stateOf(world), id!).gang.length === 2, 10_000);
  world.killCoordinator(0, 1_000);
  world.workers.get('w2')?.kill();
  const restartedAt = world.now() + 1_000;
  await world.runUntil(() => workerWith(stateOf(world), 'w2')?.state === 'lost', 60_000);
  assert.ok(world.now() - restartedAt >= 15_000, `lost after ${world.now() - restartedAt} ms`);
  assert.deepEqual(
    runOf(stateOf(world), id!).gang.map(({ workerId }) => workerId),
    ['w1'],
  );
  assert.match(runOf(stateOf(world), id!).reason, /w2 was lost: did not come back within 15.0 s/);
});

test('a killed worker is lost soon after its stream ended, and the survivors get a new generation', async () => {
  const world = newWorld(4, 3);
  await world.runUntil(() => stateOf(world).workers.size === 3, 5_000);
  const [id] = await submit(world, run(teacher({ training: { epochs: 200, batch: 16, shards: 8 } })));
  await world.runUntil(() => runOf(stateOf(world), id!).gang.length === 3, 10_000);
  const { generation } = runOf(stateOf(world), id!);
  const killedAt = world.now();
  world.workers.get('w2')?.kill();
  await world.runUntil(() => runOf(stateOf(world), id!).generation > generation, 10_000);
  assert.ok(world.now() - killedAt <= 1_500, `took ${world.now() - killedAt} ms`);
  assert.deepEqual(
    runOf(stateOf(world), id!).gang.map(({ workerId, shardFirst, shardCount }) => [
      workerId,
      shardFirst,
      shardCount,
    ]),
    [
      ['w1', 0, 4],
      ['w3', 4, 4],
    ],
  );
});

test('runs that take down every process that computes them end failed, and all others finish beside them', async () => {
  for (const seed of [21, 22, 23]) {
    const world = newWorld(seed, 4);
    const poison = [...(await submit(world, run(teacher({ name: POISON, workers: { min: 1, max: 4 } }))))];
    const good: string[] = [];
    for (let i = 0; i < 12; i++) {
      const max = 1 + (i % 3);
      good.push(...(await submit(world, run(teacher({ name: `t${i}`, workers: { min: 1, max } })))));
      if (i === 6) poison.push(...(await submit(world, run(teacher({ name: POISON })))));
    }
    await world.runUntil(() => allEnded(world), 600_000);
    for (const id of poison) {
      assert.equal(runOf(stateOf(world), id).state, 'failed', `seed ${seed}`);
      assert.match(
        runOf(stateOf(world), id).reason,
        /5 workers in a row were lost holding it and nothing else/,
      );
    }
    for (const id of good)
      assert.equal(
        runOf(stateOf(world), id).state,
        'done',
        `seed ${seed}: ${runOf(stateOf(world), id).reason}`,
      );
    const lost = world.events.filter((event) => event.kind === 'worker.lost').length;
    assert.ok(lost <= 2 * (5 + 4) + 4, `${lost} processes were lost`);
  }
});

test('shards follow measured speed while a run trains, and noise in the measurement moves nothing', async () => {
  const world = newWorld(31, 0);
  for (const [id, speed] of [
    ['w1', 1],
    ['w2', 1],
    ['w3', 2],
  ] as const)
    world.addWorker(id, { speed });
  await world.runUntil(() => stateOf(world).workers.size === 3, 5_000);
  const [id] = await submit(
    world,
    run(teacher({ training: { epochs: 2000, batch: 16, shards: 8 }, workers: { min: 3, max: 3 } })),
  );
  const counts = () =>
    runOf(stateOf(world), id!).gang.map(({ workerId, shardCount }) => `${workerId}:${shardCount}`);
  const pass = async (ms: number) => {
    const end = world.now() + ms;
    await world.runUntil(() => world.now() >= end, ms + 1000);
  };
  await world.runUntil(() => counts().length === 3, 5_000);
  await pass(15_000);
  assert.deepEqual(counts(), ['w1:2', 'w2:2', 'w3:4']);
  const { generation } = runOf(stateOf(world), id!);
  await pass(60_000);
  assert.equal(runOf(stateOf(world), id!).generation, generation, 'nothing to gain, nothing moves');
  world.workers.get('w3')!.speed = 0.5;
  await pass(15_000);
  // Two shards on w3 or one, and the rest with a fourth on one of the others, are equally fast.
  await pass(30_000);
  assert.ok(['w3:1', 'w3:2'].includes(counts()[2]!), String(counts()));
  const reasons = world.events.flatMap((event) => (event.kind === 'run.assigned' ? [event.reason] : []));
  assert.ok(
    reasons.some((reason) => /shards follow speed, a step gains \d+ %: .*w3 .* 4 to \d shards/.test(reason)),
    reasons.join('\n'),
  );
  const settled = runOf(stateOf(world), id!).generation;
  assert.ok(settled <= generation + 3, `${settled - generation} changes`);
  await pass(120_000);
  assert.equal(runOf(stateOf(world), id!).generation, settled, 'it settles');
});
