// Writes what test/golden/screening.py computes the fixture from: each case's layers, weights, batches and zen's images.
// `npx tsx test/golden/screening-export.ts DIR`.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type StoredTensor, writeSafetensors } from '../../core/model/safetensors.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { zenImages } from '../../core/screening/zen.ts';
import { CLASSES, LOSS, SCREENING_CASES, screeningInputs } from './screening-cases.ts';

const [into] = process.argv.slice(2);
if (into === undefined) throw new Error('give the folder to write to');
mkdirSync(into, { recursive: true });
for (const one of SCREENING_CASES) {
  const { network, weights, batches } = screeningInputs(one);
  const tensors = new Map<string, StoredTensor>();
  const put = (name: string, shape: readonly number[], data: StoredTensor['data']) =>
    tensors.set(name, {
      dtype: data instanceof Float32Array ? 'F32' : data instanceof Uint8Array ? 'U8' : 'I32',
      shape,
      data,
    });
  for (const { name, shape, offset, size } of layoutOf(network, { classes: CLASSES }).parameters)
    put(name, shape, weights.slice(offset, offset + size));
  const map = [one.images, 112, 112, 3];
  if (one.images > 0) {
    batches.forEach(({ images, labels }, batch) => {
      put(`images-${batch}`, map, images);
      put(`labels-${batch}`, [one.images], labels);
    });
    zenImages(one.seed, one.images).forEach((images, i) => {
      put(`zen-${i}`, map, images);
    });
  }
  const { layers, output } = network;
  const metadata = {
    case: JSON.stringify(one),
    network: JSON.stringify({ layers, output }),
    loss: JSON.stringify(LOSS),
  };
  writeFileSync(join(into, `${one.name}-${one.seed}.safetensors`), writeSafetensors(tensors, metadata));
}
