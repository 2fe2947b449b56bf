// What somebody with a token of each role tries on a fleet that runs: a real coordinator on a real nats-server,
// tokens made and revoked by the command while it runs.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { editTokens } from '../../coordinator/cli/local/tokens.ts';
import type { Event, EventOf } from '../../coordinator/model/events.ts';
import { createFleetClient, streamed, unary } from '../../core/net/grpc-client.ts';
import type { Role } from '../../core/net/roles.ts';
import { newToken, tokenDigest, withToken } from '../../core/net/token-file.ts';
import { createUserKey } from '../../core/net/worker-user.ts';
import type { FleetServiceClient } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { pocketfleet } from '../support/cli.ts';
import { runText, startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft, until } from '../support/processes.ts';
import { dialRawWorker } from '../support/raw-worker.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-roles-'));
const nats = await startNats({ identities: true });
const tokensFile = join(folder, 'tokens.yaml');
const workerTokenFile = join(folder, 'worker.token');
writeFileSync(workerTokenFile, 'token-of-the-workers\n');
const coordinator = await startLocalCoordinator({
  natsUrl: nats.url,
  natsCredentialsFile: nats.keys!.coordinatorFile,
  natsWorkersSeedFile: nats.keys!.workersFile,
  token: 'token-of-the-administrator',
  workerTokenFile,
  tokensFile,
});
const { endpoint } = coordinator;
after(async () => {
  const ports = [endpoint, coordinator.metricsEndpoint].map((address) => Number(address.split(':')[1]));
  await coordinator.close();
  await nats.stop();
  rmSync(folder, { recursive: true });
  await assertNothingLeft([nats.pid], [nats.port, ...ports]);
});

/** The code and the sentence of a call that is refused; empty when it is answered. */
async function refusalOf<T>(
  token: string,
  call: (client: FleetServiceClient) => Promise<T>,
): Promise<string> {
  const client = createFleetClient({ endpoint, token });
  try {
    await call(client);
    return '';
  } catch (caught) {
    const { code, message } = caught as { code: string; message: string };
    return `${code}: ${message}`;
  } finally {
    client.close();
  }
}

const submission = { yaml: runText('attack'), baseDir: '', dryRun: false, overrides: {} };
const submit = (client: FleetServiceClient): Promise<unknown> => unary(client, client.submit, submission);
const cancel = (client: FleetServiceClient): Promise<unknown> =>
  unary(client, client.cancel, { id: 'run-1', reason: '' });
const list = (client: FleetServiceClient) => unary(client, client.listWorkers, {});

/** A token that is added to the file while the coordinator runs, as `pocketfleet token create` does. */
function made(role: Role, name: string): string {
  const token = newToken(role);
  const [sha256, created] = [tokenDigest(token), new Date().toISOString()];
  const entry = { name, role, sha256, created, createdBy: userInfo().username };
  editTokens(tokensFile, (tokens) => withToken(tokens, entry, Date.now()));
  return token;
}

/** A token that the command makes. */
async function madeByCommand(role: Role, name: string): Promise<string> {
  const { code, out, err } = await pocketfleet(
    ['token', 'create', '--role', role, '--name', name, '--file', tokensFile],
    folder,
  );
  assert.equal(code, 0, err);
  assert.match(err, new RegExp(`^${name} \\(${role}, [0-9a-f]{12}\\) is accepted until it is revoked\\. `));
  return out.trim();
}

test('a worker cannot submit or cancel, and a second process with the id of a living worker gets nothing', async (t) => {
  const token = 'token-of-the-workers';
  const hello = { endpoint, token, id: 'w-1' };
  const living = dialRawWorker({ ...hello, incarnation: 'first', brokerKey: createUserKey().publicKey });
  t.after(living.close);
  await until('it is welcome', () => living.received.includes('welcome'));
  const welcome = living.commands.find(({ kind }) => kind?.$case === 'welcome')!.kind!;
  assert.ok(welcome.$case === 'welcome' && welcome.value.brokerRights!.jwt !== '', 'it may use the broker');
  for (const [call, name] of [
    [submit, 'Submit'],
    [cancel, 'Cancel'],
  ] as const)
    assert.match(
      await refusalOf(token, call),
      new RegExp(
        `^permissionDenied: the token workers \\(worker, [0-9a-f]{12}\\) may not call ${name}, which takes the role admin or submit$`,
      ),
    );
  const second = dialRawWorker({ ...hello, incarnation: 'second', brokerKey: createUserKey().publicKey });
  t.after(second.close);
  await until('the second one is refused', () => second.end !== undefined);
  assert.match(second.end!, /^unavailable: .*w-1/);
  // No command at all came, and so no JWT of the broker for the key that it named.
  assert.deepEqual([second.received, living.end], [[], undefined]);
});

test('who submits cannot attach, and who reads can do neither', async () => {
  const [submitter, reader] = [made('submit', 'ci'), made('read', 'wall-screen')];
  await until(
    'both are known',
    async () => (await refusalOf(submitter, list)) + (await refusalOf(reader, list)) === '',
  );
  for (const [token, name] of [
    [submitter, 'ci'],
    [reader, 'wall-screen'],
  ] as const) {
    const worker = dialRawWorker({ endpoint, token, id: `w-${name}` });
    await until('it is refused', () => worker.end !== undefined);
    assert.match(worker.end!, new RegExp(`^permissionDenied: the token ${name} .* may not call Attach,`));
    assert.deepEqual(worker.received, []);
    worker.close();
  }
  assert.match(await refusalOf(reader, submit), /^permissionDenied: the token wall-screen \(read, /);
  assert.match(
    await refusalOf(submitter, (client) =>
      unary(client, client.remove, { id: 'run-1', reason: '', dryRun: false }),
    ),
    /^permissionDenied: .* which takes the role admin$/,
  );
  const { workers } = await unary(coordinator.client, coordinator.client.listWorkers, {});
  assert.deepEqual(
    workers.map(({ id }) => id),
    ['w-1'],
  );
});

test('a token is shown once, listed by its fingerprint, read from a file, and refused once it is revoked', async () => {
  const token = await madeByCommand('read', 'for-a-week');
  const file = join(folder, 'mine.token');
  writeFileSync(file, `${token}\n`);
  assert.equal(statSync(tokensFile).mode & 0o777, 0o600);
  assert.ok(!readFileSync(tokensFile, 'utf8').includes(token));
  await until('it is known', async () => (await refusalOf(token, list)) === '');
  const runs = await pocketfleet(
    ['workers', '--json', '--coordinator', endpoint, '--token-file', file],
    folder,
  );
  assert.equal(runs.code, 0, runs.err);
  const twice = await pocketfleet(
    ['token', 'create', '--role', 'read', '--name', 'for-a-week', '--file', tokensFile],
    folder,
  );
  assert.match(
    twice.err,
    /^pocketfleet: there is a token for-a-week; choose another name, or revoke it first/,
  );
  const listed = await pocketfleet(['token', 'list', '--file', tokensFile], folder);
  const [fingerprint] = /^[0-9a-f]{12}(?= +for-a-week +read +accepted)/m.exec(listed.out) ?? [];
  assert.ok(fingerprint, listed.out);
  const revoked = await pocketfleet(['token', 'revoke', fingerprint, '--file', tokensFile], folder);
  assert.match(revoked.err, /^for-a-week \(read, [0-9a-f]{12}\) is refused from now on/);
  await until('it is refused', async () => (await refusalOf(token, list)) !== '');
  assert.match(await refusalOf(token, list), /^unauthenticated: the token for-a-week .* was revoked at/);
});

test('another token of the workers in their file ends the streams of the one before', async (t) => {
  const before = dialRawWorker({ endpoint, token: 'token-of-the-workers', id: 'w-2' });
  t.after(before.close);
  await until('it is welcome', () => before.received.includes('welcome'));
  writeFileSync(workerTokenFile, 'another-token-of-the-workers\n');
  await until('its stream has ended', () => before.end !== undefined);
  assert.equal(before.end, 'unauthenticated: the token is none of this fleet');
  const now = dialRawWorker({ endpoint, token: 'another-token-of-the-workers', id: 'w-2' });
  t.after(now.close);
  await until('the new one is welcome', () => now.received.includes('welcome'));
});

/** The events of the journal, oldest first. */
async function journalled(): Promise<readonly Event[]> {
  const events: Event[] = [];
  const call = coordinator.client.exportJournal({ after: 0, events: true });
  for await (const { eventsJson } of streamed(call)) events.push(...JSON.parse(eventsJson || '[]'));
  return events;
}

test('who submitted and who cancelled is in the journal, and `why` shows it', async () => {
  const token = made('submit', 'mia');
  await until('it is known', async () => (await refusalOf(token, list)) === '');
  const client = createFleetClient({ endpoint, token });
  const { runIds } = await unary(client, client.submit, { ...submission, yaml: runText('mine') });
  await unary(client, client.cancel, { id: runIds[0]!, reason: 'not needed' });
  const { decisions } = await unary(client, client.why, { id: runIds[0]! });
  client.close();
  const by = `; by mia (submit, ${tokenDigest(token).slice(0, 12)})`;
  const [created, cancelled] = ['run.created', 'run.cancelled'].map(
    (kind) => decisions.find(({ event }) => event === kind)?.text,
  );
  assert.equal(created, `${runIds[0]} (teacher mine) was created: submitted${by}`);
  assert.equal(cancelled, `${runIds[0]} was cancelled: not needed${by}`);
});

test('tokens that come and go are in the journal, and a flood of refused calls is one event of bounded size', async () => {
  const refusals = async () => (await journalled()).filter(({ kind }) => kind === 'calls.refused');
  for (let i = 0; i < 100; i++) await refusalOf(`guess-${i}`, list);
  await until('refused calls are journalled', async () => (await refusals()).length > 0);
  const events = await journalled();
  const tokens = events.flatMap((event) =>
    event.kind === 'token.created'
      ? [`${event.token.name} ${event.token.role} ${event.createdBy}`]
      : event.kind === 'token.revoked'
        ? [`revoked ${event.token.name} ${event.revokedBy}`]
        : [],
  );
  const me = userInfo().username;
  assert.deepEqual(tokens.sort(), [
    ...[`ci submit ${me}`, `for-a-week read ${me}`, `mia submit ${me}`, `revoked for-a-week ${me}`],
    ...['revoked workers undefined', `wall-screen read ${me}`],
    ...[`workers worker ${workerTokenFile}`, `workers worker ${workerTokenFile}`],
  ]);
  const [first, ...more] = (await refusals()) as EventOf<'calls.refused'>[];
  assert.ok(more.length <= 1, 'one a minute');
  const seen = first!.refusals.map(({ token, method, reason }) => `${token?.name} ${method} ${reason}`);
  assert.ok(seen.includes('workers Submit role') && seen.includes('workers Cancel role'), seen.join(', '));
  assert.ok(seen.length <= 16);
  const text = await (await fetch(`http://${coordinator.metricsEndpoint}/metrics`)).text();
  const counted = /^pocketfleet_calls_refused_total\{role="none",reason="unknown"\} (\d+)$/m.exec(text);
  assert.ok(Number(counted?.[1]) >= 100, counted?.[0]);
});
