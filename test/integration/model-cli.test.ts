// Commands on model files as a user meets them, in processes of their own: import, describe, export, and verification of a
// file on every kind of benchmark.

import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseVerificationBin } from '../../core/data/benchmarks/verification-bin.ts';
import { readImage } from '../../core/data/images/image.ts';
import { mirror } from '../../core/data/images/pixels.ts';
import { exportSafetensors, readModel } from '../../core/model/export.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { synflow } from '../../core/screening/synflow.ts';
import { evaluatePairs } from '../../core/verify/roc.ts';
import { pocketfleet as runPocketfleet } from '../support/cli.ts';
import { EXPORTED_NETWORKS, embeddingsOf, testModel } from '../support/models.ts';
import { drawnFaces, verificationBin, writeIjb, writeMegaface } from '../support/verification-sets.ts';

const PTH = join(import.meta.dirname, '../fixtures/pytorch/pocketnet-tiny.pth');
const IMAGE_BYTES = 112 * 112 * 3;
const model = testModel(EXPORTED_NETWORKS['a PocketNet of the published genotype']);
let dir = '';
let faces: Buffer[][] = [];

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pocketfleet-model-cli-'));
  faces = await drawnFaces(12, 3);
  await writeFile(join(dir, 'net.safetensors'), exportSafetensors(model));
  await writeFile(join(dir, 'drawn.bin'), verificationBin(faces));
  await writeIjb(join(dir, 'IJBC'), faces.slice(0, 5));
  await writeMegaface(join(dir, 'megaface'), faces, 4);
});
after(() => rm(dir, { recursive: true }));

test('a .pth is described, imported and exported without naming its network', async () => {
  const described = await pocketfleet('model', 'describe', PTH);
  assert.equal(described.code, 0, described.err);
  assert.match(described.err, /PocketNet, C=4, 4 layers, E=8; .*published genotype casia/);
  assert.match(described.out, /112,816 parameters/);
  const imported = await pocketfleet('model', 'import', PTH, '-o', 'out/net.safetensors', '--json');
  assert.equal(imported.code, 0, imported.err);
  assert.equal(JSON.parse(imported.out).parameters, 112_816);
  const { network } = readModel(await readFile(join(dir, 'out/net.safetensors')), 'out/net.safetensors');
  assert.deepEqual(network.spec, JSON.parse(imported.out).network);
  const exported = await pocketfleet('model', 'export', PTH, '--format', 'tfjs', '-o', 'out/web');
  assert.equal(exported.code, 0, exported.err);
  assert.deepEqual((await readdir(join(dir, 'out/web'))).sort(), ['group1-shard1of1.bin', 'model.json']);
});

test('a network is scored at the weights that a seed gives, whatever its file has trained', async () => {
  const ended = await pocketfleet('model', 'score', PTH, '--score', 'synflow', '--seed', '7', '--json');
  assert.equal(ended.code, 0, ended.err);
  const { network: spec, scored } = JSON.parse(ended.out);
  const network = buildNetwork(spec);
  const layout = layoutOf(network);
  const weights = initialWeights(layout, 7);
  assert.deepEqual(scored, [{ score: 'synflow', value: synflow(network, layout, weights) }]);
});

test('published networks and the search network are described with their published counts', async () => {
  const counts = [
    ['pocketnet-s128', '925,632', '587.11'],
    ['supernet', '4,156,316', '1525.30'],
  ] as const;
  for (const [name, parameters, mflops] of counts) {
    const { code, out, err } = await pocketfleet('model', 'describe', name);
    assert.equal(code, 0, err);
    assert.match(out, new RegExp(`^${parameters} parameters, ${mflops} MFLOPs`, 'm'));
  }
});

test('an export does not overwrite a folder that holds something', async () => {
  await writeFile(join(dir, 'keep.txt'), 'kept');
  const refused = await pocketfleet('model', 'export', PTH, '--format', 'tfjs', '-o', '.');
  assert.equal(refused.code, 1);
  assert.match(refused.err, /must be a new or an empty folder/);
  assert.equal(await readFile(join(dir, 'keep.txt'), 'utf8'), 'kept');
});

test('a genotype that does not fit a file is told by its first tensor', async () => {
  const refused = await pocketfleet('model', 'import', PTH, '--genotype', 'cifar10');
  assert.equal(refused.code, 1);
  assert.match(refused.err, /tensor cells.0.dag.0.0.net.1.weight is \[4,1,3,3\], \[4,1,7,7\] in pocketnet/);
});

test('a model file is verified on pairs, templates and distractors, with tables, JSON and a ROC plot', async () => {
  const sets = ['--set', 'drawn.bin', '--set', 'ijbc=IJBC', '--set', 'mega=megaface'];
  const ended = await pocketfleet('verify', '--model', 'net.safetensors', ...sets, '-o', 'out/report');
  assert.equal(ended.code, 0, ended.err);
  assert.match(ended.out, /^SET +ACCURACY +± +TPR@FPR 1e-3 .*XNORM +PAIRS/);
  assert.match(ended.out, /\ndrawn +\d+\.\d\d %/);
  assert.match(ended.out, /\nijbc \(ijbc\) /);
  assert.match(ended.out, /\nmega \(R\) /);
  const { sets: reports } = JSON.parse(await readFile(join(dir, 'out/report.json'), 'utf8'));
  const [pairs, ijb, megaface] = reports;
  const expected = await expectedPairs(await readFile(join(dir, 'drawn.bin')));
  assert.equal(pairs.accuracy, expected.accuracy);
  assert.ok(Math.abs(pairs.auc - expected.auc) < 1e-12);
  assert.ok(Math.abs(pairs.eer - expected.eer) < 1e-12);
  // 5 templates of two images each against 5 of one.
  assert.deepEqual([ijb.faces, ijb.templates, ijb.genuinePairs, ijb.impostorPairs], [15, 10, 5, 20]);
  // 4 people with 3 images: 3 pairs each; 12 probes against 24 distractors.
  assert.deepEqual(
    [megaface.probes, megaface.distractors, megaface.result.genuinePairs, megaface.result.impostorPairs],
    [12, 24, 12, 288],
  );
  assert.ok(megaface.refined.identification[0].rate > 0);
  const svg = await readFile(join(dir, 'out/report.svg'), 'utf8');
  assert.match(svg, /^<svg xmlns=/);
  assert.equal(
    svg.match(/class="curve" stroke="[^"]+" d="M[\d.]+,[\d.]+[A-Z]/g)?.length,
    4,
    'two curves and their keys',
  );
});

test('verify says what is missing or wrong in one sentence', async () => {
  const [neither, none, missing, folder] = await Promise.all([
    pocketfleet('verify'),
    pocketfleet('verify', '--model', 'net.safetensors'),
    pocketfleet('verify', '--model', 'net.safetensors', '--set', 'lfw=none.bin'),
    pocketfleet('verify', '--model', 'net.safetensors', '--set', 'lfw=IJBC/loose_crop'),
  ]);
  assert.match(neither.err, /either a run or --model FILE/);
  assert.match(none.err, /at least one benchmark with --set/);
  assert.match(missing.err, /^pocketfleet: set lfw: .*none.bin/m);
  assert.match(folder.err, /is neither IJB .* nor MegaFace/);
  assert.deepEqual([neither.code, none.code, missing.code, folder.code], [1, 1, 1, 1]);
});

/** The same protocol in this process: all images in one batch of the evaluation graph. */
async function expectedPairs(bin: Buffer) {
  const { images, same } = parseVerificationBin(bin, 'drawn.bin');
  const pixels = new Uint8Array(images.length * IMAGE_BYTES);
  const flipped = new Uint8Array(pixels.length);
  for (const [i, image] of images.entries()) {
    const part = (all: Uint8Array) => all.subarray(i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES);
    await readImage(image, part(pixels));
    mirror(part(pixels), part(flipped));
  }
  return evaluatePairs({
    embeddings: embeddingsOf(model, pixels),
    flippedEmbeddings: embeddingsOf(model, flipped),
    pairs: same.map((is, i) => ({ a: 2 * i, b: 2 * i + 1, same: is })),
    embeddingSize: model.network.embedding,
  });
}

const pocketfleet = (...args: string[]) => runPocketfleet(args, dir);
