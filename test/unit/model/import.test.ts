import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { exportSafetensors } from '../../../core/model/export.ts';
import { importModel, inspectModel, modelFile } from '../../../core/model/import.ts';
import { recognise } from '../../../core/model/recognise.ts';
import { readSafetensors, writeSafetensors } from '../../../core/model/safetensors.ts';
import { buildNetwork } from '../../../core/nn/build.ts';
import { layoutOf } from '../../../core/nn/layout.ts';
import { networkSchema, pocketnetSchema } from '../../../core/spec/network.ts';
import { unpackGolden } from '../../golden/packed-folder.ts';
import { OWN_CELLS } from '../../support/genotypes.ts';
import { channelsLastBytes, embeddingsOf, testModel, worstError } from '../../support/models.ts';

const FIXTURES = new URL('../../fixtures/pytorch/', import.meta.url).pathname;
const folder = await mkdtemp(join(tmpdir(), 'pocketfleet-import-'));
after(() => rm(folder, { recursive: true }));

const CASIA_TINY = pocketnetSchema.parse({ kind: 'pocketnet', channels: 4, layers: 4, embedding: 8 });

test("a state_dict written by PyTorch embeds images as PyTorch's own network does", async () => {
  const model = await importModel(`${FIXTURES}pocketnet-tiny.pth`);
  assert.equal(model.network.spec.kind, 'pocketnet');
  assert.equal(model.weights.length, 112_816);
  assert.match(model.reason, /published genotype casia/);
  const { embeddings } = JSON.parse(readFileSync(`${FIXTURES}expected.json`, 'utf8'));
  const images = channelsLastBytes(readFileSync(`${FIXTURES}images.bin`), 1);
  // The golden fixtures' tolerance of embedding_eval.
  const error = worstError(embeddingsOf(model, images), embeddings.flat());
  assert.ok(error < 2e-5, `${error}`);
});

for (const file of ['pocketnet-tiny', 'pocketnet-allops', 'iresnet-tiny'])
  test(`the state of golden ${file} is recognised and embeds its images within the fixture's tolerance`, async () => {
    unpackGolden([`${file}.safetensors`], join(folder, 'golden'));
    const golden = readSafetensors(readFileSync(join(folder, 'golden', `${file}.safetensors`)));
    const state = [...golden.tensors].filter(([name]) => name.startsWith('state/'));
    const path = join(folder, `${file}.safetensors`);
    const tensors = new Map(state.map(([name, tensor]) => [name.slice('state/'.length), tensor]));
    await writeFile(path, writeSafetensors(tensors, golden.metadata));
    const model = await importModel(path);
    const { data, shape } = golden.tensors.get('input_u8')!;
    const images = channelsLastBytes(data as Uint8Array, shape[0]!);
    const expected = golden.tensors.get('embedding_eval')!.data as Float32Array;
    const error = worstError(embeddingsOf(model, images), expected);
    assert.ok(error < 2e-5, `${error}`);
  });

test('an imported file names its network and pre-processing, and comes back equal', async () => {
  const model = await importModel(`${FIXTURES}pocketnet-tiny.pth`);
  const path = join(folder, 'imported.safetensors');
  await writeFile(path, modelFile(model));
  const again = await importModel(path);
  assert.match(again.reason, /metadata names the network/);
  assert.match(again.metadata.preprocessing!, /112x112 RGB/);
  assert.deepEqual(again.network.spec, model.network.spec);
  assert.deepEqual(again.weights, model.weights);
  assert.deepEqual(again.running, model.running);
});

const families = {
  'both published genotypes': [CASIA_TINY, { ...CASIA_TINY, genotype: 'cifar10', channels: 8, layers: 6 }],
  'IResNet of any blocks and widths': [
    { kind: 'iresnet', blocks: [1, 2, 1, 3], widths: [4, 6, 8, 10], stem: 8, embedding: 12 },
  ],
  MobileFaceNet: [{ kind: 'mobilefacenet', embedding: 32 }],
} as const;

for (const [title, specs] of Object.entries(families))
  test(`${title}: the network is recognised from names and shapes alone`, async () => {
    for (const spec of specs) {
      const model = testModel(networkSchema.parse(spec));
      const path = await withoutMetadata(model, 'bare.safetensors');
      const found = await importModel(path);
      assert.deepEqual(found.network, model.network);
      assert.deepEqual(found.weights, model.weights);
      assert.deepEqual(found.running, model.running);
    }
  });

test('cells of its own are refused without a genotype, and recognised with one', async () => {
  const model = testModel({ ...CASIA_TINY, genotype: OWN_CELLS });
  const path = await withoutMetadata(model, 'own.safetensors');
  await assert.rejects(
    inspectModel(path),
    /normal cell: pool\+dw_conv_7x7, pool\+skip, .*reduction cell: pool\+strided skip.*neither which input.*nor maximum from average pooling; give its genotype/,
  );
  const found = await importModel(path, { kind: 'genotype', genotype: OWN_CELLS });
  assert.deepEqual(found.weights, model.weights);
  const golden = await withMetadata(model, 'golden.safetensors', { genotype: JSON.stringify(OWN_CELLS) });
  assert.deepEqual((await inspectModel(golden)).network, model.network);
});

test('a network that does not fit is told by its first tensor', async () => {
  const path = await withoutMetadata(testModel(CASIA_TINY), 'casia.safetensors');
  await assert.rejects(
    inspectModel(path, { kind: 'network', network: { ...CASIA_TINY, channels: 8 } }),
    /casia.safetensors: tensor stem.0.weight is \[16,3,3,3\], \[32,3,3,3\] in pocketnet/,
  );
  await assert.rejects(
    inspectModel(path, { kind: 'genotype', genotype: OWN_CELLS }),
    /pocketnet has a tensor cells.0.dag.0.0.bn.weight \[4\], the file has not/,
  );
  const file = readSafetensors(readFileSync(path));
  const changed = (change: (tensors: Map<string, unknown>) => void) => {
    const tensors = new Map(file.tensors);
    change(tensors);
    return writeFile(path, writeSafetensors(tensors));
  };
  await changed((tensors) => tensors.set('head.kernel', file.tensors.get('stem.0.weight')));
  await assert.rejects(inspectModel(path), /tensor head.kernel \[16,3,3,3\] has no place in pocketnet/);
  await changed((tensors) => tensors.delete('cells.2.preproc0.relu.weight'));
  await assert.rejects(inspectModel(path), /has a tensor cells.2.preproc0/);
  await changed((tensors) => tensors.delete('stem.0.weight'));
  await assert.rejects(inspectModel(path), /casia\.safetensors: it lacks tensor stem\.0\.weight$/);
});

test('a weight that is not finite is refused by its tensor', async () => {
  const model = testModel(CASIA_TINY);
  model.weights[model.layout.parameters[3]!.offset] = Number.NaN;
  const path = await withoutMetadata(model, 'nan.safetensors');
  await assert.rejects(
    importModel(path),
    new RegExp(`tensor ${model.layout.parameters[3]!.name} has values that are not`),
  );
});

async function withoutMetadata(model: ReturnType<typeof testModel>, name: string): Promise<string> {
  return withMetadata(model, name, {});
}

async function withMetadata(
  model: ReturnType<typeof testModel>,
  name: string,
  metadata: Record<string, string>,
): Promise<string> {
  const { tensors } = readSafetensors(exportSafetensors(model));
  const path = join(folder, name);
  await writeFile(path, writeSafetensors(tensors, metadata));
  return path;
}

test('every single tensor that a file lacks is named, for each family', async () => {
  const specs = [
    CASIA_TINY,
    { kind: 'iresnet', blocks: [1, 1, 1, 1], widths: [2, 2, 2, 2], stem: 2, embedding: 4 },
    { kind: 'mobilefacenet', embedding: 8 },
  ];
  for (const spec of specs) {
    const layout = layoutOf(buildNetwork(networkSchema.parse(spec)));
    const shapes = new Map(
      [...layout.parameters, ...layout.running].map((slot) => [slot.name, slot.torchShape]),
    );
    for (const missing of shapes.keys()) {
      const others = new Map([...shapes].filter(([name]) => name !== missing));
      assert.throws(
        () => recognise({ shapes: others, where: 'net.pth' }),
        (error: Error) => error.message.includes(missing),
        `${spec.kind} without ${missing}`,
      );
    }
  }
});

test('weight normalisation and a MobileFaceNet of other layers are said as what they are', () => {
  const layout = layoutOf(buildNetwork(networkSchema.parse(CASIA_TINY)));
  const shapes = new Map(
    [...layout.parameters, ...layout.running].map((slot) => [slot.name, slot.torchShape]),
  );
  shapes.delete('tail.6.weight');
  shapes.set('tail.6.weight_g', [8, 1]).set('tail.6.weight_v', [8, 16]);
  assert.throws(
    () => recognise({ shapes, where: 'net.pth' }),
    /net\.pth: it lacks tensor tail\.6\.weight; of that layer it has .*tail\.6\.weight_g, tail\.6\.weight_v$/,
  );
  const other = [
    'conv1.0.weight',
    'dw_conv.depthwise.weight',
    'features.0.conv.0.0.weight',
    'gdconv.bn.bias',
  ];
  assert.throws(
    () => recognise({ shapes: new Map(other.map((name) => [name, [1]])), where: 'mobile.pth' }),
    /mobile\.pth: it is the MobileFaceNet of PocketNet's repository.*ReLU6.*; a run with `network: \{ kind: mobilefacenet \}` trains the one of the paper$/,
  );
});
