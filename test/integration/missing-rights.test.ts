// A broker of somebody's own that lacks a right of a worker: what needs it fails at once, with the subject, and
// waits for nothing.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createArtefactStore } from '../../core/checkpoint/store.ts';
import { systemClock } from '../../core/clock.ts';
import { FleetError } from '../../core/errors.ts';
import { createLogger } from '../../core/log.ts';
import { followConnection } from '../../core/net/connection-status.ts';
import { connectNats, ensureStreams } from '../../core/net/nats.ts';
import { failureOf } from '../../worker/run/failure.ts';
import { createRecords } from '../../worker/run/history.ts';
import { nextRun, gang as openGang, synchronise } from '../support/gang.ts';
import { NAMES } from '../support/names.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft, until } from '../support/processes.ts';

const quoted = (subjects: readonly string[]) => JSON.stringify(subjects);
const nats = await startNats({
  config: `authorization { users: [
    { user: all, password: x }
    { user: mute, password: x, permissions: { publish: { deny: ${quoted([NAMES.exchangeSubjects, NAMES.chunkSubjects, NAMES.historySubject('*')])} } } }
    { user: deaf, password: x, permissions: { subscribe: { deny: ${quoted([NAMES.exchangeSubjects])} } } }
  ] }\n`,
});
const as = (user: string) => ({ url: nats.url, user, password: 'x' });
const all = await connectNats({ ...as('all'), name: 'coordinator' });
await ensureStreams(all, NAMES);
after(async () => {
  await all.close();
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});

/** Denied, with the subject; the run is tried elsewhere, and ends after ten such failures in a row. */
const deniedAt = (subject: string) => (caught: unknown) => {
  assert.ok(caught instanceof FleetError, String(caught));
  assert.equal(caught.code, 'permissionDenied', caught.message);
  assert.ok(caught.message.includes(subject), caught.message);
  assert.deepEqual(failureOf(caught), { cause: 'infrastructure', ofPlace: false });
  return true;
};

for (const [user, what] of [
  ['deaf', 'subscribe'],
  ['mute', 'publish'],
] as const)
  test(`a gang whose member may not ${what} ends with the subject`, async () => {
    const runId = nextRun();
    await openGang(
      { nats: { ...nats, access: as(user) }, counts: [1, 1], elements: 4, runId },
      async (replicas) => {
        for (const replica of replicas)
          await assert.rejects(
            synchronise(replica),
            deniedAt(
              `does not let this program ${what} to ${NAMES.gangSubject(runId, 1).replace(/all$/, '')}`,
            ),
          );
      },
    );
  });

test('a checkpoint that may not be stored fails at once, also where a full store would be waited for', async () => {
  const mute = await connectNats({ ...as('mute'), name: 'mute' });
  const store = createArtefactStore({ connection: mute, names: NAMES, clock: systemClock });
  try {
    const artefact = {
      key: NAMES.checkpointKey('run-1', 1),
      parts: [{ name: 'weights', pieces: [new Uint8Array(new SharedArrayBuffer(8))] }],
    };
    const denied = deniedAt('storing chunk 0 of part weights');
    await assert.rejects(store.putArtefact(artefact), denied);
    await assert.rejects(store.putArtefact({ ...artefact, onWait: () => undefined }), denied);
  } finally {
    await store.close();
    await mute.close();
  }
});

test('points that may not be stored are dropped with one line in the log, and the end of the run does not wait', async () => {
  const mute = await connectNats({ ...as('mute'), name: 'mute' });
  const heard: string[] = [];
  const end = followConnection(
    mute,
    () => undefined,
    (error) => void heard.push(error.message),
  );
  const log = createLogger({ program: 'test', level: 'silent' });
  const records = createRecords({ connection: mute, names: NAMES, workerId: 'w1', clock: systemClock, log });
  try {
    for (const step of [1, 2])
      for (const runId of ['run-1', 'run-2'])
        records.publishPoint(runId, { step, epoch: 0, loss: 1, atMs: 0 } as Parameters<
          typeof records.publishPoint
        >[1]);
    assert.equal(await records.flush(10_000), true);
    records.publishPoint('run-1', { step: 3, epoch: 0, loss: 1, atMs: 0 } as Parameters<
      typeof records.publishPoint
    >[1]);
    assert.equal(await records.flush(10_000), true);
    await until('both subjects were reported', () => heard.length >= 2);
    assert.equal(heard.length, 2, 'each subject once');
    assert.match(
      heard[0]!,
      /does not let this program publish to pf\.local\.history\.test\.run-1; docs\/broker\.md lists/,
    );
  } finally {
    records.close();
    end();
    await mute.close();
  }
});
