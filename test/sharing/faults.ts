// `npm run test:sharing`: students that share the embeddings of their teacher over a real fleet, while the run that
// computes for them is killed, stopped or slow, the broker is restarted, and the stream is full or lost. Whatever
// happens, they end with the bits of a student that is alone. It takes two minutes, and is no part of `npm test`.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { removeEmbeddingStream } from '../../core/net/embedding-stream.ts';
import { unary } from '../../core/net/grpc-client.ts';
import { streamManager } from '../../core/net/jetstream.ts';
import { connectNats } from '../../core/net/nats.ts';
import { runIn, startFleet, type TestFleet } from '../support/fleet.ts';
import { namesOn } from '../support/names.ts';

const WORKERS = ['w1', 'w2', 'w3'];
const EPOCHS = 12;
/** Bound of every wait, milliseconds: far above what a machine takes that does other work. */
const DEADLINE_MS = 900_000;
let teacher = '';
let fleet: TestFleet;

const DATA = '{ kind: synthetic, identities: 8, images: 8, holdout: 2, seed: 5 }';

/** 6 training identities x 8 images = 48 images; 12 a step: 4 steps an epoch, 48 steps. */
const studentText = (name: string, share: string, order: number, workers = 1) => `
kind: student
name: ${name}
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: ${DATA}
training: { epochs: ${EPOCHS}, batch: 12, shards: 4, seed: 7, order: ${order}, optimizer: { learningRate: 0.05 } }
verification: { pairs: 40 }
distillation: { teacher: ${teacher}, share: ${share} }
workers: { min: ${workers}, max: ${workers} }
`;

before(async () => {
  fleet = await startFleet({
    workers: [],
    coordinator: { POCKETFLEET_EMBEDDING_STREAM_BYTES: '1000000' },
  });
  for (const id of WORKERS) await fleet.startWorker(id, DEADLINE_MS);
  const { runIds } = await fleet.submit(`
kind: teacher
name: teacher
network: { kind: pocketnet, channels: 8, layers: 6, embedding: 8, genotype: casia }
data: ${DATA}
training: { epochs: ${EPOCHS}, batch: 12, shards: 2, seed: 3, optimizer: { learningRate: 0.05 } }
verification: { pairs: 40 }
workers: { min: 1, max: 2 }
checkpoints: { keep: all }
`);
  teacher = runIds[0]!;
  await fleet.finished(teacher, DEADLINE_MS);
});

after(async () => {
  await fleet?.stop();
});

/** One that shares with nobody, and two that share, of which one is on two workers. */
const STUDENTS = [
  ['own', 1],
  ['stream', 1],
  ['stream', 2],
] as const;
/** Each time another order: what workers keep of an earlier one is of no use. */
let order = 0;

/**
 * Students of one order, and the run that computes for those that share; `fault` comes while they train. All of them end
 * with the same bits.
 */
async function shared(
  what: string,
  fault: (pool: { readonly runId: string; readonly workerId: string }) => Promise<void>,
  students: readonly (readonly [share: string, workers: number])[] = STUDENTS,
) {
  order += 1;
  const text = students
    .map(([share, workers], i) => studentText(`${what}-${i}`, share, order, workers))
    .join('---\n');
  const { runIds } = await fleet.submit(text);
  const snapshot = await fleet.until(
    ({ runs }) =>
      runIds.every((id) => runs.some((run) => run.id === id && run.step >= 1)) &&
      runs.some((run) => run.name === 'teacher-embeddings' && run.state === 'running' && run.step >= 1),
    `${what}: students and the embedding run are under way`,
    DEADLINE_MS,
  );
  const pool = snapshot.runs.find((run) => run.name === 'teacher-embeddings' && run.state === 'running')!;
  await fault({ runId: pool.id, workerId: pool.workerIds[0]! });
  const digests = [];
  for (const id of runIds) digests.push((await fleet.finished(id, DEADLINE_MS)).weightsDigest);
  assert.equal(new Set(digests).size, 1, `${what}: ${digests}`);
  const end = await fleet.until(
    (seen) => runIn(seen, pool.id)?.state === 'done',
    `${what}: the embedding run ends with its students`,
    DEADLINE_MS,
  );
  assert.match(runIn(end, pool.id)!.reason, /no student needs embeddings any more/);
}

/** Images of all runs by where their embeddings come from, so far. */
async function imagesBy(source: string): Promise<number> {
  let images = 0;
  for (const id of WORKERS) {
    const text = await (await fetch(`http://${fleet.workerMetricsEndpoint(id)}/metrics`)).text();
    for (const [, value] of text.matchAll(
      new RegExp(`^pocketfleet_teacher_images_total\\{[^}]*source="${source}"\\} (\\d+)`, 'gm'),
    ))
      images += Number(value);
  }
  return images;
}

test('undisturbed: equal bits alone, by worker and over the stream, on one, two and three workers', async () => {
  const before = await imagesBy('computed');
  await shared('calm', async () => undefined, [...([...STUDENTS, ['stream', 3], ['worker', 2]] as const)]);
  const pass = EPOCHS * 48;
  // One pass for the student that shares with nobody, at most one for the one that shares on its workers.
  const computed = (await imagesBy('computed')) - before - pass;
  assert.ok(computed >= pass && computed <= 2.25 * pass, `${computed} images of ${pass}`);
  assert.ok((await imagesBy('fetched')) > 0);
});

test('the worker of the embedding run is killed', async () => {
  await shared('killed', async ({ workerId }) => {
    await fleet.killWorker(workerId, 'SIGKILL');
    await fleet.startWorker(workerId, DEADLINE_MS);
  });
});

test('the worker of the embedding run is stopped, and goes on later', async () => {
  let stopped = '';
  await shared('stopped', async ({ workerId }) => {
    stopped = workerId;
    await fleet.killWorker(workerId, 'SIGSTOP');
    await fleet.until(
      ({ runs }) =>
        runs.filter((run) => run.name.startsWith('stopped-')).every((run) => run.state === 'done'),
      'students go on without it',
      DEADLINE_MS,
    );
    await fleet.killWorker(stopped, 'SIGCONT');
  });
});

test('the embedding run is slow', async () => {
  await shared('slow', async ({ workerId }) => {
    for (let i = 0; i < 20; i++) {
      await fleet.killWorker(workerId, 'SIGSTOP');
      await new Promise((resolve) => setTimeout(resolve, 90));
      await fleet.killWorker(workerId, 'SIGCONT');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
});

test('the broker is restarted, and has lost the stream', async () => {
  await shared('broker', async () => {
    await fleet.nats.kill('SIGKILL');
    await fleet.nats.restart();
  });
});

test('the stream is lost', async () => {
  await shared('lost', async () => {
    const connection = await connectNats({ ...fleet.nats.access, name: 'test' });
    const names = await namesOn(connection, 'test');
    await removeEmbeddingStream(await streamManager(connection), names);
    await connection.close();
  });
});

/** A teacher that takes longer for an epoch than its students. */
const slowTeacher = (name: string) => `
kind: teacher
name: ${name}
network: { kind: pocketnet, channels: 24, layers: 8, embedding: 8, genotype: casia }
data: ${DATA}
training: { epochs: ${EPOCHS}, batch: 12, shards: 2, seed: 4, optimizer: { learningRate: 0.05 } }
verification: { pairs: 40 }
workers: { min: 1, max: 1 }
`;

const waitsForStage = /waits for stage \d+ of its teacher run-\d+/;

test('a student is killed while it waits for a stage of its teacher', async () => {
  order += 1;
  const before = teacher;
  teacher = 'slow';
  const students = STUDENTS.map(([share, workers], i) => studentText(`wait-${i}`, share, order, workers));
  teacher = before;
  const { runIds } = await fleet.submit([slowTeacher('slow'), ...students].join('---\n'));
  const [slow = ''] = runIds;
  const waiting = (what: string) =>
    fleet.until(
      ({ runs }) => {
        const holders = runs.find(({ id }) => id === slow)?.workerIds ?? [];
        return runs.some(
          (run) =>
            run.name.startsWith('wait-') &&
            run.step >= 1 &&
            waitsForStage.test(run.reason) &&
            run.workerIds.some((id) => !holders.includes(id)),
        );
      },
      what,
      DEADLINE_MS,
    );
  const { runs } = await waiting('a student waits where its teacher is not');
  const holders = runs.find(({ id }) => id === slow)!.workerIds;
  const waits = runs.find(
    (run) => run.name.startsWith('wait-') && waitsForStage.test(run.reason) && run.step >= 1,
  )!;
  const victim = waits.workerIds.find((id) => !holders.includes(id))!;
  await fleet.killWorker(victim, 'SIGKILL');
  await fleet.startWorker(victim, DEADLINE_MS);
  await waiting('a student waits again, with this sentence');
  const digests = [];
  for (const id of runIds.slice(1)) digests.push((await fleet.finished(id, DEADLINE_MS)).weightsDigest);
  assert.equal(new Set(digests).size, 1, `${digests}`);
});

test('a stage that never comes: students fail with the reason, and what computed for them ends', async () => {
  order += 1;
  const before = teacher;
  teacher = 'ends';
  const students = ['stream', 'stream'].map((share, i) => studentText(`never-${i}`, share, order));
  teacher = before;
  const { runIds } = await fleet.submit([slowTeacher('ends'), ...students].join('---\n'));
  const [ends = ''] = runIds;
  const ofStudents = (runs: readonly { id: string }[]) =>
    runs.filter(({ id }) => runIds.slice(1).includes(id));
  await fleet.until(
    ({ runs }) =>
      runs.some(
        ({ name, reason, step }) => name.startsWith('never-') && step >= 1 && waitsForStage.test(reason),
      ),
    'a student waits',
    DEADLINE_MS,
  );
  await unary(fleet.client, fleet.client.cancel, { id: ends, reason: 'enough' });
  const { runs } = await fleet.until(
    (seen) =>
      ofStudents(seen.runs).every(({ id }) => runIn(seen, id)?.state === 'failed') &&
      seen.runs.every(({ name, state }) => name !== 'ends-embeddings' || state === 'done'),
    'students fail, and the embedding run is done',
    DEADLINE_MS,
  );
  for (const id of runIds.slice(1))
    assert.match(
      runs.find((run) => run.id === id)!.reason,
      new RegExp(`${ends} was cancelled: enough; it ended short of stage \\d+, which is needed`),
    );
});
