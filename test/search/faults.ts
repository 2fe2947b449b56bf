// `npm run test:search`: a search on a real fleet while its workers are killed, stopped and join, the coordinator is
// killed, and the search is paused in the middle of an epoch. Whatever happens, it ends with the weights and alphas of
// a search that nothing disturbed, the ledger holds for both halves, and a replay gives the same bits.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as later } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { EqualSeconds } from '../../coordinator/cli/screen/equal-seconds.ts';
import { unary } from '../../core/net/grpc-client.ts';
import type { Snapshot } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { runIn, startFleet, type TestFleet } from '../support/fleet.ts';
import { startTypeScript } from '../support/processes.ts';

const CLI = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));
/** 24 images in each half and 8 a step: 3 steps an epoch. */
const EPOCHS = 6;
let fleet: TestFleet;

const text = (name: string, workers: string, order = 'second') => `
kind: search
name: ${name}
supernet: { channels: 2, layers: 4 }
data: { kind: synthetic, identities: 8, images: 8, holdout: 2, seed: 5 }
search: { order: ${order}, variant: darts, epochs: ${EPOCHS}, batch: 8, shards: 4, seed: 7, warmUpEpochs: 1, force: true }
workers: ${workers}
checkpoints: { keep: all }
`;

before(async () => {
  fleet = await startFleet({ workers: [] });
  for (const id of ['w1', 'w2', 'w3']) await fleet.startWorker(id, 120_000);
});
after(async () => {
  await fleet?.stop();
});

const begin = async (name: string, workers = '{ min: 2, max: 3 }') =>
  (await fleet.submit(text(name, workers))).runIds[0]!;

const reaches = (id: string, step: number) =>
  fleet.until((seen) => (runIn(seen, id)?.step ?? 0) >= step, `${id} has committed ${step} steps`, 300_000);

async function pocketfleet(...args: string[]): Promise<string> {
  const program = startTypeScript(CLI, [...args, '--coordinator', fleet.endpoint, '--token', fleet.token]);
  const { code } = await program.ended;
  assert.equal(code, 0, program.output());
  return program.output();
}

let undisturbed = '';

/** The end of a search that was disturbed. */
async function endsEqual(id: string): Promise<void> {
  const run = await fleet.finished(id, 600_000);
  assert.equal(run.weightsDigest, undisturbed);
  assert.match(await pocketfleet('ledger', 'verify', id), /each of 6 epochs of both halves exactly once/);
}

test('undisturbed on one worker: a genotype at each epoch, a ledger of both halves, and a replay', async () => {
  const id = await begin('alone', '{ min: 1, max: 1 }');
  const run = await fleet.finished(id, 600_000);
  undisturbed = run.weightsDigest;
  assert.match(undisturbed, /^[0-9a-f]{16}$/);
  assert.ok(run.found !== undefined && run.found.validationLoss !== undefined);
  const { checkpoints } = await unary(fleet.client, fleet.client.listCheckpoints, { runId: id });
  assert.equal(checkpoints.length, EPOCHS);
  assert.ok(checkpoints.every(({ found }) => found !== undefined));
  assert.match(await pocketfleet('ledger', 'verify', id), /each of 6 epochs of both halves exactly once/);
  assert.match(await pocketfleet('replay', id), /equal/);
});

test('rank 0 is killed with SIGKILL in four places of a step and as an epoch ends, and comes back', async () => {
  const id = await begin('killed');
  // 3 steps an epoch: after the last of them rank 0 stores the stage.
  for (const [step, delayMs] of [
    [2, 0],
    [5, 60],
    [8, 150],
    [11, 300],
    [15, 0],
  ] as const) {
    await reaches(id, step);
    await later(delayMs);
    const [victim] = (await fleet.run(id)).workerIds;
    await fleet.killWorker(victim!, 'SIGKILL');
    await fleet.startWorker(victim!, 120_000);
  }
  await endsEqual(id);
});

test('all workers and the coordinator are killed, and a joiner comes in the middle of an epoch', async () => {
  const id = await begin('all', '{ min: 1, max: 3 }');
  await reaches(id, 4);
  await fleet.killCoordinator('SIGKILL');
  for (const worker of ['w1', 'w2', 'w3']) await fleet.killWorker(worker, 'SIGKILL');
  await fleet.startCoordinator();
  await fleet.startWorker('w1', 120_000);
  await reaches(id, 7);
  await fleet.startWorker('w2', 120_000);
  await fleet.startWorker('w3', 120_000);
  await endsEqual(id);
});

test('it is paused in the middle of an epoch, and the broker is restarted', async () => {
  const id = await begin('paused');
  await reaches(id, 5);
  await pocketfleet('pause', id);
  await fleet.until((seen) => runIn(seen, id)?.state === 'paused', `${id} is paused`, 120_000);
  await fleet.nats.restart();
  await pocketfleet('resume', id);
  await endsEqual(id);
});

test('its last evaluation is begun again when a worker is killed in it, and finds the same cells', async () => {
  // 12 images in each half and a step: 6 steps, then 220 evaluations of the half of the alphas, each of two passes.
  const perturbed = (name: string, workers: string) =>
    text(name, workers, 'first')
      .replace('images: 8, holdout', 'images: 4, holdout')
      .replace('batch: 8, shards: 4', 'batch: 12, shards: 2')
      .replace('force: true }', 'force: true, evaluateEvery: 3, decode: perturb }');
  const submit = async (name: string, workers: string) =>
    (await fleet.submit(perturbed(name, workers))).runIds[0]!;
  const alone = await submit('perturbed', '{ min: 1, max: 1 }');
  const { found, weightsDigest } = await fleet.finished(alone, 600_000);
  assert.ok(found?.evaluation !== undefined);
  const id = await submit('perturbed-killed', '{ min: 2, max: 2 }');
  await reaches(id, 6);
  const [victim] = (await fleet.run(id)).workerIds;
  await fleet.killWorker(victim!, 'SIGKILL');
  await fleet.startWorker(victim!, 120_000);
  const again = await fleet.finished(id, 600_000);
  assert.ok(again.generation > 1, 'the gang has changed');
  assert.deepEqual([again.weightsDigest, again.found], [weightsDigest, found]);
  const { checkpoints } = await unary(fleet.client, fleet.client.listCheckpoints, { runId: id });
  assert.deepEqual(
    checkpoints.filter((one) => one.found?.evaluation !== undefined).map(({ stage }) => stage),
    [3, 6],
  );
  assert.match(await pocketfleet('checkpoints', id), /EVALUATED +RIGHT/);
});

test('what it has found trains a network by its name, and an epoch that it does not have is refused', async () => {
  const network = (genotype: string) => `
kind: candidate
name: found
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: ${genotype} }
data: { kind: synthetic, identities: 8, images: 8, holdout: 2, seed: 5 }
training: { epochs: 1, batch: 16, shards: 2 }
verification: { pairs: 40 }
`;
  const { runIds } = await fleet.submit(network('alone@3'));
  const { id } = await fleet.finished(runIds[0]!, 300_000);
  const { specJson } = await unary(fleet.client, fleet.client.getRun, { id });
  assert.match(specJson, /"genotype":\{"normal"/);
  await assert.rejects(fleet.submit(network('alone@99')), /has the epochs 1 to 6 of 6 behind it, not 99/);
  await assert.rejects(fleet.submit(network('found')), /is a candidate, and a search has genotypes/);
});

test('a search and a sweep are compared at equal worker-seconds, once the cells of the search are trained like candidates', async () => {
  const data = 'data: { kind: synthetic, identities: 8, images: 8, holdout: 2, seed: 5 }';
  const training = 'training: { epochs: 1, batch: 16, shards: 2 }';
  const { sweepIds } = await fleet.submit(`
kind: sweep
name: drawn
${data}
space: { channels: 2, layers: 4, embedding: 8 }
strategy: { kind: random, trials: 2, seed: 3 }
evaluation: { ${training}, verification: { pairs: 40 } }
`);
  const [sweepId] = sweepIds;
  const before = JSON.parse(await pocketfleet('compare', sweepId!, 'alone', '--json')) as EqualSeconds;
  assert.match(before.standings[1]!.missing, /its cells are not trained yet as the candidates are/);
  const { runIds } = await fleet.submit(`
kind: candidate
name: cells-of-alone
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: alone }
${data}
${training}
verification: { pairs: 40 }
`);
  const run = await fleet.finished(runIds[0]!, 300_000);
  const ended = (seen: Snapshot) => seen.sweeps.some(({ id, state }) => id === sweepId && state === 'done');
  await fleet.until(ended, 'the sweep ends', 300_000);
  const found = JSON.parse(await pocketfleet('compare', sweepId!, 'alone', '--json')) as EqualSeconds;
  const [drawn, search] = found.standings;
  assert.equal(search!.total, found.seconds);
  assert.ok(search!.total > 0);
  assert.deepEqual([search!.best!.of, search!.best!.accuracy], [run.id, run.evaluation!.accuracy]);
  assert.deepEqual([drawn!.method, drawn!.seed, drawn!.results.length], ['random', 3, 2]);
  assert.equal(drawn!.count, drawn!.results.filter(({ seconds }) => seconds <= found.seconds).length);
  assert.match(await pocketfleet('compare', sweepId!, 'alone'), /darts second darts/);
});

test('its stop rule ends it before its last epoch: the ledger proves that, a replay gives its bits, its cells are there', async () => {
  // Of eight edges with seven operations each some skip, whatever the alphas are; of this seed they do after epoch 2.
  const rule = text('collapsed', '{ min: 1, max: 2 }', 'first').replace(
    'force: true }',
    'stop: { skipsMax: 0, after: 1, for: 1 } }',
  );
  const id = (await fleet.submit(rule)).runIds[0]!;
  const seen = await fleet.until(
    (snapshot) => ['done', 'failed'].includes(runIn(snapshot, id)?.state ?? ''),
    `${id} ends`,
    600_000,
  );
  const run = runIn(seen, id)!;
  assert.equal(run.state, 'done', run.reason);
  assert.match(run.reason, /^the normal cell has \d skip connections? after epoch/);
  assert.ok(run.step < run.stepsTotal, `${run.step} of ${run.stepsTotal} steps`);
  const proof = await pocketfleet('ledger', 'verify', id);
  assert.match(proof, /of both halves exactly once/);
  assert.match(proof, /it ended with epoch \d by its stop rule: the normal cell has/);
  assert.match(await pocketfleet('replay', id), /equal/);
  assert.match(await pocketfleet('genotype', 'collapsed'), /skip_connect/);
  const goesOn = runIn(await fleet.until(() => true, 'a look'), id)!;
  assert.deepEqual([goesOn.state, goesOn.workerIds], ['done', []]);
});
