// What a user can prove, on a real fleet: three workers that hold 3, 3 and 2 of 8 shards give the bytes of one; the ledger of
// each run holds; a replay reproduces checkpoints and finds one that was tampered with; bisect names the first step and tensor
// where runs part; what is exported is that network in every format. The command line is the real one.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openFleet } from '../../coordinator/cli/client.ts';
import { exportRun } from '../../coordinator/cli/commands/export-file.ts';
import { modelOutput } from '../../coordinator/cli/commands/model-output.ts';
import { parsedLayout } from '../../core/checkpoint/checkpoint-layout.ts';
import { checkpointArtefact, loadCheckpoint } from '../../core/checkpoint/checkpoint-store.ts';
import { createArtefactStore } from '../../core/checkpoint/store.ts';
import type { ExportFormat } from '../../core/model/export-format.ts';
import { importModel } from '../../core/model/import.ts';
import { unary } from '../../core/net/grpc-client.ts';
import { connectNats } from '../../core/net/nats.ts';
import { vectorNamed, WEIGHTS, withVector } from '../../core/state-vectors.ts';
import type { Run } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { onnxEmbeddings, tfjsEmbeddings } from '../support/exported.ts';
import { runIn, startFleet } from '../support/fleet.ts';
import { embeddingsOf, testImages, worstError } from '../support/models.ts';
import { namesOn } from '../support/names.ts';
import { startTypeScript } from '../support/processes.ts';

const CLI = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));

/** 5 training identities x 10 images = 50 images; 16 a step: three epochs end after steps 4, 7 and 10. */
const spec = (
  name: string,
  change: { workers?: number; milestones?: string; seed?: number; compression?: string } = {},
) => `
kind: teacher
name: ${name}
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 8, images: 10, holdout: 3, seed: 5 }
training:
  epochs: 3
  batch: 16
  shards: 8
  seed: ${change.seed ?? 7}
  compression: ${change.compression ?? 'none'}
  optimizer: { learningRate: 0.05, milestones: ${change.milestones ?? '[]'} }
verification: { pairs: 40 }
workers: { min: ${change.workers ?? 1}, max: ${change.workers ?? 1} }
checkpoints: { keep: all }
`;

const fleet = await startFleet({ workers: ['w1', 'w2', 'w3'] });
after(() => fleet.stop());

const train = async (yaml: string): Promise<Run> => fleet.finished((await fleet.submit(yaml)).runIds[0]!);

async function pocketfleet(...args: string[]): Promise<{ code: number | null; output: string }> {
  const program = startTypeScript(CLI, [...args, '--coordinator', fleet.endpoint, '--token', fleet.token]);
  const { code } = await program.ended;
  return { code, output: program.output() };
}

const alone = await train(spec('alone'));

test('every format of an exported run is loaded by its own runtime, with equal embeddings', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pf-exported-'));
  const client = openFleet({ coordinator: fleet.endpoint, token: fleet.token });
  t.after(() => {
    client.close();
    rmSync(folder, { recursive: true });
  });
  const exported = async (name: string, format?: ExportFormat) => {
    const output = modelOutput(join(folder, name), format);
    return (await exportRun(client, { runId: alone.id, stage: 0 }, output)).file;
  };
  const images = testImages(2);
  const expected = embeddingsOf(await importModel(await exported('net.safetensors')), images);
  const found = {
    onnx: await onnxEmbeddings(await exported('net.onnx'), images, 'planes'),
    'onnx-uint8': await onnxEmbeddings(await exported('bytes.onnx', 'onnx-uint8'), images, 'bytes'),
    tfjs: await tfjsEmbeddings(await exported('web.tfjs'), images),
  };
  for (const [format, embeddings] of Object.entries(found)) {
    const error = worstError(embeddings, expected);
    assert.ok(error < 1e-5, `${format}: ${error}`);
  }
  const { code, output } = await pocketfleet(
    'export',
    'alone',
    '--format',
    'tfjs',
    '-o',
    join(folder, 'web'),
  );
  assert.equal(code, 0, output);
  assert.deepEqual(readdirSync(join(folder, 'web')).sort(), ['group1-shard1of1.bin', 'model.json']);
  assert.deepEqual(readdirSync(folder).sort(), [
    'bytes.onnx',
    'net.onnx',
    'net.safetensors',
    'web',
    'web.tfjs',
  ]);
});

test('three workers that hold 3, 3 and 2 of 8 shards end with the bytes of one worker', async () => {
  const { runIds } = await fleet.submit(spec('uneven', { workers: 3 }));
  const id = runIds[0]!;
  const snapshot = await fleet.until((s) => runIn(s, id)?.state === 'done', 'uneven is done', 180_000);
  const run = runIn(snapshot, id)!;
  assert.equal(run.weightsDigest, alone.weightsDigest);
  const { output } = await pocketfleet('why', id);
  assert.match(output, /generation 1 with w\d \[0\.\.2\], w\d \[3\.\.5\], w\d \[6\.\.7\]/);
  const ledgers = await Promise.all(
    ['alone', 'uneven'].map((name) => pocketfleet('ledger', 'verify', name, '--json')),
  );
  for (const ledger of ledgers) assert.equal(ledger.code, 0, ledger.output);
  const [a, b] = ledgers.map(({ output }) => JSON.parse(output));
  assert.equal(a.ok, true);
  assert.deepEqual(
    a.epochs.map((epoch: { firstStep: number; endStep: number; images: number }) => [
      epoch.firstStep,
      epoch.endStep,
      epoch.images,
    ]),
    [
      [0, 4, 50],
      [4, 7, 50],
      [7, 10, 50],
    ],
  );
  const digests = (proof: { epochs: { digest: string; ledger: string }[] }) =>
    proof.epochs.map(({ digest, ledger }) => [digest, ledger]);
  assert.deepEqual(digests(a), digests(b), 'the same samples in the same order');
  const table = await pocketfleet('ledger', 'verify', 'uneven');
  assert.match(
    table.output,
    /10 committed steps count 160 images: each of 3 epochs exactly once and 10 of the epoch after it/,
  );
});

test('a replay reproduces every checkpoint from the seed, and the last one from the second', async () => {
  const whole = await pocketfleet('replay', 'uneven');
  assert.equal(whole.code, 0, whole.output);
  for (const stage of [1, 2, 3])
    assert.match(whole.output, new RegExp(`stage ${stage}, step \\d+: equal, state [0-9a-f]{16}`));
  assert.match(whole.output, new RegExp(`stage 3, step 10: equal, .* weights ${alone.weightsDigest}`));
  assert.match(whole.output, /3 stages computed again, all equal to the last bit/);
  const part = await pocketfleet('replay', 'uneven', '--from', '2');
  assert.match(part.output, /^stage 3, step 10: equal/m);
  assert.doesNotMatch(part.output, /stage 2,/);
  const beyond = await pocketfleet('replay', 'uneven', '--to', '9');
  assert.equal(beyond.code, 1);
  assert.match(beyond.output, /has checkpoints up to stage 3, not 9/);
});

test('a replay proves where a run was paused, while that is stored and after it was let go', async () => {
  // 100 images, 13 steps a stage. With int8 a pause also stores what compression has left of each shard.
  const text = spec('halting', { compression: 'int8' })
    .replace('identities: 8, images: 10', 'identities: 8, images: 20')
    .replace('batch: 16', 'batch: 8')
    .replace('shards: 8', 'shards: 4')
    .replace('epochs: 3', 'epochs: 100');
  const id = (await fleet.submit(text)).runIds[0]!;
  await fleet.until((s) => (runIn(s, id)?.step ?? 0) >= 1, 'a step is committed', 60_000);
  await unary(fleet.client, fleet.client.pause, { id, reason: '' });
  const paused = await fleet.until((s) => runIn(s, id)?.state === 'paused', 'it is paused', 60_000);
  const { step } = runIn(paused, id)!;
  assert.ok(step % 13 !== 0, `it was paused within a stage, at step ${step}`);
  const there = await pocketfleet('replay', 'halting');
  assert.equal(there.code, 0, there.output);
  assert.match(there.output, new RegExp(`^pause, step ${step}: equal, state [0-9a-f]{16}`, 'm'));
  const stage = Math.floor(step / 13) + 1;
  await unary(fleet.client, fleet.client.resume, { id, reason: '' });
  await fleet.until((s) => (runIn(s, id)?.checkpoints ?? 0) >= stage, 'the next stage is stored', 60_000);
  await unary(fleet.client, fleet.client.cancel, { id, reason: '' });
  const gone = await pocketfleet('replay', 'halting', '--from', String(stage - 1), '--to', String(stage));
  assert.equal(gone.code, 0, gone.output);
  assert.match(
    gone.output,
    new RegExp(`^pause, step ${step}: equal.*\\nstage ${stage}, step ${13 * stage}: equal`, 'm'),
  );
  assert.match(gone.output, /1 stage and 1 pause computed again, all equal to the last bit/);
});

test('bisect finds two runs equal, and names the field, step and tensor where they are not', async () => {
  const same = await pocketfleet('bisect', 'alone', 'uneven');
  assert.equal(same.code, 0, same.output);
  assert.match(same.output, /no field differs that the weights depend on/);
  assert.match(same.output, /equal to the last bit up to stage 3, step 10/);
  await train(spec('slower', { milestones: '[1]' }));
  const slower = await pocketfleet('bisect', 'alone', 'slower', '--json');
  assert.equal(slower.code, 1);
  const found = JSON.parse(slower.output.slice(slower.output.indexOf('{')));
  assert.deepEqual(found.specs, [{ field: 'training.optimizer.milestones', a: [], b: [1] }]);
  // The rate falls with epoch 1 (0-based), which begins at image 50: the first step that begins in it is the fifth.
  assert.equal(found.equalStages, 1);
  assert.equal(found.parting.kind, 'step');
  assert.equal(found.parting.step, 5);
  assert.equal(found.parting.tensor, 'stem.0.weight');
  assert.ok(found.parting.tensorsDiffering > 10);
  await train(spec('other-seed', { seed: 8 }));
  const seeds = await pocketfleet('bisect', 'alone', 'other-seed');
  assert.match(seeds.output, /training\.seed is 7 in run-1 and 8 in run-\d/);
  assert.match(seeds.output, /differ first before the first step: /);
});

test('a checkpoint that was tampered with is found by replay and bisect, with the tensor, and the ledger stays what it was', async () => {
  const next = `run-${Number((await train(spec('last-before'))).id.slice(4)) + 1}`;
  const connection = await connectNats({ ...fleet.nats.access, name: 'test' });
  try {
    const names = await namesOn(connection, 'test');
    const store = createArtefactStore({ connection, names });
    const manifest = (await store.getManifest(names.checkpointKey('run-1', 1)))!;
    const { weightsDigest: _digest, ...checkpoint } = await loadCheckpoint(store, manifest);
    const [, , backboneCount] = parsedLayout(manifest.metadata.layout, 'run-1').backbone[0]!;
    const weights = vectorNamed(checkpoint.vectors, WEIGHTS).slice();
    weights[3]! += 1;
    const tampered = { ...checkpoint, vectors: withVector(checkpoint.vectors, WEIGHTS, weights) };
    // Whoever comes first stores a stage: the run will find this one and leave it.
    await store.putArtefact({
      key: names.checkpointKey(next, 1),
      ...(await checkpointArtefact(store, tampered, backboneCount)),
    });
    await store.close();
  } finally {
    await connection.close();
  }
  const run = await train(spec('tampered'));
  assert.equal(run.id, next);
  const replayed = await pocketfleet('replay', 'tampered');
  assert.equal(replayed.code, 1);
  assert.match(replayed.output, /stage 1, step 4: DIFFERS in 1 tensors, first \S+ by up to (1|0\.99|1\.0)/);
  const found = await pocketfleet('bisect', 'alone', 'tampered');
  assert.equal(found.code, 1);
  assert.match(
    found.output,
    /computed again both give the same stage 1; what is stored of run-\d+ \(first \S+\) is not what its spec gives/,
  );
  assert.equal((await pocketfleet('ledger', 'verify', 'tampered')).code, 0);
});

test('compressed runs have the bytes of one worker too, and replay; they are other bytes than exact ones', async () => {
  for (const compression of ['bf16', 'int8']) {
    const one = await train(spec(`${compression}-alone`, { compression }));
    const three = await train(spec(`${compression}-uneven`, { compression, workers: 3 }));
    assert.equal(three.weightsDigest, one.weightsDigest);
    assert.notEqual(one.weightsDigest, alone.weightsDigest);
    const { code, output } = await pocketfleet('replay', `${compression}-uneven`);
    assert.equal(code, 0, output);
  }
});
