// Snapshots beside a real journal on a real nats-server: a start reads the newest and what came after it, and
// one that does not fit is passed over, so that the state is always that of the whole journal.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import pino from 'pino';
import type { Journal } from '../../coordinator/journal/journal.ts';
import { createJournalRepair } from '../../coordinator/journal/journal-repair.ts';
import { openJournalState } from '../../coordinator/journal/opening.ts';
import { createSnapshotStore } from '../../coordinator/journal/snapshots.ts';
import { systemClock } from '../../core/clock.ts';
import { unary } from '../../core/net/grpc-client.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { journalOn, NAMES, namesOn } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { assertNothingLeft, until } from '../support/processes.ts';
import { dialRawWorker } from '../support/raw-worker.ts';
import { plainIndex, plainOf } from '../support/state.ts';

let nats: TestNats;
let connection: NatsConnection;
/** Lines that were logged since the test began. */
let lines: string[] = [];
const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line).msg) });
const store = (eventsBetween = 5, names = NAMES) =>
  createSnapshotStore({ connection, names, clock: systemClock, log, eventsBetween });

before(async () => {
  nats = await startNats();
  connection = await connectNats({ url: nats.url, name: 'snapshots' });
});
after(async () => {
  await connection.close();
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});
beforeEach(async () => {
  const manager = await jetstreamManager(connection);
  for await (const { config } of manager.streams.list()) await manager.streams.delete(config.name);
  await ensureStreams(connection, NAMES);
  lines = [];
});

/** Journals, one group each: a coordinator that started for the nth time. */
async function append(journal: Journal, ...epochs: number[]): Promise<void> {
  for (const epoch of epochs)
    await journal.append([{ kind: 'coordinator.started', epoch, version: 'test', atMs: epoch }]);
}

/** The state as a start finds it, the sequence from which it has read, and the journal. */
async function opened(snapshots = store()) {
  const journal = journalOn(connection);
  let from = -1;
  const reading: Journal = {
    ...journal,
    replay(beginning) {
      from = beginning?.place.sequence ?? 0;
      return journal.replay(beginning);
    },
    get index() {
      return journal.index;
    },
    get place() {
      return journal.place;
    },
    get sequence() {
      return journal.sequence;
    },
  };
  const state = await openJournalState({
    ...{ journal: reading, snapshots, clock: systemClock, log, prepare: async () => undefined },
    ...{ signal: AbortSignal.timeout(10_000), reported: undefined, onTrouble: assert.ifError },
  });
  return { state: state!, from, journal };
}

/** A snapshot of the journal as it is. */
async function taken() {
  const { state, journal } = await opened();
  return { state, place: journal.place, index: journal.index };
}

const isStored = () => until('a snapshot was stored', () => lines.includes('a snapshot was stored'));

test('a long reading leaves a snapshot; the next start reads the rest alone, and comes to the same state', async () => {
  await append(journalOn(connection), 1, 2, 3, 4);
  assert.equal((await opened()).from, 0);
  assert.ok(!lines.includes('a snapshot was stored'), 'four events are not worth one');
  const { journal } = await opened();
  await append(journal, 5, 6);
  assert.equal((await opened()).from, 0);
  await isStored();
  const second = await opened();
  assert.equal(second.from, 6);
  await append(second.journal, 7);
  const third = await opened();
  assert.equal(third.from, 6);
  const whole = await opened(store(5, { ...NAMES, snapshotStream: 'NONE' }));
  assert.equal(whole.from, 0);
  assert.deepEqual(plainOf(third.state), plainOf(whole.state));
  assert.deepEqual(plainIndex(third.journal.index), plainIndex(whole.journal.index));
  assert.equal(third.journal.place.digest, whole.journal.place.digest);
});

test('of two the newer is used, and the older when that is damaged; with both gone everything is read', async () => {
  const journal = journalOn(connection);
  await append(journal, 1, 2, 3);
  const snapshots = store(1);
  await snapshots.put(await taken());
  await append(journal, 4, 5);
  await snapshots.put(await taken());
  assert.equal((await opened()).from, 5);
  const damage = (place: number) => jetstream(connection).publish(NAMES.snapshotSubject(place, 0), 'x');
  await damage(1);
  assert.equal((await opened()).from, 3);
  assert.ok(lines.includes('a snapshot is passed over: its bytes are not those that were stored'));
  await damage(0);
  const { from, state } = await opened();
  assert.equal(from, 0);
  assert.equal(state.epoch, 5);
});

test('a snapshot of what was cut off, replaced or lost is passed over', async () => {
  const journal = journalOn(connection);
  await append(journal, 1, 2, 3, 4);
  await store(1).put(await taken());
  const repair = createJournalRepair({
    ...{ connection, names: NAMES, fleet: 'local', version: 'test', clock: systemClock },
  });
  await repair.truncate({ after: 2, lastSequence: 4, reason: 'a test' });
  const cut = await opened();
  assert.equal(cut.from, 0);
  assert.equal(cut.state.epoch, 2);
  assert.ok(lines.includes('a snapshot is passed over: it was cut off'));
  // Another journal in its place.
  const manager = await jetstreamManager(connection);
  await manager.streams.delete(NAMES.journalStream);
  await ensureStreams(connection, NAMES);
  await append(journalOn(connection), 21, 22, 23, 24, 25);
  assert.equal((await opened()).state.epoch, 25);
  assert.ok(lines.includes('a snapshot is passed over: its message is another one'));
});

test('a leader that runs alone stores snapshots while it works, and the next one goes on from there', async () => {
  const leader = await startLocalCoordinator({ natsUrl: nats.url }, { snapshotEvents: 4 });
  const workers = Array.from({ length: 8 }, (_, n) =>
    dialRawWorker({ endpoint: leader.endpoint, id: `w${n}`, incarnation: 'i' }),
  );
  const names = await namesOn(connection);
  const kept = createSnapshotStore({ connection, names, clock: systemClock, log });
  await until('the leader has stored one', async () => ((await kept.newest())?.state.events ?? 0) >= 4);
  for (const worker of workers) worker.close();
  await leader.close();
  const { place, state, index } = (await kept.newest())!;
  assert.ok(place.sequence > 1);
  assert.equal(index.firstEventOf(place.sequence + 1), state.events + 1);
  const next = await startLocalCoordinator({ natsUrl: nats.url });
  const told = await unary(next.client, next.client.why, { id: 'w0' });
  assert.equal(told.decisions[0]?.event, 'worker.attached');
  await next.close();
});
