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
const WORKERS = ['w1', 'w2'];

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
    let [answersBefore, killed] = [0, ''];
    for await (const message of streamed(client.inspect(request))) {
      messages.push(message);
      if (messages.length === 1) for (const id of WORKERS) await fleet.startWorker(id);
      if (message.doing !== 'looking at images' || message.done >= message.total) continue;
      if (killed !== '') continue;
      gone.abort();
      assert.deepEqual(childrenOf(fleet.coordinatorPid()), [], 'the coordinator has no process that looks');
      killed = WORKERS.find((id) => childrenOf(fleet.workerPid(id)).length > 0)!;
      const looking = childrenOf(fleet.workerPid(killed));
      await fleet.killWorker(killed, 'SIGKILL');
      await until('its look ends with it', () => !looking.some(isRunning));
      // The other worker looks meanwhile: the answer comes in between.
      await unary(client, client.listWorkers, { pageSize: 0, pageToken: '' });
      answersBefore = messages.length;
    }
    assert.match(messages[0]!.doing, /^no worker is attached; waiting for one that looks at it$/);
    assert.ok(messages.length > answersBefore, 'others were answered while images were looked at');
    await assert.rejects(first, (error: FleetError) => error.code === 'cancelled');
    const looked = messages.filter(({ doing }) => doing === 'looking at images');
    assert.ok(looked.length > 1);
    assert.deepEqual([looked[0]!.path, looked[0]!.unit, looked[0]!.total], [pack, 'images', IMAGES]);
    assert.ok(
      looked.some(({ done }, i) => i > 0 && done < looked[i - 1]!.done),
      'the other worker began anew',
    );
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
      message: /^data\.path: .*elsewhere\/pack is not there on \S+; workers read it under the same path/,
    });
  } finally {
    await fleet.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
