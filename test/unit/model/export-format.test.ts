import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { unzipSync } from 'fflate';
import { EXPORT_FORMATS, exportFormat, exportModel } from '../../../core/model/export-format.ts';
import { exportOnnx } from '../../../core/model/onnx.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { EXPORTED_NETWORKS, testModel } from '../../support/models.ts';

const CORE = join(PACKAGE_ROOT, 'core');

test('equal networks are equal files, in every format', () => {
  const spec = EXPORTED_NETWORKS['a PocketNet with every operation'];
  for (const format of EXPORT_FORMATS)
    assert.deepEqual(
      exportModel({ ...testModel(spec), format }),
      exportModel({ ...testModel(spec), format }),
      format,
    );
  const tfjs = Object.keys(unzipSync(exportModel({ ...testModel(spec), format: 'tfjs' })));
  assert.deepEqual(tfjs, ['model.json', 'group1-shard1of1.bin']);
});

test('a head after the backbone does not leave with the model', () => {
  const model = testModel(EXPORTED_NETWORKS['a PocketNet with every operation']);
  const weights = new Float32Array(model.weights.length + 80).fill(9);
  weights.set(model.weights);
  assert.deepEqual(exportOnnx({ ...model, weights }), exportOnnx(model));
});

test('an unknown format is refused with those that are known', () => {
  assert.equal(exportFormat(''), 'safetensors');
  assert.throws(
    () => exportFormat('caffe'),
    /"caffe" is unknown; one of safetensors, onnx, onnx-uint8, tfjs/,
  );
});

test('nothing that exports stands on TensorFlow, so the coordinator can', () => {
  const reached = new Set<string>();
  const walk = (file: string): void => {
    if (reached.has(file)) return;
    reached.add(file);
    const source = readFileSync(file, 'utf8');
    for (const [, path] of source.matchAll(/^(?:import|export)\s(?!type\b)[^;]*?from '(\.[^']+)'/gm))
      walk(join(dirname(file), path!));
    assert.ok(!source.includes("'@tensorflow/"), file);
  };
  walk(join(CORE, 'model/export-format.ts'));
  assert.ok(reached.size > 8);
  assert.deepEqual(
    [...reached].filter((file) => relative(CORE, file).startsWith('tensor')),
    [],
  );
});
