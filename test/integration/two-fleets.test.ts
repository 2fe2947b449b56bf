// Two fleets on one broker: real coordinators, and workers that follow a script. Neither sees anything of the
// other, and a worker that dials the wrong one is refused. A journal from before names carried a fleet's name
// is continued by one fleet alone.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { findNames } from '../../coordinator/journal/fleet-names.ts';
import { unary } from '../../core/net/grpc-client.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { namesOf, PREFIXES_OF_OLD } from '../../core/net/subjects.ts';
import { type LocalCoordinator, runText, startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { assertNothingLeft } from '../support/processes.ts';
import { refusalOfHello, startScriptedWorker } from '../support/scripted-worker.ts';

let nats: TestNats;
let connection: NatsConnection;
before(async () => {
  nats = await startNats();
  connection = await connectNats({ url: nats.url, name: 'two fleets' });
});
after(async () => {
  await connection.close();
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});

const start = (fleet: string): Promise<LocalCoordinator> =>
  startLocalCoordinator({ natsUrl: nats.url, fleet, storeBytesMax: 64 << 20 });

const runsOf = async ({ client }: LocalCoordinator) =>
  (await unary(client, client.listRuns, { planId: '', sweepId: '' })).runs.map(
    ({ id, name, state }) => `${id} ${name} ${state}`,
  );

test('each fleet leads, trains and lists its own runs, under ids that both have given', async () => {
  const fleets = await Promise.all(['a', 'b'].map(start));
  const workers = fleets.map(({ endpoint }, i) =>
    startScriptedWorker({ endpoint, token: '', id: 'w1', trainingImages: 64, fleet: 'ab'[i]! }),
  );
  try {
    for (const [i, fleet] of fleets.entries())
      assert.deepEqual(await fleet.submit(runText(`of-${'ab'[i]}`)), ['run-1']);
    for (const fleet of fleets)
      await fleet.until(({ runs }) => runs[0]?.state === 'done', 'its run is done', 20_000);
    assert.deepEqual(await runsOf(fleets[0]!), ['run-1 of-a done']);
    assert.deepEqual(await runsOf(fleets[1]!), ['run-1 of-b done']);
    const welcomes = workers.map(({ commands }) => {
      const [first] = commands;
      assert.ok(first?.kind?.$case === 'welcome');
      return first.kind.value.names!;
    });
    assert.deepEqual(
      welcomes.map(({ streams, subjects }) => [streams, subjects]),
      [
        ['PF_A_', 'pf.a.'],
        ['PF_B_', 'pf.b.'],
      ],
    );
    assert.notEqual(welcomes[0]!.keys, welcomes[1]!.keys);
    assert.deepEqual((await findNames({ connection, fleet: 'a' })).prefixes, { ...welcomes[0] });
    const { endpoint } = fleets[1]!;
    const refusal = await refusalOfHello({ endpoint, token: '', workerId: 'w2', fleet: 'a' });
    assert.equal(refusal.code, 'invalidArgument');
    assert.match(refusal.message, /coordinator of fleet b, and w2 belongs to fleet a; give it/);
  } finally {
    for (const worker of workers) worker.close();
    for (const fleet of fleets) await fleet.close();
  }
});

test('a journal of old is continued by the first fleet that starts, under its names; another begins anew', async () => {
  const old = namesOf(PREFIXES_OF_OLD);
  await ensureStreams(connection, old);
  const file = new URL('../fixtures/journals/format-1/sweep-in-mid-flight.jsonl', import.meta.url);
  const messages = readFileSync(fileURLToPath(file), 'utf8').trim().split('\n');
  for (const line of messages) {
    const { subject, text } = JSON.parse(line) as { subject: string; text: string };
    await jetstream(connection).publish(subject, text);
  }
  const heir = await start('heir');
  const other = await start('other');
  try {
    assert.equal((await runsOf(heir)).length, 7);
    assert.deepEqual(await runsOf(other), []);
    for (const fleet of ['heir', 'other'])
      assert.equal(
        (await findNames({ connection, fleet })).journalStream,
        fleet === 'heir' ? 'PF_JOURNAL' : 'PF_OTHER_JOURNAL',
      );
    const manager = await jetstreamManager(connection);
    const { state } = await manager.streams.info('PF_JOURNAL');
    assert.ok(state.last_seq > messages.length, 'it goes on in the same stream');
  } finally {
    await heir.close();
    await other.close();
  }
});
