// An upgrade in mid-work: real coordinators on a real nats-server continue the journals of older releases that
// are kept as fixtures, with workers that follow a script. What was open ends, what had ended stays, and each
// journal is whole afterwards.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { decodeGroup, isForeign } from '../../coordinator/journal/message.ts';
import { unary } from '../../core/net/grpc-client.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { type Names, namesOf, PREFIXES_OF_OLD, prefixesOf } from '../../core/net/subjects.ts';
import { type LocalCoordinator, startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { journalFixture, journalFixtures } from '../support/journal-fixtures.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { assertNothingLeft, until } from '../support/processes.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

/** The names under which a journal of this fixture was stored. */
const namesFor = (name: string): Names =>
  namesOf(name.startsWith('format-1/') ? PREFIXES_OF_OLD : prefixesOf('local', '0'));
let nats: TestNats;
let connection: NatsConnection;
before(async () => {
  nats = await startNats();
  connection = await connectNats({ url: nats.url, name: 'upgrade' });
});
after(async () => {
  await connection.close();
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});

/** A broker that holds this journal alone, as an older release left it. */
async function restore(name: string): Promise<number> {
  const manager = await jetstreamManager(connection);
  for await (const { config } of manager.streams.list()) await manager.streams.delete(config.name);
  await ensureStreams(connection, namesFor(name));
  const messages = journalFixture(name);
  for (const { subject, data } of messages) await jetstream(connection).publish(subject, data);
  return messages.length;
}

/** Every trial that has ended: `ID STATE`. */
async function ended({ client }: LocalCoordinator): Promise<string[]> {
  const { trials } = await unary(client, client.listTrials, { sweepId: 'sweep-1' });
  return trials
    .filter(({ state }) => state !== 'running' && state !== 'queued')
    .map(({ id, state }) => `${id} ${state}`);
}

/** What a sweep has tried, in its order, and how it ended. Accuracies are those of the script that was the worker. */
async function triedBy({ client }: LocalCoordinator, sweepId: string): Promise<unknown[]> {
  const { trials } = await unary(client, client.listTrials, { sweepId });
  return trials
    .sort((a, b) => a.number - b.number)
    .map(({ number, state, genotypeJson }) => ({ number, state, genotypeJson }));
}

for (const name of journalFixtures())
  test(`${name} is continued to its end`, async () => {
    const old = await restore(name);
    const coordinator = await startLocalCoordinator({ natsUrl: nats.url, reattachGraceMs: 0 });
    const { client, endpoint } = coordinator;
    const worker = startScriptedWorker({
      endpoint,
      token: '',
      id: 'w9',
      trainingImages: 64,
      slots: 8,
      stepMs: 2,
    });
    try {
      const before = await ended(coordinator);
      await until(
        'all has ended',
        async () => {
          const { sweeps } = await unary(client, client.listSweeps, {});
          const { plans } = await unary(client, client.listPlans, {});
          return [...sweeps, ...plans].every(({ state }) => state === 'done');
        },
        30_000,
      );
      const now = await ended(coordinator);
      assert.deepEqual(
        before.filter((trial) => !now.includes(trial)),
        [],
        'what had ended has ended as it had',
      );
      const total = name.includes('plan') ? 2 : 8;
      assert.deepEqual(
        now.filter((trial) => trial.endsWith(' done')).length,
        total,
        'every trial has its result',
      );
      // A sweep of the same text that this release begins.
      const { specJson } = await unary(client, client.getSweep, { id: 'sweep-1' });
      const request = { yaml: specJson, baseDir: '', dryRun: false, overrides: {}, fresh: true };
      const [whole = ''] = (await unary(client, client.submit, request)).sweepIds;
      await until(
        'the same sweep ends',
        async () => (await unary(client, client.getSweep, { id: whole })).state === 'done',
        30_000,
      );
      assert.deepEqual(
        await triedBy(coordinator, 'sweep-1'),
        await triedBy(coordinator, whole),
        'it ends as if this release had begun it',
      );
      const report = await unary(client, client.checkJournal, {});
      assert.equal(report.damage, '');
      const { decisions } = await unary(client, client.why, { id: 'trial-1' });
      assert.ok(decisions.length >= 3, 'why answers from all formats');
      const manager = await jetstreamManager(connection);
      const next = await manager.streams.getMessage(namesFor(name).journalStream, { seq: old + 1 });
      const group = decodeGroup(next!.data);
      assert.ok(!isForeign(group));
      assert.equal(group.format, 3);
      const { kind, adopts } = group.events[0] as { kind: string; adopts?: number };
      if (name.startsWith('format-1/')) assert.deepEqual([kind, adopts], ['journal.begun', old]);
      // Its workers were not with it for as long as the journal is old.
      else assert.equal(kind, 'clock.jumped');
    } finally {
      worker.close();
      await coordinator.close();
    }
  });
