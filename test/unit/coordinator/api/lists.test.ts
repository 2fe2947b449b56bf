import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { listAll } from '../../../../coordinator/cli/pages.ts';
import { createFleetClient, streamed, unary } from '../../../../core/net/grpc-client.ts';
import type { GrpcServer } from '../../../../core/net/grpc-server.ts';
import {
  type FleetServiceClient,
  ListRunsResponse,
  Snapshot,
} from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import { grow, serve } from '../model/grown.ts';

// gRPC's own limit of a received message, which the client of these tests leaves as it is.
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
const TRIALS = 15_000;
const RUNS = 60_000;
const token = 't';
let server: GrpcServer;
let client: FleetServiceClient;

before(async () => {
  server = await serve(
    grow({ trials: TRIALS, cancelled: RUNS - TRIALS - 1, reasonBytes: 4_400_000, yamlBytes: 250_000 }),
    token,
  );
  client = createFleetClient({ endpoint: server.endpoint, token });
});

after(async () => {
  client.close();
  await server.close(0);
});

test('of 60,000 runs one is found by its id and by its name, in one call', async () => {
  for (const id of ['run-11234', 'many-11234']) {
    const run = await unary(client, client.getRun, { id });
    assert.deepEqual([run.id, run.name, run.sweepId], ['run-11234', 'many-11234', 'sweep-1']);
  }
  const { found, total } = await unary(client, client.find, { idOrName: 'many', kinds: [] });
  assert.deepEqual(found, [{ kind: 'sweep', id: 'sweep-1', name: 'many', state: 'running' }]);
  assert.equal(total, 1);
  assert.equal((await unary(client, client.getTrial, { id: 'trial-7' })).runId, 'run-7');
  // A list of sweeps has what each looks for, and leaves their specs, which are long, to the call for one.
  const one = await unary(client, client.getSweep, { id: 'sweep-1' });
  const objectives = [{ name: 'accuracy', direction: 'maximise' }];
  assert.deepEqual([one.objectives, JSON.parse(one.specJson).kind], [objectives, 'sweep']);
  const { sweeps } = await unary(client, client.listSweeps, {});
  assert.deepEqual([sweeps[0]?.objectives, sweeps[0]?.specJson], [objectives, '']);
});

test('a name of several is refused with their ids, and what nothing is called says where to look', async () => {
  await assert.rejects(unary(client, client.getPlan, { id: 'vast' }), {
    code: 'invalidArgument',
    message: /^40 plans are named vast; give one of their ids: plan-40, plan-39, .* and 20 more$/,
  });
  await assert.rejects(unary(client, client.getRun, { id: 'nobody' }), {
    code: 'notFound',
    message: 'no run is called nobody; `pocketfleet runs` lists what there is',
  });
  for (const [id, kind] of [
    ['sweep-1', 'sweep'],
    ['many', 'sweep'],
    ['trial-7', 'trial'],
    ['vast', 'plan'],
  ] as const)
    await assert.rejects(unary(client, client.getRun, { id }), {
      code: 'notFound',
      message: `${id} is a ${kind}, and a run is asked for; \`pocketfleet runs\` lists what there is`,
    });
  await assert.rejects(unary(client, client.find, { idOrName: 'x', kinds: ['house'] }), {
    code: 'invalidArgument',
    message: /^kinds: "house" is none of plan, sweep, trial, run, worker$/,
  });
});

test('pages together are the whole list, each once and in order, by id as by name of the sweep', async () => {
  const runs = await listAll(
    (page) => unary(client, client.listRuns, { planId: '', sweepId: '', ...page }),
    (answer) => answer.runs,
    6_000,
  );
  assert.equal(runs.total, RUNS);
  assert.deepEqual(
    runs.items.map(({ id }) => id),
    Array.from({ length: 6_000 }, (_, i) => `run-${i + 1}`),
  );
  const trials = await listAll(
    (page) => unary(client, client.listTrials, { sweepId: 'many', ...page }),
    (answer) => answer.trials,
  );
  assert.deepEqual(
    trials.items.map(({ number }) => number),
    Array.from({ length: TRIALS }, (_, i) => i + 1),
  );
});

test('a request that names no size gets a page, one for too much gets less, and the newest may come first', async () => {
  const ask = (page: object) => unary(client, client.listRuns, { planId: '', sweepId: '', ...page });
  const plain = await ask({});
  assert.equal(plain.runs.length, 1_000);
  const vast = await ask({ pageSize: 1_000_000 });
  assert.ok(vast.runs.length < 10_000 && vast.nextPageToken !== '');
  assert.ok(ListRunsResponse.encode(vast).finish().length < MESSAGE_BYTES_MAX / 1.5);
  const newest = await ask({ pageSize: 2, newestFirst: true });
  assert.deepEqual(
    newest.runs.map(({ id }) => id),
    [`run-${RUNS}`, `run-${RUNS - 1}`],
  );
  const next = await ask({ pageSize: 2, newestFirst: true, pageToken: newest.nextPageToken });
  assert.deepEqual(
    next.runs.map(({ id }) => id),
    [`run-${RUNS - 2}`, `run-${RUNS - 3}`],
  );
  for (const pageToken of [
    plain.nextPageToken,
    'x',
    Buffer.from('["runs, newest first"]').toString('base64url'),
  ])
    await assert.rejects(ask({ newestFirst: true, pageToken }), {
      code: 'invalidArgument',
      message: /^page_token: /,
    });
});

test('a message is bounded whatever single items have: long reasons are cut, large texts make short pages', async () => {
  const run = await unary(client, client.getRun, { id: 'own' });
  assert.match(run.reason, /^é{8000,}… \(\d+ more bytes\)$/);
  const { plans } = await unary(client, client.listPlans, { pageSize: 100 });
  assert.ok(plans.length < 10, `${plans.length} plans of 250 kB`);
  const all = await listAll(
    (page) => unary(client, client.listPlans, page),
    (answer) => answer.plans,
  );
  assert.equal(all.items.length, 40);
});

test('a story of 60,000 decisions comes in pages', async () => {
  const first = await unary(client, client.why, { id: 'many', pageSize: 10_000 });
  assert.equal(first.decisions.length, 10_000);
  const request = { id: 'sweep-1', pageSize: 10_000, pageToken: first.nextPageToken };
  const second = await unary(client, client.why, request);
  assert.equal(second.decisions[0]!.sequence, first.decisions.at(-1)!.sequence + 1);
  // A run among them is told from its own events.
  const one = await unary(client, client.why, { id: 'many-3' });
  assert.deepEqual(
    one.decisions.map(({ event }) => event),
    ['trial.attempted', 'run.finished'],
  );
});

test('a leaderboard goes on after its last trial, in the order of the whole', async () => {
  const ask = (page: object) => unary(client, client.leaderboard, { sweepId: 'many', limit: 100, ...page });
  const first = await ask({});
  assert.deepEqual([first.trials.length, first.total], [100, TRIALS]);
  const second = await ask({ pageToken: first.nextPageToken });
  const numbers = [...first.trials, ...second.trials].map(({ number }) => number);
  // 999, 1999, ... have 0.999; the earlier trial first; then 998, 1998, ...
  assert.deepEqual(numbers.slice(0, 2), [999, 1_999]);
  assert.deepEqual(numbers.slice(13, 17), [13_999, 14_999, 998, 1_998]);
  assert.equal(new Set(numbers).size, 200);
});

test('a picture of the sweep stays far below 4 MiB, holds what is open and the newest, and counts the rest', async () => {
  for (const selection of [{ sweepId: 'many' }, {}]) {
    const request = { planId: '', sweepId: '', runId: '', rateHz: 1, untilFinished: false, ...selection };
    const call = client.watch(request);
    for await (const snapshot of streamed(call)) {
      assert.ok(Snapshot.encode(snapshot).finish().length < MESSAGE_BYTES_MAX / 2);
      assert.equal(snapshot.trials.length, 200);
      assert.equal(snapshot.trials.at(-1)!.id, `trial-${TRIALS}`);
      assert.equal(snapshot.leftOut!.trials, TRIALS - 200);
      assert.equal(snapshot.runs.length + snapshot.leftOut!.runs, 'sweepId' in selection ? TRIALS : RUNS);
      break;
    }
  }
});
