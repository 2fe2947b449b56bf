import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { jetstream } from '@nats-io/jetstream';
import { unzipSync } from 'fflate';
import { createRecords, type Records } from '../../coordinator/api/records.ts';
import { step } from '../../coordinator/decisions/decide.ts';
import { type SpecifiedRun, withSpec } from '../../coordinator/model/spec-of.ts';
import { initialState, runOf } from '../../coordinator/model/state.ts';
import type { Checkpoint } from '../../core/checkpoint/checkpoint.ts';
import { checkpointArtefact } from '../../core/checkpoint/checkpoint-store.ts';
import { evaluationArtefact } from '../../core/checkpoint/evaluation.ts';
import { type ArtefactStore, createArtefactStore } from '../../core/checkpoint/store.ts';
import { createLogger } from '../../core/log.ts';
import { readModel } from '../../core/model/export.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { initialRunning, initialWeights } from '../../core/nn/init.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { ModelProto } from '../../proto/gen/onnx/v1/model.ts';
import { type EvaluationReport, LogLine, StepPoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { teacher } from '../sim/specs.ts';
import { FACTS } from '../sim/world.ts';
import { NAMES } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { connections } from '../support/state.ts';

let nats: TestNats;
let connection: NatsConnection;
let store: ArtefactStore;
let records: Records;
before(async () => {
  nats = await startNats();
  connection = await connectNats({ url: nats.url, token: '', name: 'test' });
  await ensureStreams(connection, NAMES);
  store = createArtefactStore({ connection, names: NAMES });
  records = createRecords({
    names: NAMES,
    connection,
    store,
    log: createLogger({ program: 'test', level: 'error' }),
  });
});
after(async () => {
  await store.close();
  await connection.close();
  await nats.stop();
});

function point(step: number) {
  const numbers = { epoch: 0, loss: step, lossArcface: 0, lossKd: 0, learningRate: 0, gradientNorm: 0 };
  return StepPoint.encode({ step, ...numbers, imagesPerSecond: 0, atMs: 0 }).finish();
}

/** A run with one checkpoint, as the journal would have it. */
function trainedRun(): SpecifiedRun {
  const context = { now: 1, connected: connections() };
  const documents = [{ kind: 'run', spec: teacher(), facts: FACTS }] as const;
  const { state } = step(initialState, { kind: 'submit', documents }, context);
  const report = {
    kind: 'checkpointStored',
    runId: 'run-1',
    stage: 1,
    step: 4,
    bytes: 1,
    digest: 'd',
  } as const;
  const input = { kind: 'reported', workerId: 'w', incarnation: 'i', sequence: 1, report } as const;
  const after = step(state, input, context).state;
  return withSpec(after, runOf(after, 'run-1'));
}

test('history is told in step order, each step once, whatever order and repetition workers left', async () => {
  assert.deepEqual(await records.history('run-9'), [], 'a run without points has an empty history');
  for (const n of [1, 2, 5, 3, 4, 3, 2, 6])
    await jetstream(connection).publish(NAMES.historySubject('run-1'), point(n));
  await jetstream(connection).publish(NAMES.historySubject('run-2'), point(9));
  const steps = (await records.history('run-1')).map(({ step: n }) => n);
  assert.deepEqual(steps, [1, 2, 3, 4, 5, 6]);
});

test('bytes that are no step point and no log line are passed over or told in one sentence, and end nothing', async () => {
  const client = jetstream(connection);
  const bytes = Uint8Array.of(0xff, 0xff, 0xff, 1, 2, 3, 4);
  await client.publish(NAMES.historySubject('run-7'), point(1));
  await client.publish(NAMES.historySubject('run-7'), bytes);
  await client.publish(NAMES.historySubject('run-7'), point(2));
  assert.deepEqual(
    (await records.history('run-7')).map(({ step: n }) => n),
    [1, 2],
  );
  await client.publish(NAMES.logSubject('run-7', 'w'), bytes);
  const all = { runId: 'run-7', workerId: '', follow: false, afterSequence: 0 };
  const lines: string[] = [];
  for await (const { level, text } of records.logs({ ...all, signal: new AbortController().signal }))
    lines.push(`${level} ${text}`);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /^warn message \d+ of PF_LOCAL_LOGS is not ours: 7 bytes that cannot be read$/);
});

test('log lines come oldest first, of one run or one worker, and with follow those to come until the caller goes', async () => {
  const write = (runId: string, workerId: string, text: string) =>
    jetstream(connection).publish(
      NAMES.logSubject(runId, workerId),
      LogLine.encode({ atMs: 1, workerId, runId, level: 'info', text, sequence: 0 }).finish(),
    );
  await write('run-1', 'a', 'one');
  await write('run-1', 'b', 'two');
  await write('run-2', 'a', 'three');
  const read = async (runId: string, workerId: string) => {
    const lines: string[] = [];
    const { signal } = new AbortController();
    const request = { runId, workerId, follow: false, afterSequence: 0, signal };
    for await (const line of records.logs(request)) lines.push(line.text);
    return lines;
  };
  assert.deepEqual(await read('run-1', ''), ['one', 'two']);
  assert.deepEqual(await read('', 'a'), ['one', 'three']);
  const gone = new AbortController();
  const followed: string[] = [];
  for await (const line of records.logs({
    runId: 'run-1',
    workerId: '',
    follow: true,
    afterSequence: 0,
    signal: gone.signal,
  })) {
    followed.push(line.text);
    if (followed.length === 2) await write('run-1', 'a', 'four');
    if (followed.length === 3) gone.abort();
  }
  assert.deepEqual(followed, ['one', 'two', 'four']);
});

test('log lines are gone on with from any of them, also across those of other runs', async () => {
  const { signal } = new AbortController();
  const read = async (afterSequence: number) => {
    const lines: LogLine[] = [];
    const request = { runId: 'run-1', workerId: '', follow: false, afterSequence, signal };
    for await (const line of records.logs(request)) lines.push(line);
    return lines;
  };
  const all = await read(0);
  assert.deepEqual(
    all.map(({ text }) => text),
    ['one', 'two', 'four'],
  );
  for (const [i, { sequence }] of all.entries()) assert.deepEqual(await read(sequence), all.slice(i + 1));
});

test('an evaluation that is not there is refused with the state of the run, and one that is comes whole', async () => {
  const run = trainedRun();
  await assert.rejects(records.evaluation(run), {
    code: 'notFound',
    message: /run-1 has no evaluation yet: it is queued/,
  });
  const report: EvaluationReport = {
    evaluation: undefined,
    rocFpr: [0, 1],
    rocTpr: [0.25, 1],
    examples: [],
    judged: undefined,
  };
  await store.putArtefact({ key: NAMES.evaluationKey('run-1'), ...evaluationArtefact(report) });
  assert.deepEqual((await records.evaluation(run)).rocTpr, [0.25, 1]);
});

test('an exported network is the stored weights under reference names, in chunks with the digest in the last', async () => {
  const run = trainedRun();
  const network = buildNetwork(run.spec.network);
  const layout = layoutOf(network, { classes: FACTS.classes });
  const weights = initialWeights(layout, 3);
  const stateOf = (values: Float32Array) => [
    { name: 'weights', values },
    { name: 'momentum', values: new Float32Array(values.length) },
    { name: 'running', values: initialRunning(layout) },
  ];
  const checkpoint: Checkpoint = {
    vectors: stateOf(weights),
    spec: run.spec,
    network: network.spec,
    preprocessing: {},
    step: 4,
    epoch: 1,
    stage: 1,
    deviceClass: 'test',
  };
  const put = async (changed: Partial<Checkpoint>) => {
    const stored = { ...checkpoint, ...changed };
    const artefact = await checkpointArtefact(store, stored, layout.backboneCount);
    await store.putArtefact({ key: NAMES.checkpointKey('run-1', stored.stage), ...artefact });
  };
  await put({});
  const chunks: Buffer[] = [];
  let digest = '';
  for await (const chunk of records.exported(run, 0)) {
    chunks.push(chunk.data);
    digest = chunk.digest;
    if (chunk.digest === '') assert.equal(chunk.data.length, 256 * 1024);
  }
  const file = Buffer.concat(chunks);
  assert.ok(chunks.length > 1);
  assert.equal(digest, createHash('sha256').update(file).digest('hex'));
  const model = readModel(file, 'export');
  assert.equal(model.metadata.pocketfleet_run, 'run-1');
  const { metadataProps } = ModelProto.decode(await whole(records.exported(run, 0, { format: 'onnx' })));
  assert.ok(metadataProps.some(({ key, value }) => key === 'pocketfleet_run' && value === 'run-1'));
  const folder = unzipSync(await whole(records.exported(run, 0, { format: 'tfjs' })));
  assert.match(new TextDecoder().decode(folder['model.json']), /"pocketfleet_run":"run-1"/);
  assert.equal(model.network.embedding, 16);
  await assert.rejects(async () => records.exported(run, 2).next(), {
    code: 'notFound',
    message: /^stage 2 of run-1 is not stored; run-1 has stage 1$/,
  });
  const failed = { ...run, state: 'failed' as const, reason: 'loss is not finite in step 7' };
  await assert.rejects(async () => records.exported(failed, 0).next(), {
    code: 'failedPrecondition',
    message: /^run-1 failed: loss is not finite in step 7; .*--even-failed/,
  });
  assert.deepEqual(await whole(records.exported(failed, 0, { evenFailed: true })), file);
  const infinite = Float32Array.from(weights).fill(Number.POSITIVE_INFINITY, 3, 5);
  await put({ vectors: stateOf(infinite), stage: 2 });
  const later = { ...run, checkpoints: [...run.checkpoints, { ...run.checkpoints[0]!, stage: 2 }] };
  await assert.rejects(async () => records.exported(later, 0).next(), {
    code: 'failedPrecondition',
    message: /^stage 2 of run-1 has 2 values that are not finite.*--even-failed/,
  });
  assert.deepEqual(await whole(records.exported(later, 1)), file);
  assert.ok((await whole(records.exported(later, 0, { evenFailed: true }))).length > 0);
});

async function whole(chunks: AsyncIterable<{ data: Buffer }>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const { data } of chunks) parts.push(data);
  return Buffer.concat(parts);
}
