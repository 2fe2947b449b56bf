import assert from 'node:assert/strict';
import test from 'node:test';
import type { CheckedDocument } from '../../coordinator/decisions/inputs.ts';
import { evolve } from '../../coordinator/model/evolve.ts';
import { hasEnded, initialState, inOrder, planOf, runOf } from '../../coordinator/model/state.ts';
import { checkEvent } from './invariants.ts';
import { plan, student, sweep, teacher, training } from './specs.ts';
import { createWorld, FACTS, POISON, type World } from './world.ts';

const run = (spec: ReturnType<typeof teacher>): CheckedDocument => ({ kind: 'run', spec, facts: FACTS });

function newWorld(seed: number, workers: number): World {
  const world = createWorld(seed);
  world.onEvent = checkEvent;
  for (let i = 1; i <= workers; i++) world.addWorker(`w${i}`);
  return world;
}

function submit(world: World, ...documents: CheckedDocument[]): readonly string[] {
  const { answer } = world.submit({ kind: 'submit', documents });
  assert.equal(answer?.kind, 'submitted');
  return answer.kind === 'submitted' ? [...answer.planIds, ...answer.sweepIds, ...answer.runIds] : [];
}

const allEnded = (world: World) => () => world.state.runs.size > 0 && world.state.openRunIds.size === 0;

function finishedOnce(world: World): void {
  const finished = new Map<string, number>();
  for (const event of world.events)
    if (event.kind === 'run.finished') finished.set(event.runId, (finished.get(event.runId) ?? 0) + 1);
  for (const { id, state } of inOrder(world.state.runs)) {
    assert.equal(state, 'done', `${id} is ${state}`);
    assert.equal(finished.get(id), 1, `${id} finished ${finished.get(id)} times`);
  }
}

test('a plan goes from search to winner, teacher, students and export, and says why at each turn', () => {
  const world = newWorld(1, 2);
  const [planId] = submit(world, { kind: 'plan', spec: plan(), yaml: '', facts: FACTS });
  world.runUntil(() => hasEnded(planOf(world.state, planId!)), 600_000);
  const ended = planOf(world.state, planId!);
  assert.equal(ended.state, 'done', ended.reason);
  finishedOnce(world);
  const kinds = inOrder(world.state.runs).map((r) => r.spec.kind);
  assert.deepEqual(kinds, [...Array(6).fill('candidate'), 'teacher', 'student', 'student']);
  const students = ended.studentRunIds.map((id) => runOf(world.state, id));
  const winner = students.reduce((a, b) => (b.evaluation!.accuracy > a.evaluation!.accuracy ? b : a));
  assert.equal(ended.winnerRunId, winner.id);
  const best = world.state.sweeps;
  assert.equal(best.size, 1);
  const searched = inOrder(best)[0]!;
  const trial = inOrder(world.state.trials).find(({ id }) => id === searched.bestTrialId)!;
  assert.equal(students[0]!.spec.network.kind, 'pocketnet');
  assert.deepEqual(
    'genotype' in students[0]!.spec.network && students[0]!.spec.network.genotype,
    trial.genotype,
  );
  assert.equal(students[1]!.teacherRunId, ended.teacherRunId);
  assert.match(ended.reason, /most accurate of 2 students/);
});

test('300 runs finish exactly once while workers die, drain and come back and the coordinator is killed', () => {
  for (const seed of [11, 12]) {
    const world = newWorld(seed, 8);
    for (let i = 0; i < 40; i++) {
      const max = 1 + (i % 4);
      const min = max > 1 ? 1 + (i % 2) : 1;
      submit(
        world,
        run(teacher({ name: `t${i}`, training: { ...training, epochs: 12 }, workers: { min, max } })),
      );
    }
    const teachers = inOrder(world.state.runs);
    for (let i = 0; i < 160; i++)
      submit(
        world,
        run(student(teachers[i % 40]!.id, { name: `s${i}`, training: { ...training, epochs: 6 } })),
      );
    submit(world, { kind: 'sweep', spec: sweep({ strategy: { trials: 100 } }), facts: FACTS });
    const faults = { kill: 0, drain: 0, restart: 0 };
    const fault = () => {
      const ids = [...world.workers.keys()];
      const id = ids[Math.floor(world.random() * ids.length)]!;
      const dice = world.random();
      if (dice < 0.65) {
        faults.kill += 1;
        world.kill(id, 200 + world.random() * 4000);
      } else if (dice < 0.85) {
        faults.drain += 1;
        world.drain(id);
        world.at(world.now() + 3000, () => world.kill(id, 500));
      } else {
        faults.restart += 1;
        world.restartCoordinator(100 + world.random() * 3000);
      }
      if (!allEnded(world)()) world.at(world.now() + 200 + world.random() * 1000, fault);
    };
    world.at(world.now() + 500, fault);
    world.runUntil(allEnded(world), 3_600_000);
    finishedOnce(world);
    assert.equal(inOrder(world.state.runs).length, 300);
    assert.ok(faults.kill >= 20 && faults.drain >= 3 && faults.restart >= 3, JSON.stringify(faults));
    assert.deepEqual(world.events.reduce(evolve, initialState), world.state, 'the journal tells the state');
  }
});

test('a coordinator that comes back finds the work going on: no new generation when everybody re-attaches', () => {
  const world = newWorld(2, 2);
  world.runUntil(() => world.state.workers.size === 2, 5_000);
  const [id] = submit(world, run(teacher({ training: { epochs: 20, batch: 16, shards: 8 } })));
  world.runUntil(() => runOf(world.state, id!).checkpoints.length >= 2, 60_000);
  const { generation } = runOf(world.state, id!);
  world.restartCoordinator(4_000);
  world.runUntil(() => runOf(world.state, id!).checkpoints.length >= 16, 60_000);
  assert.equal(runOf(world.state, id!).generation, generation);
  assert.ok(world.events.some((event) => event.kind === 'coordinator.started' && event.epoch === 2));
});

test('a worker that does not come back after a restart is declared lost after the grace, and the others go on', () => {
  const world = newWorld(3, 2);
  world.runUntil(() => world.state.workers.size === 2, 5_000);
  const [id] = submit(world, run(teacher({ training: { epochs: 200, batch: 16, shards: 8 } })));
  world.runUntil(() => runOf(world.state, id!).gang.length === 2, 10_000);
  world.restartCoordinator(1_000);
  world.kill('w2');
  const restartedAt = world.now() + 1_000;
  world.runUntil(() => world.state.workers.get('w2')?.state === 'lost', 60_000);
  assert.ok(world.now() - restartedAt >= 15_000, `lost after ${world.now() - restartedAt} ms`);
  assert.deepEqual(
    runOf(world.state, id!).gang.map(({ workerId }) => workerId),
    ['w1'],
  );
  assert.match(runOf(world.state, id!).reason, /w2 was lost: did not come back within 15.0 s/);
});

test('a killed worker is lost soon after its stream ended, and the survivors get a new generation', () => {
  const world = newWorld(4, 3);
  world.runUntil(() => world.state.workers.size === 3, 5_000);
  const [id] = submit(world, run(teacher({ training: { epochs: 200, batch: 16, shards: 8 } })));
  world.runUntil(() => runOf(world.state, id!).gang.length === 3, 10_000);
  const { generation } = runOf(world.state, id!);
  const killedAt = world.now();
  world.kill('w2');
  world.runUntil(() => runOf(world.state, id!).generation > generation, 10_000);
  assert.ok(world.now() - killedAt <= 1_500, `took ${world.now() - killedAt} ms`);
  assert.deepEqual(
    runOf(world.state, id!).gang.map(({ workerId, shardFirst, shardCount }) => [
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

test('runs that take down every process that computes them end failed, and all others finish beside them', () => {
  for (const seed of [21, 22, 23]) {
    const world = newWorld(seed, 4);
    const poison = [...submit(world, run(teacher({ name: POISON, workers: { min: 1, max: 4 } })))];
    const good: string[] = [];
    for (let i = 0; i < 12; i++) {
      const max = 1 + (i % 3);
      good.push(...submit(world, run(teacher({ name: `t${i}`, workers: { min: 1, max } }))));
      if (i === 6) poison.push(...submit(world, run(teacher({ name: POISON }))));
    }
    world.runUntil(allEnded(world), 600_000);
    for (const id of poison) {
      assert.equal(runOf(world.state, id).state, 'failed', `seed ${seed}`);
      assert.match(runOf(world.state, id).reason, /5 workers in a row were lost holding it and nothing else/);
    }
    for (const id of good)
      assert.equal(runOf(world.state, id).state, 'done', `seed ${seed}: ${runOf(world.state, id).reason}`);
    const lost = world.events.filter((event) => event.kind === 'worker.lost').length;
    assert.ok(lost <= 2 * (5 + 4) + 4, `${lost} processes were lost`);
  }
});

test('shards follow measured speed while a run trains, and noise in the measurement moves nothing', () => {
  const world = newWorld(31, 0);
  for (const [id, speed] of [
    ['w1', 1],
    ['w2', 1],
    ['w3', 2],
  ] as const)
    world.addWorker(id, { speed });
  world.runUntil(() => world.state.workers.size === 3, 5_000);
  const [id] = submit(
    world,
    run(teacher({ training: { epochs: 2000, batch: 16, shards: 8 }, workers: { min: 3, max: 3 } })),
  );
  const counts = () =>
    runOf(world.state, id!).gang.map(({ workerId, shardCount }) => `${workerId}:${shardCount}`);
  const pass = (ms: number) => {
    const end = world.now() + ms;
    world.runUntil(() => world.now() >= end, ms + 1000);
  };
  world.runUntil(() => counts().length === 3, 5_000);
  pass(15_000);
  assert.deepEqual(counts(), ['w1:2', 'w2:2', 'w3:4']);
  const { generation } = runOf(world.state, id!);
  pass(60_000);
  assert.equal(runOf(world.state, id!).generation, generation, 'nothing to gain, nothing moves');
  world.workers.get('w3')!.speed = 0.5;
  pass(15_000);
  // Two shards on w3 or one, and the rest with a fourth on one of the others, are equally fast.
  pass(30_000);
  assert.ok(['w3:1', 'w3:2'].includes(counts()[2]!), String(counts()));
  const reasons = world.events.flatMap((event) => (event.kind === 'run.assigned' ? [event.reason] : []));
  assert.ok(
    reasons.some((reason) => /shards follow speed, a step gains \d+ %: .*w3 .* 4 to \d shards/.test(reason)),
    reasons.join('\n'),
  );
  const settled = runOf(world.state, id!).generation;
  assert.ok(settled <= generation + 3, `${settled - generation} changes`);
  pass(120_000);
  assert.equal(runOf(world.state, id!).generation, settled, 'it settles');
});
