// A submit whose data takes long to be looked at, against a real coordinator: it answers everybody else meanwhile, shows where it is,
// and a call that comes again goes on with the same look.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { FleetError } from '../../core/errors.ts';
import { createFleetClient, streamed, unary } from '../../core/net/grpc-client.ts';
import type { InspectionProgress } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { writeLargePack } from '../support/large-pack.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft, freePort, startTypeScript } from '../support/processes.ts';

const MAIN = fileURLToPath(new URL('../../coordinator/main.ts', import.meta.url));
const TOKEN = 'token-of-this-test';
const IMAGES = 4_000;

test('a coordinator answers while it looks at data, and a submit that comes again joins the look', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pf-inspection-'));
  const pack = join(folder, 'pack');
  mkdirSync(pack);
  await writeLargePack(pack, IMAGES, 200);
  const nats = await startNats({ token: TOKEN });
  const port = await freePort();
  const program = startTypeScript(MAIN, [
    ...['--listen', `127.0.0.1:${port}`, '--metrics-listen', '127.0.0.1:0', '--token', TOKEN],
    ...['--nats-url', nats.url, '--nats-token', TOKEN, '--cache-dir', join(folder, 'cache')],
  ]);
  const client = createFleetClient({ endpoint: `127.0.0.1:${port}`, token: TOKEN });
  try {
    await program.untilOutput(/"msg":"ready"/);
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
    const first = unary(client, client.submit, request, { signal: gone.signal, deadlineMs: 300_000 });
    first.catch(() => undefined);
    const messages: InspectionProgress[] = [];
    let answers = 0;
    for await (const message of streamed(client.inspect(request))) {
      messages.push(message);
      // It is asked while images are looked at: the answer comes in between.
      if (message.doing !== 'looking at images' || message.done >= message.total) continue;
      await unary(client, client.listWorkers, { pageSize: 0, pageToken: '' });
      answers += 1;
      gone.abort();
    }
    assert.ok(answers > 0, 'others were answered while images were looked at');
    await assert.rejects(first, (error: FleetError) => error.code === 'cancelled');
    const looked = messages.filter(({ doing }) => doing === 'looking at images');
    assert.ok(looked.length > 1);
    assert.deepEqual([looked[0]!.path, looked[0]!.unit, looked[0]!.total], [pack, 'images', IMAGES]);
    // The look went on without the caller that left, and is not made again.
    const entries = readdirSync(join(folder, 'cache', 'data'));
    assert.equal(entries.length, 2, 'labels and images');
    const { runIds, notes } = await unary(client, client.submit, request, { deadlineMs: 60_000 });
    assert.equal(runIds.length, 1);
    assert.match(notes.join('\n'), /4000 of 4000 images looked at are not 112 x 112/);
    const { runs } = await unary(client, client.listRuns, {
      ...{ planId: '', sweepId: '', pageSize: 0, pageToken: '' },
    } as Parameters<typeof client.listRuns>[0]);
    assert.equal(runs.length, 1, 'the submit that was left was not journalled');
  } finally {
    client.close();
    await program.stop();
    await nats.stop();
    rmSync(folder, { recursive: true, force: true });
    await assertNothingLeft([program.pid, nats.pid], [port, nats.port]);
  }
});
