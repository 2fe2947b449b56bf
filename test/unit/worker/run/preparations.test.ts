// What a worker prepares ahead, with a recorder and data sets that only note what is asked of them.

import assert from 'node:assert/strict';
import test from 'node:test';
import { createLogger } from '../../../../core/log.ts';
import { canonicalJson } from '../../../../core/spec/canonical-json.ts';
import type { Compute } from '../../../../worker/compute/client.ts';
import type { Datasets } from '../../../../worker/run/datasets.ts';
import { createPreparations } from '../../../../worker/run/preparations.ts';
import { teacher } from '../../../sim/specs.ts';

function surroundings() {
  const open = new Set<object>();
  const recorded: { kinds: string[]; signal: AbortSignal; end(error?: Error): void }[] = [];
  const datasets = {
    async acquire() {
      const held = {};
      open.add(held);
      const loader = { facts: { trainingImages: 64, classes: 8 } };
      return { loader, release: async () => void open.delete(held) };
    },
  } as unknown as Datasets;
  const record = (graphs: readonly { kind: string }[], signal: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
      const end = (error?: Error) => (error === undefined ? resolve() : reject(error));
      recorded.push({ kinds: graphs.map(({ kind }) => kind), signal, end });
    });
  const log = createLogger({ program: 'worker', level: 'error', bindings: {} });
  const preparations = createPreparations({ datasets, recorder: { record }, log, compute: {} as Compute });
  return { open, recorded, preparations };
}

const next = (name: string, dataDigest = 'of the data') => ({
  specJson: canonicalJson(teacher({ name })),
  dataDigest,
});
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

test('the data is open and the graphs of step, update and verification are recorded, of the newest one alone', async () => {
  const { open, recorded, preparations } = surroundings();
  preparations.begin(next('a'));
  await settled();
  assert.deepEqual([open.size, recorded.map(({ kinds }) => kinds)], [1, [['train', 'update', 'embed']]]);
  preparations.begin(next('a'));
  await settled();
  assert.equal(recorded.length, 1, 'told once more it does nothing');
  preparations.begin(next('a', 'of data that have changed'));
  await settled();
  assert.deepEqual([open.size, recorded.length, recorded[0]!.signal.aborted], [1, 2, true]);
  recorded[1]!.end();
  await settled();
  assert.equal(open.size, 1, 'the data stays open');
  preparations.begin(next('b'));
  await settled();
  assert.deepEqual([open.size, recorded.length], [1, 3]);
  preparations.close();
  await settled();
  assert.deepEqual([open.size, recorded[2]!.signal.aborted], [0, true]);
});

test('what cannot be prepared leaves nothing open, and harms nobody', async () => {
  const { open, recorded, preparations } = surroundings();
  preparations.begin({ specJson: '{}' });
  await settled();
  preparations.begin(next('a'));
  await settled();
  recorded[0]!.end(new Error('no room'));
  await settled();
  assert.equal(open.size, 0);
  preparations.begin(next('b'));
  await settled();
  assert.equal(recorded.length, 2);
  preparations.assigned();
  preparations.close();
  await settled();
  assert.equal(open.size, 0);
});
