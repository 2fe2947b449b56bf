// When a run computes a teacher's embeddings for several students: who gets one, what its students are told, and how
// it ends.

import assert from 'node:assert/strict';
import test from 'node:test';
import { embeddingRunOf } from '../../../../coordinator/model/orders.ts';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import { paceOf } from '../../../../coordinator/scheduling/estimates.ts';
import { measuredRuns } from '../../../../coordinator/scheduling/measured-times.ts';
import { orderKeyOf } from '../../../../core/spec/order-key.ts';
import { student, teacher, training } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';
import { connections, plainOf } from '../../../support/state.ts';

const one = { min: 1, max: 1 };
type Fleet = ReturnType<typeof handFleet>;

/** A network whose forward pass costs more than a step of the students. */
const large = { kind: 'pocketnet', channels: 8, layers: 6, embedding: 16, genotype: 'casia' };

const pools = (fleet: Fleet) =>
  fleet
    .events()
    .flatMap((event) => (event.kind === 'run.created' && event.reason !== 'submitted' ? [event.runId] : []));
const assigned = (input: () => ReturnType<Fleet['give']>, runId: string) =>
  input().effects.flatMap((effect) =>
    effect.kind === 'send' && effect.command.kind === 'assign' && effect.command.runId === runId
      ? [effect.command]
      : [],
  );

test('students of one order on two workers get a run that computes for them, which ends with the last of them', async () => {
  const fleet = handFleet({}, {}, {}, {});
  const id = fleet.submit(teacher({ workers: one, network: large }));
  const first = fleet.submit(student(id, { workers: one }), 'alice');
  assert.deepEqual(pools(fleet), [], 'one is none too many');
  const told = assigned(
    () =>
      fleet.give({
        kind: 'submit',
        documents: [
          {
            kind: 'run',
            spec: student(id, { workers: one, priority: 70 }),
            yaml: '',
            facts: fleet.run(id).facts,
          },
        ] as never,
      }),
    first,
  );
  const [pool] = pools(fleet);
  const run = fleet.run(pool!);
  assert.deepEqual(
    [run.job.kind, run.job.priority, run.job.workers, run.owner, run.deviceClass, run.name],
    ['embedding', 70, { min: 1, max: training.shards }, 'alice', 'cpu', 'teacher-embeddings'],
  );
  assert.match(
    (await fleet.why({ id: pool! })).join('\n'),
    /run-4 \(embedding teacher-embeddings\) was created: run-2, run-3 learn in one order from run-1 on 2 workers: an image costs [\d.]+ [GM]MAC with a pass each, [\d.]+ [GM]MAC with one for all \(by multiply-adds; a pass is [\d.]+ steps\)/,
  );
  // It has the free worker at once, and the student that trains is told.
  assert.deepEqual(fleet.gang(pool!), ['w4']);
  assert.deepEqual(
    told.map(({ embeddingRunId, generation }) => [embeddingRunId, generation]),
    [[pool, 2]],
  );
  assert.match((await fleet.why({ id: first })).join('\n'), /run-4 computes the embeddings of its teacher/);
  assert.match(
    (await fleet.why({ id: first })).join('\n'),
    /run-2 takes the embeddings of run-1 from the stream of the fleet; run-4 computes them on w4/,
  );
  assert.match(
    (await fleet.why({ id: pool! })).join('\n'),
    /run-4 computes the embeddings of run-1 for run-2, run-3/,
  );
  const { state } = fleet;
  // It trains nothing and goes as fast as its students: no measure of how long others take, nor of a worker's pace.
  assert.deepEqual(
    measuredRuns(state(), () => 10).map(({ kind }) => kind),
    ['student', 'student', 'teacher'],
  );
  const observed = { now: 0, connected: connections([]), speedOf: () => 10 };
  assert.equal(paceOf([fleet.run(pool!)], observed), undefined);
  assert.deepEqual(plainOf(decodeState([...encodeState(state())])), plainOf(state()));

  // It pauses with nothing, is no student of its teacher for retention, and ends with the students.
  fleet.give({ kind: 'cancel', id: 'run-3', reason: '' });
  assert.equal(fleet.run(pool!).state, 'running');
  fleet.give({ kind: 'pause', id: first, reason: '' });
  const { generation } = fleet.run(first);
  fleet.report('w2', { kind: 'paused', runId: first, generation, step: 0 });
  assert.deepEqual(
    [fleet.run(pool!).state, fleet.run(pool!).reason, fleet.gang(pool!)],
    ['done', 'no student needs embeddings any more (run-2, run-3)', []],
  );
  // One that goes on alone gets none, where it does not ask for it.
  fleet.give({ kind: 'resume', id: first, reason: '' });
  assert.equal(pools(fleet).length, 1);
});

test('who shares and who does not: order, schedule, class, what a pass costs, and what students ask for', async () => {
  const fleet = handFleet({}, {}, {}, {}, {}, {}, { deviceClass: 'other' }, { deviceClass: 'other' });
  const small = fleet.submit(teacher({ workers: one }));
  for (let i = 0; i < 2; i++) fleet.submit(student(small, { workers: one }));
  assert.deepEqual(pools(fleet), [], 'a step of theirs costs more than the pass');
  const big = fleet.submit(teacher({ workers: one, network: large }));
  for (const change of [
    { training: { ...training, order: 5 } },
    { training: { ...training, order: 6 } },
    { distillation: { teacher: big, share: 'worker' } },
    { distillation: { teacher: big, share: 'own' } },
  ])
    fleet.submit(student(big, { workers: one, ...change }));
  assert.deepEqual(pools(fleet), []);
  const asks = { workers: one, distillation: { teacher: big, share: 'stream', schedule: 'single-step' } };
  fleet.submit(student(big, asks));
  assert.deepEqual(pools(fleet), [], 'it has no worker, and so no class');
  for (let i = 0; i < 3; i++) fleet.attach({ workerId: `v${i}` });
  const [pool] = pools(fleet);
  assert.match((await fleet.why({ id: pool! })).join('\n'), /was created: run-9 asks for it/);
  // One that was cancelled is not begun anew.
  fleet.give({ kind: 'cancel', id: pool!, reason: '' });
  fleet.submit(student(big, asks));
  assert.equal(pools(fleet).length, 1);
});

test('runs of one order have one key, and those that promise no equal bits have another one', () => {
  const key = (change: object) =>
    orderKeyOf({ ...student('run-1', { training: { ...training, ...change } }), digest: undefined });
  assert.equal(key({ seed: 1, order: 4, epochs: 9 }), key({ seed: 4 }));
  const keys = [{}, { exact: false }, { batch: 32 }, { flip: false }, { order: 5 }, { fraction: 0.5 }].map(
    key,
  );
  assert.equal(new Set(keys).size, keys.length);
  const formed = (blocks?: 'float32' | 'float16') =>
    orderKeyOf({
      ...student('run-1', { training: { ...training, exact: false } }),
      ...{ digest: undefined, distillation: { blocks } },
    });
  assert.equal(formed('float32'), key({ exact: false }));
  assert.equal(formed(), key({ exact: false }));
  assert.notEqual(formed('float16'), formed());
});

test('students of float16 share an embedding run of float16, and none with those of float32', async () => {
  // The first embedding run may have a worker for each of eight shards.
  const fleet = handFleet(...Array.from({ length: 13 }, () => ({})));
  const id = fleet.submit(teacher({ workers: one, network: large, training: { ...training, exact: false } }));
  const asks = (blocks?: 'float16') =>
    fleet.submit(
      student(id, {
        ...{ workers: one, training: { ...training, exact: false } },
        distillation: { teacher: id, share: 'stream', ...(blocks === undefined ? {} : { blocks }) },
      }),
    );
  const [wide, half, other] = [asks(), asks('float16'), asks('float16')];
  const found = pools(fleet).map((pool) => fleet.run(pool));
  assert.deepEqual(
    found.map(({ job }) => job.distillation?.blocks),
    [undefined, 'float16'],
  );
  const poolOf = (run: string) => embeddingRunOf(fleet.state(), fleet.run(run))?.id;
  assert.deepEqual(
    [wide, half, other].map(poolOf),
    [0, 1, 1].map((i) => found[i]!.id),
  );
  assert.match((await fleet.why({ id: half })).join('\n'), / takes the embeddings of run-1 as float16 from /);
});

test('an order is of the content of its data: not of their path, and another one once that has changed', () => {
  const key = (path: string, digest?: string, more: object = {}) =>
    orderKeyOf({ ...student('run-1'), data: { kind: 'folder', path, holdout: 2, ...more }, digest });
  assert.equal(key('/faces', 'a'), key('/elsewhere', 'a'));
  const keys = [key('/faces', 'a'), key('/faces', 'b'), key('/faces'), key('/elsewhere')];
  assert.equal(new Set([...keys, key('/faces', 'a', { holdout: 3 })]).size, keys.length + 1);
});

test('embeddings that are larger than a message are refused where the stream is asked for', () => {
  const huge = { ...training, batch: 4096, shards: 4 };
  const network = { kind: 'pocketnet', channels: 2, layers: 4, embedding: 1024, genotype: 'casia' };
  assert.throws(
    () => student('run-1', { network, training: huge, distillation: { teacher: 'run-1', share: 'stream' } }),
    /more than a message of the stream has \(1000000\); use more shards or share: worker/,
  );
});
