// A coordinator process that is killed while it takes a removed run out of a real store: the one that leads
// after it finishes the collection, and takes nothing else.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createArtefactStore } from '../../core/checkpoint/store.ts';
import { createFleetClient, unary } from '../../core/net/grpc-client.ts';
import { headersOfLast } from '../../core/net/jetstream.ts';
import { connectNats } from '../../core/net/nats.ts';
import { runText } from '../support/coordinator-in-process.ts';
import { namesOn } from '../support/names.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft, freePort, type Program, startTypeScript, until } from '../support/processes.ts';

const MAIN = fileURLToPath(new URL('../../coordinator/main.ts', import.meta.url));
const STAGES = 60;
const nats = await startNats();
const connection = await connectNats({ url: nats.url, name: 'test' });
after(async () => {
  await connection.close();
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});

test('a collection that kill -9 has cut off is finished by the next coordinator, and takes nothing else', async (t) => {
  const port = await freePort();
  const start = (): Program =>
    startTypeScript(MAIN, [
      ...['--listen', `127.0.0.1:${port}`, '--metrics-listen', '127.0.0.1:0', '--nats-url', nats.url],
    ]);
  let program = start();
  const client = createFleetClient({ endpoint: `127.0.0.1:${port}`, token: '' });
  t.after(async () => {
    client.close();
    await program.stop('SIGKILL');
    await assertNothingLeft([program.pid], [port]);
  });
  await program.untilOutput(/"msg":"ready"/);
  const request = { baseDir: '', dryRun: false, overrides: {} };
  for (const name of ['goes', 'stays'])
    await unary(client, client.submit, { ...request, yaml: runText(name) });
  const names = await namesOn(connection);
  const store = createArtefactStore({ connection, names, deadlineMs: 10_000 });
  t.after(() => store.close());
  const put = (run: string, stage: number) =>
    store.putArtefact({
      key: names.checkpointKey(run, stage),
      parts: [{ name: 'backbone', pieces: [new TextEncoder().encode(`${run} ${stage}`)] }],
    });
  for (let stage = 1; stage <= STAGES; stage++) await put('run-1', stage);
  await put('run-2', 1);
  const manifests = async (run: string) => (await store.listKeys(names.checkpointKey(run, '*'))).length;
  const chunks = async (run: string) => {
    let count = 0;
    for await (const { bytes } of headersOfLast(
      connection,
      names.artefactStream,
      names.chunkSubject(run, '*'),
    ))
      count += bytes > 0 ? 1 : 0;
    return count;
  };
  await unary(client, client.cancel, { id: 'run-1', reason: '' });
  await unary(client, client.remove, { id: 'run-1', reason: '', dryRun: false });
  const left = await until('it has begun', async () => {
    const found = await manifests('run-1');
    return found < STAGES ? found : undefined;
  });
  await program.stop('SIGKILL');
  const cutAt = await manifests('run-1');
  t.diagnostic(`killed with ${left} manifests left, ${cutAt} afterwards`);
  assert.ok(cutAt > 0, 'it was cut off');
  program = start();
  await program.untilOutput(/"msg":"ready"/);
  await until(
    'nothing of it is stored',
    async () => (await manifests('run-1')) + (await chunks('run-1')) === 0,
    60_000,
  );
  const { decisions } = await unary(client, client.why, { id: 'run-1' });
  assert.deepEqual(
    decisions.map(({ event }) => event),
    ['run.created', 'run.cancelled', 'work.removed'],
    'the journal still tells of it',
  );
  await assert.rejects(unary(client, client.why, { id: 'run-9' }), /no plan, sweep, .* is called run-9/);
  assert.deepEqual([await manifests('run-2'), await chunks('run-2')], [1, 1]);
});
