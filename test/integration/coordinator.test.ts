// The coordinator's process against a real nats-server, with workers that only follow a script: what survives kill -9, and
// who gets in. Who may lead is in standby.test.ts. Training itself is in whole.test.ts.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FleetError } from '../../core/errors.ts';
import { createFleetClient, streamed, unary } from '../../core/net/grpc-client.ts';
import type { FleetServiceClient, Snapshot } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { healthOf, reflectedServices } from '../support/grpc-raw.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { assertNothingLeft, freePort, type Program, startTypeScript, until } from '../support/processes.ts';
import { refusalOfHello, type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts';

const TOKEN = 'token-of-this-test';
const MAIN = fileURLToPath(new URL('../../coordinator/main.ts', import.meta.url));
/** 12 identities of 8 images, 4 held out. */
const IMAGES = 64;

interface Fixture {
  readonly nats: TestNats;
  readonly endpoint: string;
  readonly client: FleetServiceClient;
  program: Program;
  start(): Promise<void>;
  worker(id: string, options?: Partial<Parameters<typeof startScriptedWorker>[0]>): ScriptedWorker;
  stop(): Promise<void>;
}

async function startFixture(): Promise<Fixture> {
  const nats = await startNats({ token: TOKEN });
  const port = await freePort();
  const endpoint = `127.0.0.1:${port}`;
  const client = createFleetClient({ endpoint, token: TOKEN });
  const workers: ScriptedWorker[] = [];
  const fixture: Fixture = {
    nats,
    endpoint,
    client,
    program: startCoordinator(nats, port),
    async start() {
      fixture.program = startCoordinator(nats, port);
      await fixture.program.untilOutput(/"msg":"ready"/);
    },
    worker(id, options = {}) {
      const worker = startScriptedWorker({ endpoint, token: TOKEN, id, trainingImages: IMAGES, ...options });
      workers.push(worker);
      return worker;
    },
    async stop() {
      for (const worker of workers) worker.close();
      client.close();
      await fixture.program.stop();
      await nats.stop();
      await assertNothingLeft([fixture.program.pid, nats.pid], [port, nats.port]);
    },
  };
  await fixture.program.untilOutput(/"msg":"ready"/);
  return fixture;
}

function startCoordinator(nats: TestNats, port: number): Program {
  return startTypeScript(MAIN, [
    ...['--listen', `127.0.0.1:${port}`],
    ...['--metrics-listen', '127.0.0.1:0'],
    ...['--nats-url', nats.url],
    ...['--nats-token', TOKEN],
    ...['--token', TOKEN],
  ]);
}

const fixture = await startFixture();
after(() => fixture.stop());

function runText(
  name: string,
  change: { kind?: string; epochs?: number; max?: number; more?: string } = {},
): string {
  const { kind = 'teacher', epochs = 2, max = 2, more = '' } = change;
  return `
kind: ${kind}
name: ${name}
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 16 }
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
training: { epochs: ${epochs}, batch: 16 }
verification: { pairs: 40 }
workers: { min: 1, max: ${max} }
${more}`;
}

async function submit(yaml: string): Promise<string> {
  const request = { yaml, baseDir: '', dryRun: false, overrides: {} };
  const { runIds } = await unary(fixture.client, fixture.client.submit, request);
  assert.equal(runIds.length, 1);
  return runIds[0]!;
}

async function runOf(id: string) {
  const { runs } = await unary(fixture.client, fixture.client.listRuns, { planId: '', sweepId: '' });
  const found = runs.find((run) => run.id === id);
  assert.ok(found, `${id} is listed`);
  return found;
}

async function journal(id: string): Promise<string[]> {
  const { decisions } = await unary(fixture.client, fixture.client.why, { id });
  return decisions.map((decision) => decision.event);
}

test('a call without the token is refused, a health check needs none, and reflection lists the services', async () => {
  for (const token of ['', 'wrong']) {
    const client = createFleetClient({ endpoint: fixture.endpoint, token });
    await assert.rejects(unary(client, client.listRuns, { planId: '', sweepId: '' }), {
      code: 'unauthenticated',
    });
    const stranger = startScriptedWorker({ endpoint: fixture.endpoint, token, id: 'x', trainingImages: 1 });
    await until('a worker without a token is turned away again and again', () => stranger.dials >= 3);
    assert.equal(stranger.commands.length, 0);
    stranger.close();
    client.close();
  }
  const { workers } = await unary(fixture.client, fixture.client.listWorkers, {});
  assert.ok(workers.every((worker) => worker.id !== 'x'));
  assert.deepEqual(
    await healthOf(fixture.endpoint, [
      ...['', 'startup', 'readiness', 'liveness'],
      ...['pocketfleet.v1.FleetService', 'pocketfleet.v1.WorkerService'],
    ]),
    Array(6).fill('SERVING'),
  );
  assert.deepEqual(await reflectedServices(fixture.endpoint, TOKEN), [
    'grpc.health.v1.Health',
    'pocketfleet.v1.FleetService',
    'pocketfleet.v1.WorkerService',
  ]);
  await assert.rejects(reflectedServices(fixture.endpoint, ''), { code: 16 });
});

test('texts of strangers that would become subjects are refused with a sentence, and the broker stays connected', async () => {
  const hello = (workerId: string) => refusalOfHello({ endpoint: fixture.endpoint, token: TOKEN, workerId });
  const form = /^hello: workerId: lower-case letters, digits and -, at most 63, .*; found "/;
  for (const workerId of ['', 'x'.repeat(1_000_000), '../../\u001b[31mred\n', 'a.b', 'a *', 'A']) {
    const refusal = await hello(workerId);
    assert.equal(refusal.code, 'invalidArgument');
    assert.match(refusal.message, form);
    assert.doesNotMatch(refusal.message, /\p{Cc}/u);
    assert.ok(refusal.message.length < 300, refusal.message);
  }
  const long = { id: 'run-1', reason: 'x'.repeat(5000) };
  await assert.rejects(
    unary(fixture.client, fixture.client.cancel, long),
    /reason: the text has 5000 characters, at most 4000 are taken/,
  );
  await assert.rejects(async () => {
    const lines = streamed(
      fixture.client.logs({ runId: '', workerId: 'w.>', follow: false, afterSequence: 0 }),
    );
    for await (const line of lines) assert.fail(JSON.stringify(line));
  }, /worker_id: expected letters, digits, _ and -, at most 128, found "w\.>"/);
  assert.doesNotMatch(fixture.program.output(), /the broker is away|maximum control line/);
});

test('a submitted run is assigned, watched to its end, and explained from the journal', async () => {
  const worker = fixture.worker('one');
  const id = await submit(runText('watched'));
  const seen: Snapshot[] = [];
  const request = { planId: '', sweepId: '', runId: id, rateHz: 20, untilFinished: true };
  for await (const snapshot of streamed(fixture.client.watch(request))) seen.push(snapshot);
  const last = seen.at(-1)!.runs[0]!;
  assert.equal(last.state, 'done');
  assert.equal(last.step, last.stepsTotal);
  assert.equal(last.weightsDigest, 'feedfeedfeedfeed');
  assert.equal(last.evaluation?.accuracy, 0.75);
  assert.ok(Number.isFinite(last.loss), 'the last loss stays visible');
  assert.deepEqual(await journal(id), [
    'run.created',
    'run.assigned',
    'run.checkpointed',
    'run.checkpointed',
    'run.finished',
  ]);
  await until(
    'the worker was released and everything acknowledged',
    () => worker.leases.size === 0 && worker.unacknowledged === 0,
  );
  worker.close();
});

test('/metrics answers with the names of the catalogue, /healthz with ok', async () => {
  const [, endpoint] = await fixture.program.untilOutput(/"metrics":"([^"]+)"/);
  assert.equal((await fetch(`http://${endpoint}/healthz`)).status, 200);
  const response = await fetch(`http://${endpoint}/metrics`);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain/);
  const text = await response.text();
  for (const sample of [
    /^pocketfleet_build_info\{component="coordinator",.*\} 1$/m,
    /^pocketfleet_coordinator_leader 1$/m,
    /^pocketfleet_runs\{kind="teacher",state="done"\} 1$/m,
    /^pocketfleet_trials\{state="running"\} 0$/m,
    /^pocketfleet_workers\{state="(idle|lost)"\} 1$/m,
    /^pocketfleet_gang_formations_total\{outcome="ok"\} 1$/m,
    /^pocketfleet_jetstream_publish_duration_seconds_count\{stream="journal",outcome="ok"\} \d+$/m,
    /^grpc_server_handled_total\{grpc_type="unary",.*grpc_method="ListRuns",grpc_code="Unauthenticated"\} 2$/m,
    /^grpc_server_handled_total\{grpc_type="unary",.*grpc_method="Submit",grpc_code="OK"\} 1$/m,
    /^nodejs_eventloop_lag_p99_seconds/m,
  ])
    assert.match(text, sample);
});

test('kill -9 of the coordinator: workers re-attach with their leases and the run goes on in the same generation', async () => {
  const workers = [fixture.worker('a'), fixture.worker('b')];
  await until('both attached', () => workers.every((worker) => worker.commands.length > 0));
  const id = await submit(runText('survivor', { epochs: 40 }));
  await until('both hold it and stages were stored', async () => {
    const run = await runOf(id);
    return run.workerIds.length === 2 && run.checkpoints >= 3;
  });
  const before = await runOf(id);
  const dialsBefore = workers.map((worker) => worker.dials);
  await fixture.program.stop('SIGKILL');
  await fixture.start();
  const now = await runOf(id);
  assert.equal(now.generation, before.generation);
  assert.ok(now.checkpoints >= before.checkpoints, 'nothing finished was lost');
  await until('the run is done', async () => (await runOf(id)).state === 'done', 30_000);
  assert.equal((await runOf(id)).generation, before.generation, 'no new generation was needed');
  assert.ok(
    workers.every((worker, i) => worker.dials > dialsBefore[i]!),
    'the stream did break',
  );
  const events = await journal(id);
  assert.equal(events.filter((event) => event === 'run.finished').length, 1);
  assert.equal(events.filter((event) => event === 'run.checkpointed').length, 40, 'each stage once');
  await until('all reports are acknowledged', () => workers.every((worker) => worker.unacknowledged === 0));
  for (const worker of workers) worker.close();
});

test('a worker that dies leaves its run to the others, and what it held is shared out again', async () => {
  const workers = [fixture.worker('c', { stepMs: 50 }), fixture.worker('d', { stepMs: 50 })];
  await until('both attached', () => workers.every((worker) => worker.commands.length > 0));
  const id = await submit(runText('orphan', { epochs: 40 }));
  await until('both hold it', async () => (await runOf(id)).workerIds.length === 2);
  workers[0]!.close();
  await until('d holds all shards', () => workers[1]!.leases.get(id)?.members.length === 1, 10_000);
  assert.deepEqual(workers[1]!.leases.get(id)!.members, [{ workerId: 'd', shardFirst: 0, shardCount: 8 }]);
  const { decisions } = await unary(fixture.client, fixture.client.why, { id });
  assert.ok(
    decisions.some(({ text }) => /c was lost: its stream ended/.test(text)),
    'the reason is told',
  );
  const answer = await unary(fixture.client, fixture.client.cancel, { id, reason: 'enough' });
  assert.deepEqual(answer.cancelledIds, [id]);
  await until('d was released', () => workers[1]!.leases.size === 0);
  assert.deepEqual((await unary(fixture.client, fixture.client.cancel, { id, reason: '' })).cancelledIds, []);
  workers[1]!.close();
});

test('a verification asks another worker when the first is lost, and needs a checkpoint', async () => {
  const lazy = fixture.worker('e');
  await until('e attached', () => lazy.commands.length > 0);
  const id = await submit(runText('verified'));
  await until('done', async () => (await runOf(id)).state === 'done');
  const verify = unary(fixture.client, fixture.client.verify, { runId: id, stage: 0, setPath: '' });
  await until('e was asked', () => lazy.commands.some(({ kind }) => kind?.$case === 'verify'));
  const willing = fixture.worker('f', {
    onVerify: (requestId) => ({
      $case: 'verifyResult',
      value: {
        requestId,
        error: '',
        report: { evaluation: undefined, rocFpr: [0, 1], rocTpr: [0.5, 1], examples: [], judged: undefined },
      },
    }),
  });
  await until('f attached', () => willing.commands.length > 0);
  lazy.close();
  const { report } = await verify;
  assert.deepEqual(report?.rocTpr, [0.5, 1]);
  await until('the result was acknowledged', () => willing.unacknowledged === 0);
  const waiting = await submit(runText('later', { epochs: 10_000 }));
  await assert.rejects(
    unary(fixture.client, fixture.client.verify, { runId: waiting, stage: 3, setPath: '' }),
    (caught) => caught instanceof FleetError && /has no checkpoint yet/.test(caught.message),
  );
  await unary(fixture.client, fixture.client.cancel, { id: waiting, reason: '' });
  willing.close();
});
