import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { exportOnnx } from '../../../core/model/onnx.ts';
import { canonicalJson } from '../../../core/spec/canonical-json.ts';
import { ModelProto } from '../../../proto/gen/onnx/v1/model.ts';
import {
  EXPORTED_NETWORKS,
  embeddingsOf,
  normalisedPlanes,
  testImages,
  testModel,
  worstError,
} from '../../support/models.ts';

/** Relative to the largest value of the embeddings. */
const TOLERANCE = 1e-5;
const IMAGES = testImages(3);

for (const [title, spec] of Object.entries(EXPORTED_NETWORKS))
  test(`ONNX Runtime gives the embeddings of ${title}`, async () => {
    const model = testModel(spec);
    const expected = embeddingsOf(model, IMAGES);
    const planes = new Tensor('float32', normalisedPlanes(IMAGES), [3, 3, 112, 112]);
    const output = await runOnnx(exportOnnx(model), planes);
    assert.deepEqual(output.dims, [3, model.network.embedding]);
    const error = worstError(output.data as Float32Array, expected);
    assert.ok(error < TOLERANCE, `${error}`);
  });

test('an ONNX file that takes bytes gives the same embeddings', async () => {
  const model = testModel(EXPORTED_NETWORKS['a PocketNet with every operation']);
  const bytes = new Tensor('uint8', IMAGES, [3, 112, 112, 3]);
  const output = await runOnnx(exportOnnx({ ...model, input: 'bytes' }), bytes);
  const error = worstError(output.data as Float32Array, embeddingsOf(model, IMAGES));
  assert.ok(error < TOLERANCE, `${error}`);
});

test('an ONNX file carries its genotype, its pre-processing and what the caller adds', () => {
  const model = testModel(EXPORTED_NETWORKS['a PocketNet with every operation']);
  const { metadataProps } = ModelProto.decode(
    exportOnnx({ ...model, input: 'bytes', metadata: { run: 'r1', network: 'cannot be replaced' } }),
  );
  const metadata = Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
  assert.equal(metadata.run, 'r1');
  assert.equal(metadata.network, canonicalJson(model.network.spec));
  assert.match(metadata.network!, /"genotype":\{"normal":\[\[\["avg_pool_3x3",0\]/);
  assert.match(metadata.preprocessing!, /bytes \[N, 112, 112, 3\]/);
});

async function runOnnx(file: Uint8Array, input: Tensor): Promise<Tensor> {
  const session = await InferenceSession.create(file, { intraOpNumThreads: 1, logSeverityLevel: 2 });
  try {
    return (await session.run({ input })).embedding!;
  } finally {
    await session.release();
  }
}
