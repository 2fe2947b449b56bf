// A journal as a file: exported with its chain, imported into a fleet that lost it or begins, refused where it
// does not belong. Real coordinators on a real nats-server, and the command as a user runs it.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { FleetClient } from '../../coordinator/cli/client.ts';
import { writeMessages } from '../../coordinator/cli/commands/journal-files.ts';
import { findNames } from '../../coordinator/journal/fleet-names.ts';
import { createJournalImport, importWaits } from '../../coordinator/journal/journal-import.ts';
import { digestOf } from '../../coordinator/journal/message.ts';
import { FleetError } from '../../core/errors.ts';
import { unary } from '../../core/net/grpc-client.ts';
import { connectNats, type NatsConnection } from '../../core/net/nats.ts';
import { pocketfleet } from '../support/cli.ts';
import { type LocalCoordinator, runText, startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { messageAfter, placeAfter } from '../support/groups.ts';
import { namesOn } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { assertNothingLeft, until } from '../support/processes.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-journal-files-'));
const file = join(folder, 'journal.jsonl');
let nats: TestNats;
let connection: NatsConnection;
before(async () => {
  nats = await startNats();
  connection = await connectNats({ url: nats.url, name: 'files' });
});
after(async () => {
  await connection.close();
  await nats.stop();
  rmSync(folder, { recursive: true });
  await assertNothingLeft([nats.pid], [nats.port]);
});

async function withCoordinator(use: (coordinator: LocalCoordinator, where: string[]) => Promise<void>) {
  const coordinator = await startLocalCoordinator({ natsUrl: nats.url });
  try {
    await use(coordinator, ['--coordinator', coordinator.endpoint, '--token', 'x']);
  } finally {
    await coordinator.close();
  }
}

/** A broker on which no fleet has ever been. */
async function forget(): Promise<void> {
  const manager = await jetstreamManager(connection);
  for await (const { config } of manager.streams.list()) await manager.streams.delete(config.name);
}

const runsOf = async ({ client }: LocalCoordinator) =>
  (await unary(client, client.listRuns, { planId: '', sweepId: '' })).runs.map(
    ({ id, name }) => `${id} ${name}`,
  );

interface Line {
  readonly sequence: number;
  readonly digest: string;
  readonly base64: string;
  readonly events?: readonly { readonly kind: string }[];
}
const linesOf = (path: string): Line[] =>
  readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

test('an export has every message with its digest, and on request its events', async () => {
  await withCoordinator(async (coordinator, where) => {
    for (const name of ['one', 'two']) await coordinator.submit(runText(name));
    const done = await pocketfleet(['journal', 'export', '-o', file, ...where]);
    assert.equal(done.code, 0, done.err);
    assert.match(done.out, /^3 messages are in .*journal\.jsonl$/m);
    const lines = linesOf(file);
    assert.deepEqual(
      lines.map(({ sequence }) => sequence),
      [1, 2, 3],
    );
    for (const { digest, base64, events } of lines) {
      assert.equal(digest, digestOf(Buffer.from(base64, 'base64')));
      assert.equal(events, undefined);
    }
    const again = await pocketfleet(['journal', 'export', '-o', file, ...where]);
    assert.equal(again.code, 1);
    assert.match(again.err, /journal\.jsonl cannot be written: something of that name is there already/);
    const shown = join(folder, 'events.jsonl');
    await pocketfleet(['journal', 'export', '-o', shown, '--events', ...where]);
    assert.deepEqual(
      linesOf(shown).map(({ events }) => events!.map(({ kind }) => kind)),
      [
        ['journal.begun', 'coordinator.started'],
        ['spec.recorded', 'run.created'],
        ['spec.recorded', 'run.created'],
      ],
    );
  });
});

test('a file that is no whole journal of the fleet is refused with what is wrong, and so is a fleet in use', async () => {
  const refused = async (lines: readonly object[], sentence: RegExp) => {
    const path = join(folder, 'refused.jsonl');
    writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    await withCoordinator(async (_, where) => {
      const { code, err } = await pocketfleet(['journal', 'import', path, ...where]);
      assert.equal(code, 1);
      assert.match(err, sentence);
      assert.equal(err.trim().split('\n').length, 1, err);
    });
  };
  const lines = linesOf(file);
  await refused(lines, /the journal of fleet local is in use \(run\.created at sequence 2\)/);
  await forget();
  await refused([], /the file has no message of a journal/);
  await refused(
    [{ sequence: 1, base64: 'c2V2ZW4gYg==' }],
    /no journal that can be taken: at message 1 the message is 7 bytes that are no JSON$/m,
  );
  await refused([lines[0]!, lines[2]!], /message 3 follows message 1 in the file/);
  await refused([lines[0]!, { ...lines[2]!, sequence: 2 }], /does not continue message 1: one of the two/);
  await refused([lines[1]!], /message 2 follows message 0 in the file/);
  await refused([{ sequence: 1 }], /refused\.jsonl, line 1: base64/);
  await refused(
    [lines[0]!, { ...lines[1]!, digest: lines[0]!.digest }],
    /refused\.jsonl, line 2: message 2 is damaged: its bytes do not have the digest "[0-9a-f]{32}"; take another copy/,
  );
  const unfit = messageAfter(placeAfter(lines.map(({ base64 }) => Buffer.from(base64, 'base64'))), [
    { kind: 'run.cancelled', runId: 'run-8', reason: 'x' },
  ]);
  await refused(
    [...lines, { sequence: 4, base64: Buffer.from(unfit).toString('base64') }],
    /no journal that can be taken: at message 4 its run\.cancelled event does not fit what came before \([^;]*\)$/m,
  );
  await withCoordinator(async (coordinator, where) => {
    const absent = await pocketfleet(['journal', 'import', join(folder, 'absent'), ...where]);
    assert.match(absent.err, /absent cannot be read: .*no such file/i);
    const folderAsked = await pocketfleet(['journal', 'import', folder, ...where]);
    assert.match(folderAsked.err, /pocketfleet-journal-files-\w+ cannot be read: it is a folder/);
    assert.deepEqual(await runsOf(coordinator), []);
    assert.deepEqual(await coordinator.submit(runText('fresh')), ['run-1'], 'the fleet is as it was');
  });
});

test('an export that is cut off leaves nothing, so that no part of a journal is taken for a whole one', async () => {
  const path = join(folder, 'cut-off.jsonl');
  const breaking = {
    async *follow() {
      yield { sequence: 1, subject: 's', atMs: 1, data: Buffer.from('x'), digest: 'd', eventsJson: '' };
      throw new FleetError('unavailable', 'the stream broke');
    },
  } as unknown as FleetClient;
  const { signal } = new AbortController();
  const writing = writeMessages(breaking, { file: path, after: 0, events: false, signal });
  await assert.rejects(writing, /the stream broke/);
  assert.deepEqual(
    readdirSync(folder).filter((name) => /cut-off|\.part$/.test(name)),
    [],
  );
  await withCoordinator(async (_, where) => {
    const { code, err } = await pocketfleet(['journal', 'export', '-o', '-', ...where]);
    assert.equal(code, 1);
    assert.match(err, /^pocketfleet: --output: messages of a journal go to a file; name one, not -$/m);
  });
});

test('a fleet that begins takes a journal: the coordinator ends, and the next has everything', async () => {
  await forget();
  // What a run that is younger than the file has left in the store.
  const names = await namesOn(connection);
  await jetstream(connection).publish(names.historySubject('run-7'), 'x');
  await withCoordinator(async (coordinator, where) => {
    const { code, out, err } = await pocketfleet(['journal', 'import', file, ...where]);
    assert.equal(code, 0, err);
    assert.match(out, /^3 messages were taken; the coordinator starts again/);
    await until('it ends', () => coordinator.failure() !== undefined);
    assert.match(coordinator.failure()!.message, /a journal was imported; the next start begins with it/);
  });
  await withCoordinator(async (coordinator, where) => {
    assert.deepEqual(await runsOf(coordinator), ['run-1 one', 'run-2 two']);
    assert.deepEqual(await coordinator.submit(runText('three')), ['run-8'], 'no id is given twice');
    const checked = await pocketfleet(['journal', 'check', ...where]);
    assert.match(checked.out, /^the journal is whole: 6 messages, \d+ events$/m);
    const back = join(folder, 'back.jsonl');
    await pocketfleet(['journal', 'export', '-o', back, ...where]);
    assert.deepEqual(
      linesOf(back)
        .slice(0, 3)
        .map(({ digest }) => digest),
      linesOf(file).map(({ digest }) => digest),
    );
  });
});

test('nobody is promised anything behind the note of an import, and one that is dropped nevertheless is logged', async () => {
  await forget();
  await withCoordinator(async (coordinator, where) => {
    const { code, err } = await pocketfleet(['journal', 'import', file, ...where]);
    assert.equal(code, 0, err);
    // The process would end now, and is held up.
    await assert.rejects(coordinator.submit(runText('late')), /a journal is imported; ask again once/);
  });
  await withCoordinator(async (coordinator) => {
    assert.deepEqual(await runsOf(coordinator), ['run-1 one', 'run-2 two']);
  });

  await forget();
  const names = await namesOn(connection);
  const messages = linesOf(file).map(({ sequence, base64 }) => ({
    sequence,
    data: Buffer.from(base64, 'base64'),
  }));
  await withCoordinator(async (coordinator) => {
    let released = 0;
    const importing = createJournalImport(connection, { names, fleet: 'local' }, async () => {
      if (released === 0) await coordinator.submit(runText('early'));
      return () => {
        released += 1;
      };
    });
    await importing.take(0, messages);
    await assert.rejects(importing.finish(), /is in use \(run\.created at sequence \d+\)/);
    assert.equal(released, 1);
    assert.equal(await importWaits(connection, names), false, 'no note is left');
  });

  await forget();
  await withCoordinator(async (coordinator) => {
    const importing = createJournalImport(connection, { names, fleet: 'local' }, async () => () => undefined);
    await importing.take(0, messages);
    await importing.finish();
    // As a release before might.
    await coordinator.submit(runText('late'));
  });
  const warned: unknown[] = [];
  const log = { warn: (...said: unknown[]) => void warned.push(said.at(-1)) };
  await findNames({ connection, fleet: 'local', log });
  assert.equal(warned.length, 1);
  assert.match(
    String(warned[0]),
    /^the journal that was imported is dropped: the journal of fleet local came into use meanwhile \(run\.created at sequence \d+\); import it again into a fleet to which nothing was submitted yet$/,
  );
  await withCoordinator(async (coordinator) => assert.deepEqual(await runsOf(coordinator), ['run-1 late']));
});

test('with several coordinators an import lets none of them lead the journal that goes, and one puts it in place', async () => {
  await forget();
  const options = { natsUrl: nats.url };
  const leader = await startLocalCoordinator(options);
  const others = [
    await startLocalCoordinator(options, { standby: true }),
    await startLocalCoordinator(options, { standby: true }),
  ];
  const all = [leader, ...others];
  const { journalStream } = await namesOn(connection);
  const manager = await jetstreamManager(connection);
  const lastSequence = async () => (await manager.streams.info(journalStream)).state.last_seq;
  try {
    const { code, err } = await pocketfleet([
      ...['journal', 'import', file],
      ...['--coordinator', all.map(({ endpoint }) => endpoint).join(','), '--token', 'x'],
    ]);
    assert.equal(code, 0, err);
    await until('the leader ends', () => leader.failure() !== undefined);
    const before = await lastSequence();
    await leader.close();
    // Each gets the lease in its turn, and gives it back.
    for (let left = others; left.length > 0; ) {
      const ended = () => left.find((one) => one.failure() !== undefined);
      await until('one that would lead ends', () => ended() !== undefined);
      const one = ended()!;
      assert.match(one.failure()!.message, /a journal was imported; the next start begins with it/);
      await one.close();
      left = left.filter((other) => other !== one);
    }
    assert.equal(await lastSequence(), before, 'nobody has decided anything');
  } finally {
    for (const coordinator of all) await coordinator.close();
  }
  const started = await Promise.all([1, 2, 3].map(() => startLocalCoordinator(options, { standby: true })));
  try {
    const ready = () => started.find((one) => one.ready());
    await until('one leads', () => ready() !== undefined);
    assert.deepEqual(await runsOf(ready()!), ['run-1 one', 'run-2 two']);
    for (const one of started) assert.equal(one.failure(), undefined);
    assert.ok((await lastSequence()) > 3);
  } finally {
    for (const coordinator of started) await coordinator.close();
  }
});
