import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { exportTfjs } from '../../../core/model/tfjs.ts';
import { canonicalJson } from '../../../core/spec/canonical-json.ts';
import { networkSchema } from '../../../core/spec/network.ts';
import { type Tensor, tf } from '../../../core/tensor/tf.ts';
import { EXPORTED_NETWORKS, embeddingsOf, testImages, testModel, worstError } from '../../support/models.ts';

/** Relative to the largest value of the embeddings. */
const TOLERANCE = 1e-5;
const IMAGES = testImages(2);
const folder = await mkdtemp(join(tmpdir(), 'pocketfleet-tfjs-'));
after(() => rm(folder, { recursive: true }));

for (const [title, spec] of Object.entries(EXPORTED_NETWORKS))
  test(`TensorFlow.js loads ${title} from files and gives its embeddings`, async () => {
    const model = testModel(spec);
    for (const { name, bytes } of exportTfjs(model)) await writeFile(join(folder, name), bytes);
    const expected = embeddingsOf(model, IMAGES);
    const before = tf.memory().numTensors;
    const loaded = await tf.loadGraphModel(`file://${folder}/model.json`);
    assert.deepEqual(
      loaded.inputs.map(({ name, shape }) => ({ name, shape })),
      [{ name: 'input', shape: [-1, 112, 112, 3] }],
    );
    const values = tf.tidy(() => {
      const input = tf.tensor4d(
        Float32Array.from(IMAGES, (x) => (x / 255 - 0.5) / 0.5),
        [2, 112, 112, 3],
      );
      const output = loaded.predict({ input }) as Tensor;
      assert.deepEqual(output.shape, [2, model.network.embedding]);
      return output.dataSync();
    });
    loaded.dispose();
    assert.equal(tf.memory().numTensors, before, 'tensors are left');
    const error = worstError(values, expected);
    assert.ok(error < TOLERANCE, `${error}`);
  });

test('weights are cut into shards of 4 MiB that together are all weights', () => {
  // 512 x 7 x 7 x 64 numbers of the last layer alone are 6.1 MiB.
  const spec = networkSchema.parse({
    kind: 'iresnet',
    blocks: [1, 1, 1, 1],
    widths: [4, 8, 16, 512],
    embedding: 64,
  });
  const [json, ...shards] = exportTfjs(testModel(spec));
  const model = JSON.parse(new TextDecoder().decode(json!.bytes));
  const [{ paths, weights }] = model.weightsManifest;
  assert.ok(shards.length > 1);
  assert.deepEqual(
    shards.map((shard) => shard.name),
    paths,
  );
  assert.ok(shards.slice(0, -1).every((shard) => shard.bytes.length === 4 * 1024 * 1024));
  const count = weights.reduce(
    (sum: number, { shape }: { shape: number[] }) => sum + shape.reduce((a, b) => a * b, 1),
    0,
  );
  assert.equal(
    shards.reduce((sum, shard) => sum + shard.bytes.length, 0),
    4 * count,
  );
});

test('a TensorFlow.js model carries its genotype and its pre-processing', () => {
  const model = testModel(EXPORTED_NETWORKS['a PocketNet with every operation']);
  const [json] = exportTfjs({ ...model, metadata: { run: 'r1' } });
  const { userDefinedMetadata } = JSON.parse(new TextDecoder().decode(json!.bytes));
  assert.equal(userDefinedMetadata.network, canonicalJson(model.network.spec));
  assert.match(userDefinedMetadata.preprocessing, /float32 \[N, 112, 112, 3\]/);
  assert.equal(userDefinedMetadata.run, 'r1');
});
