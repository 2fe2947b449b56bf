// The worker program against a real broker and a coordinator that the test plays: real gRPC, real NATS, real
// TensorFlow, workers as processes. What a coordinator decides is not tested here; what a worker does with its commands
// is.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createRecordReader } from '../../coordinator/api/record-reader.ts';
import { readEvaluation } from '../../core/checkpoint/evaluation.ts';
import { createArtefactStore } from '../../core/checkpoint/store.ts';
import { createLogger } from '../../core/log.ts';
import { ensureEmbeddingStream } from '../../core/net/embedding-stream.ts';
import { blockHeaders, openBucket, streamManager } from '../../core/net/jetstream.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { integers } from '../../core/rng.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { NAMES } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { assertNothingLeft, type Program, startTypeScript, until } from '../support/processes.ts';
import { type ScriptedCoordinator, startScriptedCoordinator } from '../support/scripted-coordinator.ts';
import { assignOf, tinyRun, withTraining } from '../support/tiny-run.ts';
import { drawnFaces } from '../support/verification-sets.ts';

const TOKEN = 'token-of-a-worker-test';
const HEARTBEAT_MS = 100;
const WORKER = fileURLToPath(new URL('../../worker/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-worker-'));
const pids: number[] = [];
const programs = new Map<string, Program>();
let nats: TestNats;
let coordinator: ScriptedCoordinator;
let connection: NatsConnection;

before(async () => {
  nats = await startNats({ token: TOKEN });
  connection = await connectNats({ url: nats.url, token: TOKEN, name: 'test' });
  await ensureStreams(connection, NAMES);
  coordinator = await startScriptedCoordinator({
    natsUrl: nats.url,
    token: TOKEN,
    heartbeatIntervalMs: HEARTBEAT_MS,
  });
  await Promise.all([startWorker('w1'), startWorker('w2')]);
});

beforeEach(async () => {
  coordinator.acknowledges = true;
  // A test that failed half-way must not fail the next ones too.
  for (const id of programs.keys())
    if (programs.get(id)?.child.exitCode !== null || programs.get(id)?.child.signalCode !== null)
      await startWorker(id);
});

after(async () => {
  await Promise.all([...programs.values()].map((program) => program.stop('SIGKILL')));
  await connection?.close();
  await coordinator?.stop();
  await nats?.stop();
  rmSync(folder, { recursive: true, force: true });
  await assertNothingLeft([...pids, nats.pid], [nats.port]);
});

async function startWorker(id: string): Promise<void> {
  const from = coordinator.heard.length;
  const program = startTypeScript(WORKER, ['--cache-dir', join(folder, 'cache')], {
    cwd: PACKAGE_ROOT,
    env: {
      POCKETFLEET_ID: id,
      POCKETFLEET_COORDINATOR: coordinator.endpoint,
      POCKETFLEET_TOKEN: TOKEN,
      POCKETFLEET_NATS_TOKEN: TOKEN,
    },
  });
  programs.set(id, program);
  pids.push(program.pid);
  await until(
    `${id} attached`,
    () => coordinator.heard.slice(from).some((one) => one.workerId === id && one.kind.$case === 'hello'),
    60_000,
  ).catch((caught: unknown) => {
    throw new Error(`${id} does not attach; it said:\n${program.output()}`, { cause: caught });
  });
}

const reader = () =>
  createRecordReader({
    connection,
    names: NAMES,
    log: createLogger({ program: 'test', level: 'error' }),
  });
const finished = (runId: string) => coordinator.report('finished', (value) => value.runId === runId);
/** Images whose embeddings these runs had from one source, on all workers. */
async function imagesOf(runIds: readonly string[], source: string): Promise<number> {
  let images = 0;
  for (const id of programs.keys()) {
    // Earlier tests have started workers anew, with another port each.
    const hellos = coordinator.heard.flatMap(({ kind }) =>
      kind.$case === 'hello' && kind.value.workerId === id ? [kind.value] : [],
    );
    const { metricsEndpoint } = hellos.at(-1)!;
    const text = await (await fetch(`http://${metricsEndpoint}/metrics`)).text();
    for (const runId of runIds) {
      const series = `pocketfleet_teacher_images_total{run="${runId}",source="${source}"}`;
      const line = text.split('\n').find((one) => one.startsWith(series));
      images += Number(line?.slice(series.length) ?? 0);
    }
  }
  return images;
}
async function release(runId: string, generation: number, workers: readonly string[]): Promise<void> {
  for (const id of workers)
    coordinator.send(id, { $case: 'release', value: { runId, generation, reason: 'test' } });
  for (const id of workers)
    await coordinator.report('released', (value, { workerId }) => value.runId === runId && workerId === id);
}

test('a hello names a device that was proved, and where metrics are had', async () => {
  const hello = await coordinator.report('hello', (value) => value.workerId === 'w1');
  assert.equal(hello.device?.kind, 'cpu');
  assert.match(
    hello.device?.deviceClass ?? '',
    /^cpu\/[a-z0-9_]+\/[^/]+\/threads=1\/tf=2\.\d+\.\d+\/onednn=1\/kernels=[0-9a-f]{8}$/,
  );
  assert.equal(hello.slots, 4);
  assert.deepEqual(hello.leases, []);
  const response = await fetch(`http://${hello.metricsEndpoint}/metrics`);
  assert.match(await response.text(), /pocketfleet_build_info\{component="worker"/);
  for (const probe of ['healthz', 'readyz'])
    assert.equal((await fetch(`http://${hello.metricsEndpoint}/${probe}`)).status, 200, probe);
});

test('one worker trains a candidate to its end: checkpoints, history, evaluation, one report', async () => {
  const plain = tinyRun();
  const spec = { ...plain, verification: { ...plain.verification, latency: true } };
  coordinator.send('w1', assignOf({ runId: 'run-alone', generation: 1, spec, workers: ['w1'] }));
  const end = await finished('run-alone');
  assert.ok((end.evaluation?.latency?.milliseconds ?? 0) > 0, 'measured, as the spec asks');
  assert.match(end.evaluation?.latency?.deviceClass ?? '', /^cpu\//);
  // 2 epochs of 48 images, 16 a step.
  assert.equal(end.step, 6);
  assert.match(end.weightsDigest, /^[0-9a-f]{16}$/);
  assert.ok(end.evaluation && end.evaluation.accuracy >= 0 && end.evaluation.accuracy <= 1);
  assert.equal(end.evaluation.pairs, 40);
  assert.ok(
    Number.isNaN(end.evaluation.accuracyUntrained),
    'a candidate is not compared with itself untrained',
  );
  const stages = coordinator.heard.flatMap(({ kind }) =>
    kind.$case === 'checkpointStored' && kind.value.runId === 'run-alone' ? [kind.value] : [],
  );
  assert.deepEqual(
    stages.map(({ stage, step }) => [stage, step]),
    [
      [1, 3],
      [2, 6],
    ],
  );
  const store = createArtefactStore({ connection, names: NAMES });
  const manifest = await store.getManifest(NAMES.checkpointKey('run-alone', 2));
  assert.equal(manifest?.digest, stages[1]?.digest);
  assert.equal(manifest?.metadata.weights_digest, end.weightsDigest);
  const report = await readEvaluation(store, (await store.getManifest(NAMES.evaluationKey('run-alone')))!);
  await store.close();
  assert.ok(report.examples.length > 0 && report.rocFpr.length > 1);
  assert.deepEqual([...report.examples[0]!.pngA.subarray(1, 4)], [...Buffer.from('PNG')]);
  // They were stored before the last checkpoint, so that nothing has to be waited for.
  const points = await reader().history('run-alone');
  assert.deepEqual(
    points.map(({ step }) => step),
    [1, 2, 3, 4, 5, 6],
  );
  await release('run-alone', 1, ['w1']);
});

test('whoever becomes rank 0 reports the checkpoints whose reports died with an earlier one, and verifies them', async () => {
  const runId = 'run-inherited';
  const spec = tinyRun(withTraining({ fraction: 0.75 }));
  const evaluateStages = [1];
  coordinator.send('w1', assignOf({ runId, generation: 1, spec, workers: ['w1'], evaluateStages }));
  await finished(runId);
  const from = coordinator.heard.length;
  const isFrom = (id: string) => (one: { workerId: string }) => one.workerId === id;
  // As if nothing of the first had been heard: the second begins from the last checkpoint.
  coordinator.send('w2', assignOf({ runId, generation: 2, spec, workers: ['w2'], evaluateStages }));
  await until('the second is finished', () =>
    coordinator.heard
      .slice(from)
      .some((one) => isFrom('w2')(one) && one.kind.$case === 'finished' && one.kind.value.runId === runId),
  );
  const reported = (id: string) =>
    coordinator.heard.flatMap((one) =>
      isFrom(id)(one) && one.kind.$case === 'checkpointStored' && one.kind.value.runId === runId
        ? [{ ...one.kind.value, generation: 0 }]
        : [],
    );
  assert.deepEqual(
    reported('w2').map(({ stage }) => stage),
    [1, 2],
  );
  assert.deepEqual(reported('w2'), reported('w1'), 'with the same facts');
  const [first, last] = reported('w2');
  assert.ok((first?.evaluation?.accuracy ?? 0) > 0, 'the network of a stage that it has not trained');
  assert.equal(last?.evaluation, undefined);
  // 36 of 48 images, 16 a step.
  assert.deepEqual([first?.step, last?.step], [3, 5]);
  await release(runId, 1, ['w1']);
  await release(runId, 2, ['w2']);
});

test('two workers end with the same weights as one', async () => {
  const spec = tinyRun();
  const workers = ['w1', 'w2'];
  for (const id of workers)
    coordinator.send(id, assignOf({ runId: 'run-pair', generation: 1, spec, workers }));
  const end = await finished('run-pair');
  const alone = await finished('run-alone');
  assert.equal(end.weightsDigest, alone.weightsDigest);
  // Latency is a measurement, and one of them asked for it.
  assert.deepEqual(
    { ...end.evaluation, accuracyUntrained: 0, latency: undefined },
    { ...alone.evaluation, accuracyUntrained: 0, latency: undefined },
  );
  await release('run-pair', 1, workers);
});

test('heartbeats go out at their interval while kernels run', async () => {
  // Larger than tiny: each kernel takes several heartbeat intervals.
  const spec = tinyRun({
    ...withTraining({ epochs: 1, batch: 48, shards: 1 }),
    network: { kind: 'pocketnet', channels: 16, layers: 8, embedding: 32 },
  });
  coordinator.send('w1', assignOf({ runId: 'run-slow', generation: 1, spec, workers: ['w1'] }));
  const busy = async () => {
    const { metricsEndpoint } = await coordinator.report('hello', (value) => value.workerId === 'w1');
    const text = await (await fetch(`http://${metricsEndpoint}/metrics`)).text();
    return Number(/compute_busy_seconds_total\{kind="train"\} ([0-9.]+)/.exec(text)?.[1] ?? 0);
  };
  const busyBefore = await busy();
  const from = performance.now();
  await finished('run-slow');
  const to = performance.now();
  assert.ok(
    (await busy()) - busyBefore > 4 * (HEARTBEAT_MS / 1000),
    'the kernels took long enough to matter',
  );
  const beats = coordinator.heard
    .filter(
      ({ workerId, kind, at }) => workerId === 'w1' && kind.$case === 'heartbeat' && at > from && at < to,
    )
    .map(({ at }) => at);
  const gaps = beats.slice(1).map((at, i) => at - beats[i]!);
  assert.ok(beats.length >= 0.7 * ((to - from) / HEARTBEAT_MS), `${beats.length} in ${to - from} ms`);
  assert.ok(Math.max(...gaps) < 5 * HEARTBEAT_MS, `the longest silence was ${Math.max(...gaps)} ms`);
  await release('run-slow', 1, ['w1']);
});

test('a report is sent again on a new stream until it is acknowledged, and work goes on meanwhile', async () => {
  coordinator.acknowledges = false;
  coordinator.send('w1', assignOf({ runId: 'run-again', generation: 1, spec: tinyRun(), workers: ['w1'] }));
  await coordinator.report('checkpointStored', (value) => value.runId === 'run-again');
  const first = coordinator.heard.findLast(({ workerId }) => workerId === 'w1')!.stream;
  coordinator.cut('w1');
  const again = await coordinator.report(
    'checkpointStored',
    (value, { stream }) => value.runId === 'run-again' && value.stage === 1 && stream > first,
  );
  assert.equal(again.step, 3);
  const hello = coordinator.heard.findLast(
    ({ kind, workerId }) => kind.$case === 'hello' && workerId === 'w1',
  )!;
  assert.ok(hello.kind.$case === 'hello');
  assert.deepEqual(
    hello.kind.value.leases.map(({ runId, generation }) => [runId, generation]),
    [['run-again', 1]],
  );
  coordinator.acknowledges = true;
  const end = await finished('run-again');
  assert.equal(end.weightsDigest, (await finished('run-alone')).weightsDigest);
  // Acknowledged now; another new stream brings nothing back.
  coordinator.cut('w1');
  await until('attached again', () => coordinator.attached('w1'));
  await release('run-again', 1, ['w1']);
});

test('a new generation stops the loop and goes on from the state in hand; an old or repeated one changes nothing', async () => {
  const spec = tinyRun(withTraining({ epochs: 8 }));
  const workers = ['w1', 'w2'];
  const runId = 'run-moved';
  coordinator.send('w1', assignOf({ runId, generation: 1, spec, workers: ['w1'] }));
  const before = await coordinator.report(
    'progress',
    (value) => value.runId === runId && (value.point?.step ?? 0) >= 3,
  );
  for (const id of workers) coordinator.send(id, assignOf({ runId, generation: 2, spec, workers }));
  coordinator.send('w1', assignOf({ runId, generation: 2, spec, workers }));
  coordinator.send('w1', assignOf({ runId, generation: 1, spec, workers: ['w1'] }));
  const joined = await coordinator.report(
    'progress',
    (value) => value.runId === runId && value.generation === 2 && value.point !== undefined,
  );
  const steps = [before, joined].map(({ point }) => point?.step ?? 0);
  assert.ok(steps[1]! > steps[0]!, `it went on, it did not begin again: ${steps}`);
  await programs.get('w2')!.stop('SIGKILL');
  coordinator.send('w1', assignOf({ runId, generation: 3, spec, workers: ['w1'] }));
  const moved = await finished(runId);
  await release(runId, 3, ['w1']);
  coordinator.send('w1', assignOf({ runId: 'run-still', generation: 1, spec, workers: ['w1'] }));
  const still = await finished('run-still');
  assert.equal(moved.weightsDigest, still.weightsDigest);
  await release('run-still', 1, ['w1']);
});

test('a run that is released and assigned anew in one breath is begun anew, the last word counts', async () => {
  const spec = tinyRun(withTraining({ epochs: 12 }));
  const runId = 'run-anew';
  const release = (generation: number) =>
    ({ $case: 'release', value: { runId, generation, reason: 'taken for lost' } }) as const;
  coordinator.send('w1', assignOf({ runId, generation: 1, spec, workers: ['w1'] }));
  await coordinator.report('progress', (value) => value.runId === runId && (value.point?.step ?? 0) >= 2);
  // As a worker hears it that comes back after it was declared lost; twice, because the second may overtake the end of
  // the first.
  coordinator.send('w1', release(1));
  coordinator.send('w1', assignOf({ runId, generation: 3, spec, workers: ['w1'] }));
  coordinator.send('w1', release(3));
  coordinator.send('w1', assignOf({ runId, generation: 5, spec, workers: ['w1'] }));
  const end = await finished(runId);
  assert.equal(end.generation, 5);
  coordinator.send('w1', release(5));
  await coordinator.report('released', (value) => value.runId === runId && value.generation === 5);
});

test('a student waits for its teacher, says so, and starts when the checkpoint arrives', async () => {
  const teacher = tinyRun({ kind: 'teacher', ...withTraining({ epochs: 1, seed: 11 }) });
  const student = tinyRun({ kind: 'student', distillation: { teacher: 'run-teacher', weight: 10 } });
  const taught = { generation: 1, teacherRunId: 'run-teacher', teacherStages: 1 };
  coordinator.send('w1', assignOf({ runId: 'run-student', spec: student, workers: ['w1'], ...taught }));
  // The same student, with its shards on two workers: it shares the passes of one and computes its own on the other.
  const twin = { runId: 'run-twin', spec: student, workers: ['w1', 'w2'], ...taught };
  for (const id of twin.workers) coordinator.send(id, assignOf(twin));
  // And with the stream of the fleet, on one worker and on two; the run that computes for both has the second worker.
  await ensureEmbeddingStream(await streamManager(connection), NAMES, 2 ** 20);
  const share = { ...taught, embeddingRunId: 'run-pool' };
  const streaming: Parameters<typeof assignOf>[0][] = [
    { runId: 'run-near', spec: student, workers: ['w1'], ...share },
    { runId: 'run-far', spec: student, workers: ['w2', 'w1'], ...share },
  ];
  // And from rows of images, which both epochs have of the one stage.
  const byImage = { ...student.distillation!, share: 'own' as const, embed: 'by-image' as const };
  const kept = { ...taught, spec: { ...student, distillation: byImage }, imageRowsBytes: 2 ** 20 };
  streaming.push({ ...kept, runId: 'run-kept', workers: ['w1'] });
  for (const run of streaming) for (const id of run.workers) coordinator.send(id, assignOf(run));
  const { network } = teacher;
  const pool = { ...student, kind: 'embedding' as const, network, workers: { min: 1, max: 4 } };
  const pooled = { runId: 'run-pool', spec: pool, workers: ['w2'], ...taught };
  coordinator.send('w2', assignOf(pooled));
  const waiting = await coordinator.report(
    'progress',
    (value) => value.runId === 'run-student' && value.waitingForStage > 0,
  );
  assert.equal(waiting.waitingForStage, 1);
  assert.equal(waiting.point?.step, 0);
  coordinator.send('w2', assignOf({ runId: 'run-teacher', generation: 1, spec: teacher, workers: ['w2'] }));
  const end = await finished('run-student');
  assert.equal(end.step, 6);
  const point = coordinator.heard.flatMap(({ kind }) =>
    kind.$case === 'progress' && kind.value.runId === 'run-student' && kind.value.point?.step
      ? [kind.value.point]
      : [],
  );
  assert.ok(point.length > 0 && point.every(({ lossKd }) => lossKd > 0), 'the distillation term is trained');
  assert.ok((end.evaluation?.accuracyUntrained ?? Number.NaN) >= 0, 'a student is compared with its start');
  const weightsOf = (id: string) =>
    coordinator.heard.flatMap(({ kind }) =>
      kind.$case === 'progress' && kind.value.runId === id && kind.value.point?.step === end.step
        ? [kind.value.point.weightsDigest]
        : [],
    )[0];
  await finished('run-twin');
  assert.notEqual(weightsOf('run-student'), undefined);
  assert.equal(weightsOf('run-twin'), weightsOf('run-student'), 'shared passes give the same bits');
  for (const { runId, workers } of streaming) {
    await finished(runId);
    assert.equal(weightsOf(runId), weightsOf('run-student'), `${runId} learns from the same bits`);
    await release(runId, 1, workers);
  }
  // 24 blocks for both runs: 6 steps of 4 shards.
  const computed = await imagesOf(['run-near', 'run-far', 'run-pool'], 'computed');
  assert.ok(computed >= 96 && computed <= 1.25 * 96, `${computed} images of 96 were embedded`);
  assert.ok((await imagesOf(['run-near', 'run-far'], 'fetched')) > 0);
  assert.ok((await imagesOf(['run-kept'], 'kept')) > 0, 'the second epoch takes rows that are kept');
  // Told to pause it has nothing to store, and is released.
  coordinator.send('w2', assignOf({ ...pooled, generation: 2, pauses: true }));
  await coordinator.report('paused', ({ runId, step }) => runId === 'run-pool' && step === 0);
  await release('run-pool', 2, ['w2']);
  await Promise.all([
    release('run-student', 1, ['w1']),
    release('run-twin', 1, twin.workers),
    finished('run-teacher'),
  ]);
  await release('run-teacher', 1, ['w2']);
});

test('a student with blocks of float16 has the same weights from its own passes and from the stream', async () => {
  const half = { teacher: 'run-teacher', weight: 10, blocks: 'float16' as const };
  const of = { kind: 'student' as const, ...withTraining({ exact: false }) };
  const student = tinyRun({ ...of, distillation: half });
  const taught = { generation: 1, teacherRunId: 'run-teacher', teacherStages: 1 };
  const alone = { ...taught, runId: 'run-half-alone', spec: student, workers: ['w1'] };
  const wide = tinyRun({ ...of, distillation: { ...half, blocks: 'float32' } });
  const full = { ...taught, runId: 'run-full', spec: wide, workers: ['w1'] };
  for (const run of [alone, full]) coordinator.send('w1', assignOf(run));
  const [rounded, plain] = [await finished(alone.runId), await finished(full.runId)];
  assert.notEqual(rounded.weightsDigest, plain.weightsDigest, 'it learns from rounded numbers');
  // On a worker that has no block of the first one.
  const { network } = tinyRun({ kind: 'teacher' });
  const pool = { ...student, kind: 'embedding' as const, network, workers: { min: 1, max: 4 } };
  const pooled = { ...taught, runId: 'run-half-pool', spec: pool, workers: ['w2'] };
  const far = { ...taught, runId: 'run-half-far', spec: student, workers: ['w2'] };
  coordinator.send('w2', assignOf(pooled));
  coordinator.send('w2', assignOf({ ...far, embeddingRunId: 'run-half-pool' }));
  assert.equal((await finished(far.runId)).weightsDigest, rounded.weightsDigest, 'the same numbers');
  assert.ok((await imagesOf([far.runId], 'fetched')) > 0);
  const last = await (await streamManager(connection)).direct.getMessage(NAMES.embeddingStream, {
    last_by_subj: NAMES.blockSubjects,
  });
  assert.equal(last && blockHeaders.read(last.header).form, 'float16');
  for (const { runId, workers } of [alone, full, pooled, far]) await release(runId, 1, workers);
});

test('two workers of a student have rows of each other, and two of an embedding run too', async () => {
  const taught = { generation: 1, teacherRunId: 'run-teacher', teacherStages: 1, imageRowsBytes: 2 ** 20 };
  const workers = ['w1', 'w2'];
  /** Images of its own, so that no worker has a row of them; the same images in each epoch. */
  const spec = (seed: number, share?: 'own') =>
    tinyRun({
      ...{ kind: 'student', ...withTraining({ epochs: 6 }) },
      data: { kind: 'synthetic', identities: 8, images: 8, holdout: 2, seed },
      distillation: { teacher: 'run-teacher', embed: 'by-image', ...(share === undefined ? {} : { share }) },
    });
  const student = async (runId: string, run: RunSpec, of: { embeddingRunId?: string } = {}) => {
    for (const id of workers) coordinator.send(id, assignOf({ ...taught, runId, spec: run, workers, ...of }));
    await finished(runId);
  };
  await student('run-rows-apart', spec(21, 'own'));
  await student('run-rows', spec(22));
  const { network } = tinyRun({ kind: 'teacher' });
  const pool = { ...spec(23), kind: 'embedding' as const, network, workers: { min: 1, max: 4 } };
  const pooled = { ...taught, runId: 'run-rows-pool', spec: pool, workers };
  for (const id of workers) coordinator.send(id, assignOf(pooled));
  await student('run-rows-fed', spec(23), { embeddingRunId: 'run-rows-pool' });
  const apart = await imagesOf(['run-rows-apart'], 'computed');
  // Of 48 images two rows each, and some that both workers lacked at the same time.
  const shared = await imagesOf(['run-rows'], 'computed');
  const fed = await imagesOf(['run-rows-fed', 'run-rows-pool'], 'computed');
  const said = `${apart} images apart, ${shared} with the rows of each other, ${fed} with an embedding run, of 48`;
  assert.ok(shared >= 2 * 48 && shared < 3.5 * 48 && shared < apart, said);
  assert.ok(fed >= 2 * 48 && fed < 4 * 48, said);
  for (const runId of ['run-rows-apart', 'run-rows', 'run-rows-fed', 'run-rows-pool'])
    await release(runId, 1, workers);
});

test('of data that have changed since an earlier run nothing is used that was kept for that run', async () => {
  /** Eight people with eight images, from these colours on. */
  const writePeople = (path: string, first: number) => {
    for (let person = 0; person < 8; person++) {
      mkdirSync(join(path, `p${person}`), { recursive: true });
      for (let image = 0; image < 8; image++) {
        const rgb = Uint8Array.from(integers(first + 8 * person + image, 'a face', 48, 256));
        writeFileSync(
          join(path, `p${person}`, `${image}.ppm`),
          Buffer.concat([Buffer.from('P6 4 4 255\n'), rgb]),
        );
      }
    }
  };
  const [path, elsewhere] = ['people', 'same-people'].map((name) => join(folder, name)) as [string, string];
  writePeople(path, 0);
  const teacher = tinyRun({ kind: 'teacher', ...withTraining({ epochs: 1, seed: 11 }) });
  coordinator.send('w1', assignOf({ runId: 'run-kd', generation: 1, spec: teacher, workers: ['w1'] }));
  await finished('run-kd');
  const train = async (runId: string, dataDigest: string, change: { path?: string; share?: string }) => {
    const { share, ...data } = { path, ...change };
    const spec = tinyRun({
      ...{ kind: 'student', data: { kind: 'folder', holdout: 2, ...data } },
      distillation: {
        teacher: 'run-kd',
        weight: 10,
        embed: 'by-image',
        ...(share === undefined ? {} : { share }),
      },
    });
    const run = { runId, spec, dataDigest, generation: 1, workers: ['w1'], imageRowsBytes: 2 ** 20 };
    coordinator.send('w1', assignOf({ ...run, teacherRunId: 'run-kd', teacherStages: 1 }));
    const { weightsDigest } = await finished(runId);
    return { weightsDigest, computed: await imagesOf([runId], 'computed') };
  };
  const before = await train('run-before', 'a'.repeat(64), {});
  // The first run still has the set open, its images decoded, and blocks and rows are kept.
  writePeople(path, 100);
  writePeople(elsewhere, 100);
  const after = await train('run-after', 'b'.repeat(64), {});
  const alone = await train('run-apart', 'c'.repeat(64), { path: elsewhere, share: 'own' });
  assert.notEqual(after.weightsDigest, before.weightsDigest);
  assert.equal(after.weightsDigest, alone.weightsDigest, 'nothing of the first content is in it');
  assert.ok(after.computed >= 48 && alone.computed >= 48, JSON.stringify({ after, alone }));
  const moved = await train('run-moved-data', 'b'.repeat(64), { path: elsewhere });
  assert.deepEqual(moved, { ...after, computed: 0 }, 'equal content is the same data wherever it lies');
  for (const runId of ['run-before', 'run-after', 'run-apart', 'run-moved-data', 'run-kd'])
    await release(runId, 1, ['w1']);
});

test("a student goes on from its stage when the teacher's stage behind it has gone", async () => {
  const teacher = tinyRun({ kind: 'teacher', ...withTraining({ epochs: 2, seed: 12 }) });
  coordinator.send('w1', assignOf({ runId: 'run-gone', generation: 1, spec: teacher, workers: ['w1'] }));
  await finished('run-gone');
  const spec = tinyRun({ kind: 'student', distillation: { teacher: 'run-gone', weight: 10 } });
  const taught = { teacherRunId: 'run-gone', teacherStages: 2 };
  const assign = (runId: string, generation: number) =>
    coordinator.send('w1', assignOf({ runId, generation, spec, workers: ['w1'], ...taught }));
  assign('run-whole', 1);
  const whole = await finished('run-whole');
  await Promise.all(['run-gone', 'run-whole'].map((runId) => release(runId, 1, ['w1'])));
  // The same student, whose worker is lost after the first stage, which has learnt from the teacher's first.
  assign('run-left', 1);
  await coordinator.report('checkpointStored', (value) => value.runId === 'run-left' && value.stage === 1);
  await programs.get('w1')!.stop('SIGKILL');
  const bucket = await openBucket(connection, NAMES.manifestBucket);
  await bucket.delete(NAMES.checkpointKey('run-gone', 1));
  await bucket.delete(NAMES.checkpointKey('run-left', 2));
  await startWorker('w1');
  assign('run-left', 2);
  const end = await coordinator.report(
    'finished',
    (value) => value.runId === 'run-left' && value.generation === 2,
  );
  assert.equal(end.weightsDigest, whole.weightsDigest);
  await release('run-left', 2, ['w1']);
});

test('a gang that does not find the stage that its assignment names says from where it goes on, and has the same bits', async () => {
  const spec = tinyRun(withTraining({ epochs: 2, seed: 41 }));
  const assign = (generation: number, stored = {}) =>
    coordinator.send('w1', assignOf({ runId: 'run-missing', generation, spec, workers: ['w1'], ...stored }));
  assign(1);
  const whole = await finished('run-missing');
  await release('run-missing', 1, ['w1']);
  // The store has the first stage alone; then none, as a new one.
  const bucket = await openBucket(connection, NAMES.manifestBucket);
  const without = [[2], [1, 2]];
  for (const [i, newest] of [1, 0].entries()) {
    for (const stage of without[i]!) await bucket.delete(NAMES.checkpointKey('run-missing', stage));
    const generation = 2 + i;
    assign(generation, { storedStage: 2 });
    const ofThis = (value: { runId: string; generation: number }) =>
      value.runId === 'run-missing' && value.generation === generation;
    const missing = await coordinator.report('stagesMissing', ofThis);
    assert.deepEqual(missing, { runId: 'run-missing', generation, newest });
    const end = await coordinator.report('finished', ofThis);
    assert.equal(end.weightsDigest, whole.weightsDigest);
    await release('run-missing', generation, ['w1']);
  }
});

test('a broker that restarts fails nothing', async () => {
  const spec = tinyRun(withTraining({ epochs: 6 }));
  const workers = ['w1', 'w2'];
  for (const id of workers)
    coordinator.send(id, assignOf({ runId: 'run-broker', generation: 1, spec, workers }));
  await coordinator.report(
    'progress',
    (value) => value.runId === 'run-broker' && (value.point?.step ?? 0) >= 2,
  );
  await nats.kill('SIGKILL');
  await nats.restart();
  const end = await finished('run-broker');
  assert.equal(end.step, 18);
  assert.ok(!coordinator.heard.some(({ kind }) => kind.$case === 'failed'), 'no run was reported as failed');
  await release('run-broker', 1, workers);
});

test('numbers that are not finite fail the run as numeric with step and tensor', async () => {
  const wild = tinyRun(
    withTraining({ optimizer: { learningRate: 10, clipNorm: 1e30, weightDecay: 1 }, epochs: 40 }),
  );
  coordinator.send('w1', assignOf({ runId: 'run-wild', generation: 1, spec: wild, workers: ['w1'] }));
  const failed = await coordinator.report('failed', (value) => value.runId === 'run-wild');
  assert.equal(failed.cause, 'numeric');
  assert.match(failed.message, /in step \d+/);
  assert.ok(failed.tensor !== undefined && failed.message.includes(failed.tensor), failed.message);
  assert.ok(failed.value !== undefined && !Number.isFinite(failed.value));
  await release('run-wild', 1, ['w1']);
});

test('data that is away is a fault of the place, absent or emptied; when it is back the same run goes on here', async () => {
  const path = join(folder, 'faces');
  const spec = tinyRun({ data: { kind: 'folder', path, holdout: 2 } });
  const runId = 'run-data';
  for (const generation of [1, 2]) {
    // What an unmounted share leaves is no folder, or an empty one.
    if (generation === 2) mkdirSync(path);
    coordinator.send('w1', assignOf({ runId, generation, spec, workers: ['w1'] }));
    const failed = await coordinator.report(
      'failed',
      (value) => value.runId === runId && value.generation === generation,
    );
    assert.deepEqual([failed.cause, failed.ofPlace], ['infrastructure', true]);
    assert.match(failed.message, /the data set is not here as it was at submit: .*faces/);
  }
  for (const [person, images] of (await drawnFaces(8, 8)).entries()) {
    mkdirSync(join(path, `person-${person}`));
    for (const [i, bytes] of images.entries())
      writeFileSync(join(path, `person-${person}`, `${i}.png`), bytes);
  }
  coordinator.send('w1', assignOf({ runId, generation: 3, spec, workers: ['w1'] }));
  assert.equal((await finished(runId)).step, 6);
  await release(runId, 3, ['w1']);
});

test('a checkpoint is verified on request, and one that does not exist is an answer too', async () => {
  const specJson = JSON.stringify(tinyRun());
  const ask = (requestId: string, stage: number) =>
    coordinator.send('w2', {
      $case: 'verify',
      value: { requestId, runId: 'run-alone', stage, specJson, setPath: '' },
    });
  ask('v1', 0);
  const { report } = await coordinator.report('verifyResult', (value) => value.requestId === 'v1');
  assert.equal(report?.evaluation?.accuracy, (await finished('run-alone')).evaluation?.accuracy);
  ask('v2', 9);
  const { error } = await coordinator.report('verifyResult', (value) => value.requestId === 'v2');
  assert.match(error, /no checkpoint 9/);
});

test('a data set is looked at beside a run that trains, and what is not on the machine is an answer too', async () => {
  const dir = join(folder, 'inspected');
  for (const person of ['a', 'b', 'c', 'd']) {
    mkdirSync(join(dir, person), { recursive: true });
    for (let i = 0; i < 3; i++)
      writeFileSync(join(dir, person, `${i}.pgm`), Buffer.from(`P5 2 2 255\n${person.repeat(3)}${i}`));
  }
  const spec = tinyRun(withTraining({ epochs: 500 }));
  coordinator.send('w1', assignOf({ runId: 'run-beside', generation: 1, spec, workers: ['w1'] }));
  await coordinator.report('progress', (value) => value.runId === 'run-beside' && value.point !== undefined);
  const ask = (requestId: string, path: string) =>
    coordinator.send('w1', {
      $case: 'inspect',
      value: { requestId, dataJson: JSON.stringify({ kind: 'folder', path, holdout: 2 }) },
    });
  const ended = async (requestId: string) => {
    const { part } = await coordinator.report(
      'inspectResult',
      (value) => value.requestId === requestId && value.part?.$case !== 'progress',
    );
    return part;
  };
  ask('i1', dir);
  const found = await ended('i1');
  assert.ok(found?.$case === 'inspection', JSON.stringify(found));
  assert.deepEqual(
    [found.value.trainingImages, found.value.classes, found.value.heldOutSizes],
    [6, 2, [3, 3]],
  );
  assert.match(found.value.digest, /^[0-9a-f]{64}$/);
  ask('i2', join(folder, 'elsewhere'));
  const refused = await ended('i2');
  assert.ok(refused?.$case === 'refusal');
  assert.equal(refused.value.absent, true);
  assert.match(refused.value.message, /^data\.path: there is no folder .*elsewhere \(w1 on \S+\)$/);
  const { length } = coordinator.heard;
  await until('the run goes on', () =>
    coordinator.heard
      .slice(length)
      .some(({ kind, workerId }) => kind.$case === 'progress' && workerId === 'w1'),
  );
  await release('run-beside', 1, ['w1']);
});

test('the first SIGTERM drains: the worker says so, keeps its run until it is released, and leaves with code 0', async () => {
  const spec = tinyRun(withTraining({ epochs: 500 }));
  coordinator.send('w2', assignOf({ runId: 'run-drained', generation: 1, spec, workers: ['w2'] }));
  await coordinator.report('progress', (value) => value.runId === 'run-drained' && value.point !== undefined);
  const program = programs.get('w2')!;
  program.child.kill('SIGTERM');
  await coordinator.report('draining', (_, { workerId }) => workerId === 'w2');
  assert.equal(program.child.exitCode, null);
  coordinator.send('w2', {
    $case: 'release',
    value: { runId: 'run-drained', generation: 1, reason: 'draining' },
  });
  assert.deepEqual(await program.ended, { code: 0, signal: null });
  await coordinator.report('released', (value) => value.runId === 'run-drained');
});

test('each step is in the history once when rank 0 is killed with points that it has not sent', async () => {
  // Stages of 15 steps, so that no checkpoint comes between.
  const data = { kind: 'synthetic', identities: 8, images: 40, holdout: 2, seed: 5 };
  const spec = tinyRun({ ...withTraining({ epochs: 2 }), data });
  const runId = 'run-killed';
  for (const id of ['w1', 'w2'])
    coordinator.send(id, assignOf({ runId, generation: 1, spec, workers: ['w1', 'w2'] }));
  await coordinator.report('progress', (value) => value.runId === runId && (value.point?.step ?? 0) >= 3);
  programs.get('w1')!.child.kill('SIGKILL');
  await programs.get('w1')!.ended;
  coordinator.send('w2', assignOf({ runId, generation: 2, spec, workers: ['w2'] }));
  const { step } = await finished(runId);
  const points = await reader().history(runId);
  assert.deepEqual(
    points.map((point) => point.step),
    Array.from({ length: step }, (_, i) => i + 1),
  );
  await release(runId, 2, ['w2']);
});

test('a gang pauses within a stage, and one worker goes on from there, halts at a rung and goes on, to the bits of a run that was verified on its way', async () => {
  // 48 images, 6 steps a stage. Few images, because drawing them takes longer than training on them.
  const data = { kind: 'synthetic', identities: 10, images: 6, holdout: 2, seed: 5 };
  const [stageSteps, steps] = [6, 18];
  // Beside the weights one keeps an outer momentum, the other what int8 left of each shard and the parts of its head.
  const procedures = {
    outer: { sync: { kind: 'outer', every: 4 } },
    head: { head: 'sharded', compression: 'int8' },
  };
  const paused = async (runId: string, spec: RunSpec) => {
    const workers = ['w1', 'w2'];
    for (const id of workers) coordinator.send(id, assignOf({ runId, generation: 1, spec, workers }));
    await coordinator.report('progress', (value) => value.runId === runId && (value.point?.step ?? 0) >= 2);
    const pausing = assignOf({ runId, generation: 2, spec, workers, pauses: true });
    for (const id of workers) coordinator.send(id, pausing);
    const { step, stored } = await coordinator.report('paused', (value) => value.runId === runId);
    assert.ok(step >= 2 && step < steps, `${runId} paused at step ${step}`);
    assert.equal(stored === undefined, step % stageSteps === 0);
    await release(runId, 2, workers);
    return step;
  };
  /** Goes on from a pause to the end of the stage that is open, where the run is verified, and then to its end. */
  const halted = async (runId: string, spec: RunSpec, pausedStep: number) => {
    const haltStage = Math.floor(pausedStep / stageSteps) + 1;
    const on = { runId, spec, workers: ['w1'] };
    coordinator.send('w1', assignOf({ ...on, generation: 3, pausedStep, haltStage }));
    if (haltStage === spec.training.epochs) return undefined;
    const { stage, step, weightsDigest, evaluation } = await coordinator.report(
      'halted',
      (value) => value.runId === runId,
    );
    assert.deepEqual([stage, step], [haltStage, haltStage * stageSteps]);
    assert.ok(evaluation !== undefined && evaluation.accuracy > 0 && evaluation.pairs > 0);
    await release(runId, 3, ['w1']);
    coordinator.send('w1', assignOf({ ...on, generation: 4, pausedStep }));
    return { stage, weightsDigest, evaluation };
  };
  const halts: string[] = [];
  for (const [name, training] of Object.entries(procedures)) {
    const spec = tinyRun({ ...withTraining({ epochs: 3, batch: 8, ...training }), data });
    const step = await paused(`run-paused-${name}`, spec);
    if (name === 'outer') assert.ok([0, 4].includes(step % stageSteps), 'an outer run pauses at a round');
    const halt = await halted(`run-paused-${name}`, spec, step);
    const still = `run-still-${name}`;
    coordinator.send(
      'w2',
      assignOf({ runId: still, generation: 1, spec, workers: ['w2'], evaluateStages: [1, 2] }),
    );
    const [went, stayed] = await Promise.all([finished(`run-paused-${name}`), finished(still)]);
    assert.deepEqual({ ...went, runId: '', generation: 0 }, { ...stayed, runId: '', generation: 0 }, name);
    const ledgers = await Promise.all(
      [went, stayed].map(({ runId }) =>
        coordinator.report(
          'checkpointStored',
          (value) => value.runId === runId && value.stage === steps / stageSteps,
        ),
      ),
    );
    assert.equal(ledgers[0]!.ledgerDigest, ledgers[1]!.ledgerDigest);
    if (halt !== undefined) {
      const stored = await coordinator.report(
        'checkpointStored',
        (value) => value.runId === still && value.stage === halt.stage,
      );
      assert.equal(halt.weightsDigest, stored.weightsDigest);
      assert.deepEqual(stored.evaluation, halt.evaluation, 'it was verified there on its way');
      halts.push(name);
    }
    const first = await reader().history(went.runId);
    assert.deepEqual(first.at(-1)?.step, steps);
    await Promise.all([release(went.runId, went.generation, ['w1']), release(still, 1, ['w2'])]);
  }
  assert.ok(halts.length > 0, 'one of them was paused before its last stage');
  assert.ok(!programs.get('w1')!.output().includes('cannot be read'), 'each went on from its pause');
});
