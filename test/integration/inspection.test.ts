// A submit whose data takes long to be looked at, in a fleet of real processes: it waits for a worker, goes on
// when that is killed, and a call that comes again goes on with the same look. The coordinator answers
// everybody else meanwhile and touches no data.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FleetError } from '../../core/errors.ts';
import { streamed, unary } from '../../core/net/grpc-client.ts';
import type { InspectionProgress } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet } from '../support/fleet.ts';
import { writeLargePack } from '../support/large-pack.ts';
import { isRunning, until } from '../support/processes.ts';

const IMAGES = 4_000;
const WAIT_MS = 120_000;

/** Processes that a process has started and that still run. */
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);

test('a look waits for a worker, outlives the one that looks, and is shared by all who ask', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pf-inspection-'));
  const pack = join(folder, 'pack');
  mkdirSync(pack);
  await writeLargePack(pack, IMAGES, 200);
  const fleet = await startFleet({ workers: [] });
  const { client } = fleet;
  try {
    const request = {
      yaml: `
kind: teacher
name: t
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 16 }
data: { kind: recordio, path: pack, holdout: 20, onCorrupt: skip }
training: { epochs: 1, batch: 16 }
verification: { pairs: 40 }
`,
      baseDir: folder,
      dryRun: false,
      overrides: {},
    };
    const gone = new AbortController();
    const first = unary(client, client.submit, request, { signal: gone.signal, deadlineMs: WAIT_MS });
    first.catch(() => undefined);
    const messages: InspectionProgress[] = [];
    let wasKilled = false;
    /** Nothing waits for a start, since a worker looks as soon as it is attached. */
    const start = (id: string) => void fleet.startWorker(id).catch(() => undefined);
    for await (const message of streamed(client.inspect(request))) {
      messages.push(message);
      if (messages.length === 1) start('w1');
      if (wasKilled || message.doing !== 'looking at images' || message.done >= message.total) continue;
      gone.abort();
      assert.deepEqual(childrenOf(fleet.coordinatorPid()), [], 'the coordinator has no process that looks');
      const looking = childrenOf(fleet.workerPid('w1'));
      assert.ok(looking.length > 0, 'the worker has one');
      await fleet.killWorker('w1', 'SIGKILL');
      wasKilled = true;
      await until('its look ends with it', () => !looking.some(isRunning));
      start('w2');
      await unary(client, client.listWorkers, { pageSize: 0, pageToken: '' });
    }
    assert.ok(
      wasKilled,
      'the first worker was killed while it looked, so that the second has ended the look',
    );
    assert.match(messages[0]!.doing, /^no worker is attached; waiting for one that looks at it$/);
    await assert.rejects(first, (error: FleetError) => error.code === 'cancelled');
    const looked = messages.find(({ doing }) => doing === 'looking at images')!;
    assert.deepEqual([looked.path, looked.unit, looked.total], [pack, 'images', IMAGES]);
    // The look went on without the caller that left, and is not made again.
    assert.equal(readdirSync(join(fleet.cacheDir, 'data')).length, 3, 'labels, images and digest');
    const { runIds, notes } = await unary(client, client.submit, request, { deadlineMs: WAIT_MS });
    assert.equal(runIds.length, 1);
    assert.match(notes.join('\n'), /4000 of 4000 images looked at are not 112 x 112/);
    const ledger = { runId: runIds[0]!, pageSize: 0, pageToken: '' };
    const { dataDigest } = await unary(client, client.getLedger, ledger);
    assert.match(dataDigest!, /^[0-9a-f]{64}$/);

    // A coordinator that comes back asks the worker that was there all the time.
    await fleet.killCoordinator();
    await fleet.startCoordinator();
    const again = await unary(client, client.submit, { ...request, dryRun: true }, { deadlineMs: WAIT_MS });
    assert.deepEqual(again.notes, notes);
    assert.deepEqual((await unary(client, client.getLedger, ledger)).dataDigest, dataDigest);
    const { runs } = await unary(client, client.listRuns, {
      ...{ planId: '', sweepId: '', pageSize: 0, pageToken: '' },
    } as Parameters<typeof client.listRuns>[0]);
    assert.equal(runs.length, 1, 'the submit that was left was not journalled');

    const elsewhere = { ...request, baseDir: join(folder, 'elsewhere'), dryRun: true };
    await assert.rejects(unary(client, client.submit, elsewhere, { deadlineMs: WAIT_MS }), {
      code: 'invalidArgument',
      message: /data\.path: .*elsewhere\/pack is not there on \S+; workers read it under the same path/,
    });
  } finally {
    await fleet.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
