// Several coordinators of one fleet on a real nats-server: one leads, the others follow it and take over. In
// the process of the test, except where a process has to be killed or stopped.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openFleet } from '../../coordinator/cli/client.ts';
import { LEASE_KEY } from '../../coordinator/journal/lease.ts';
import { createFleetClient, streamed, unary } from '../../core/net/grpc-client.ts';
import { openBucket } from '../../core/net/jetstream.ts';
import { connectNats } from '../../core/net/nats.ts';
import { type LocalCoordinator, runText, startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { healthOf } from '../support/grpc-raw.ts';
import { journalOn, namesOn } from '../support/names.ts';
import { startNats } from '../support/nats.ts';
import {
  assertNothingLeft,
  deliver,
  freePort,
  type Program,
  startTypeScript,
  until,
} from '../support/processes.ts';
import { dialRawWorker } from '../support/raw-worker.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

const MAIN = fileURLToPath(new URL('../../coordinator/main.ts', import.meta.url));
const nats = await startNats();
const connection = await connectNats({ url: nats.url, name: 'test' });
after(async () => {
  await connection.close();
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});

const LIST = { planId: '', sweepId: '' };
const names = async ({ client }: Pick<LocalCoordinator, 'client'>): Promise<string[]> =>
  (await unary(client, client.listRuns, LIST)).runs.map(({ name }) => name);

/** Epochs of the leads that were claimed, oldest first. */
async function epochs(): Promise<number[]> {
  const claimed: number[] = [];
  const journal = journalOn(connection, { names: await namesOn(connection) });
  for await (const event of journal.read())
    if (event.kind === 'coordinator.started') claimed.push(event.epoch);
  return claimed;
}

test('of three coordinators one leads; a standby is alive, not ready and names the leader, and takes over at once when it stops', async (t) => {
  const options = { natsUrl: nats.url };
  const leader = await startLocalCoordinator(options);
  const others = [
    await startLocalCoordinator(options, { standby: true }),
    await startLocalCoordinator(options, { standby: true }),
  ];
  const all = [leader, ...others];
  t.after(() => Promise.all(all.map((coordinator) => coordinator.close())));
  await leader.submit(runText('first'));
  for (const standby of others) {
    assert.equal(standby.ready(), false);
    assert.deepEqual(await healthOf(standby.endpoint, ['liveness', 'startup', 'readiness', '']), [
      ...['SERVING', 'SERVING', 'NOT_SERVING', 'NOT_SERVING'],
    ]);
    const probe = await fetch(`http://${standby.metricsEndpoint}/healthz`);
    assert.equal(probe.status, 503);
    const refusal = {
      code: 'unavailable',
      message: `this coordinator is a standby; the leader is at ${leader.endpoint}`,
      details: { standby: true, leader: leader.endpoint },
    };
    await assert.rejects(names(standby), refusal);
    await assert.rejects(standby.submit(runText('elsewhere')), refusal);
    const request = { planId: '', sweepId: '', runId: '', rateHz: 1, untilFinished: false };
    await assert.rejects(async () => {
      for await (const _ of streamed(standby.client.watch(request)));
    }, refusal);
    const worker = dialRawWorker({ endpoint: standby.endpoint, id: 'w' });
    await until('its stream is refused', () => worker.end?.includes(leader.endpoint));
    worker.close();
  }
  assert.deepEqual(await epochs(), [1]);
  const request = {
    yaml: runText('asked'),
    baseDir: '',
    dryRun: false,
    overrides: {},
    requestId: 'request-1',
  };
  const answer = await unary(leader.client, leader.client.submit, request);
  assert.deepEqual(await unary(leader.client, leader.client.submit, request), answer);
  const command = openFleet({ coordinator: others.map(({ endpoint }) => endpoint).join(), token: '' });
  t.after(() => command.close());
  const listed = async () =>
    (await command.ask((service) => service.listRuns, LIST)).runs.map(({ name }) => name);
  assert.deepEqual(await listed(), ['first', 'asked'], 'a command follows the address of the leader');
  const stoppedAt = performance.now();
  const [, duringTakeover] = await Promise.all([leader.close(), listed()]);
  assert.deepEqual(
    duringTakeover,
    ['first', 'asked'],
    'a command that starts during a takeover waits for its end',
  );
  const next = await until('another one leads', () => others.find((coordinator) => coordinator.ready()));
  t.diagnostic(`took over ${Math.round(performance.now() - stoppedAt)} ms after the stop began`);
  // As a command does whose answer was lost with the coordinator that gave it.
  assert.deepEqual(await unary(next.client, next.client.submit, request), answer);
  await assert.rejects(unary(next.client, next.client.submit, { ...request, yaml: runText('other') }), {
    code: 'alreadyExists',
    message: /^request_id: "request-1" was used for another text before/,
  });
  await assert.rejects(unary(next.client, next.client.submit, { ...request, requestId: 'a b' }), {
    code: 'invalidArgument',
    message: /^request_id: /,
  });
  assert.deepEqual(await names(next), ['first', 'asked']);
  assert.deepEqual(await next.submit(runText('second')), ['run-3']);
  assert.deepEqual(await epochs(), [1, 2]);
});

test('a leader that is cut off from the broker lets its workers go, and stands by when another one leads', async (t) => {
  const proxy = await startTcpProxy({ to: nats.port });
  const leader = await startLocalCoordinator({ natsUrl: `nats://127.0.0.1:${proxy.port}` });
  const other = await startLocalCoordinator({ natsUrl: nats.url }, { standby: true });
  t.after(async () => {
    await Promise.all([leader.close(), other.close()]);
    await proxy.close();
  });
  const worker = dialRawWorker({ endpoint: leader.endpoint, id: 'cut', incarnation: 'i' });
  await until('attached', () => worker.received.includes('welcome'));
  assert.ok(proxy.hold(30_000) > 0);
  await until('its stream ends, so that it can find the other', () =>
    worker.end?.startsWith('unavailable: the broker has not answered for'),
  );
  await until('the other one leads', () => other.ready());
  const [run] = await other.submit(runText('while-cut-off'));
  assert.deepEqual(
    await names(leader).then((found) => found.length),
    Number(run!.slice(4)) - 1,
    'reads are served',
  );
  await assert.rejects(leader.submit(runText('refused')), { code: 'unavailable' });
  proxy.release();
  await until('it finds out and stands by', () => !leader.ready());
  await until('and names the leader', async () =>
    names(leader).then(
      () => false,
      (caught: Error) => caught.message.endsWith(other.endpoint),
    ),
  );
  assert.equal(leader.failure(), undefined);
  worker.close();
});

test('a coordinator alone goes on after the broker was away for long, without a new claim', async (t) => {
  const proxy = await startTcpProxy({ to: nats.port });
  const leader = await startLocalCoordinator({ natsUrl: `nats://127.0.0.1:${proxy.port}` });
  t.after(async () => {
    await leader.close();
    await proxy.close();
  });
  const worker = dialRawWorker({ endpoint: leader.endpoint, id: 'patient', incarnation: 'i' });
  await until('attached', () => worker.received.includes('welcome'));
  const before = await epochs();
  proxy.hold(30_000);
  await until('its stream ends', () => worker.end !== undefined);
  proxy.release();
  const again = await until('it can attach again', async () => {
    const dialled = dialRawWorker({ endpoint: leader.endpoint, id: 'patient', incarnation: 'i' });
    await until('an answer', () => dialled.end !== undefined || dialled.received.length > 0);
    if (dialled.received.length > 0) return dialled;
    dialled.close();
    return undefined;
  });
  assert.equal(again.received[0], 'welcome');
  assert.deepEqual(await epochs(), before);
  for (const one of [worker, again]) one.close();
});

test('a lease that nobody can read is waited for, and its holder counts as gone when it does not change', async (t) => {
  const { fleetBucket } = await namesOn(connection);
  await (await openBucket(connection, fleetBucket)).put(LEASE_KEY, 'no JSON');
  const startedAt = performance.now();
  const coordinator = await startLocalCoordinator({ natsUrl: nats.url });
  t.after(() => coordinator.close());
  assert.ok(performance.now() - startedAt > 2_900);
});

test('kill -9, SIGSTOP and SIGTERM of the leader: another one leads each time, and one that wakes up stands by', async (t) => {
  const ports = [await freePort(), await freePort()] as const;
  const start = (port: number): Program =>
    startTypeScript(MAIN, [
      ...['--listen', `127.0.0.1:${port}`, '--metrics-listen', '127.0.0.1:0', '--nats-url', nats.url],
    ]);
  const clients = ports.map((port) => createFleetClient({ endpoint: `127.0.0.1:${port}`, token: '' }));
  const leads = async (which: 0 | 1): Promise<boolean> => {
    const client = clients[which]!;
    return unary(client, client.listRuns, LIST, { deadlineMs: 500 }).then(
      () => true,
      () => false,
    );
  };
  const untilLeads = async (which: 0 | 1, what: string) => {
    const startedAt = performance.now();
    await until(`coordinator ${which} leads after ${what}`, () => leads(which), 15_000);
    t.diagnostic(`${what}: took over after ${Math.round(performance.now() - startedAt)} ms`);
  };
  let first = start(ports[0]);
  await first.untilOutput(/"msg":"ready"/);
  const second = start(ports[1]);
  t.after(async () => {
    for (const client of clients) client.close();
    await Promise.all([first.stop('SIGKILL'), second.stop('SIGKILL')]);
    await assertNothingLeft([first.pid, second.pid], [...ports]);
  });
  await second.untilOutput(/"msg":"standing by"/);
  const begun = (await epochs()).length;
  await first.stop('SIGKILL');
  await untilLeads(1, 'kill -9');
  first = start(ports[0]);
  await first.untilOutput(/"msg":"standing by"/);
  await deliver(second, 'SIGSTOP');
  await untilLeads(0, 'SIGSTOP');
  await deliver(second, 'SIGCONT');
  await second.untilOutput(/the lead is lost.*[\s\S]*"msg":"standing by"/);
  assert.equal(await leads(1), false);
  first.child.kill('SIGTERM');
  await untilLeads(1, 'SIGTERM');
  assert.deepEqual(await first.ended, { code: 0, signal: null });
  assert.equal((await epochs()).length - begun, 3, 'one claim each time');
});
