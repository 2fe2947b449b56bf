import assert from 'node:assert/strict';
import test from 'node:test';
import { CHANGE_INTERVAL_MS } from '../../../../coordinator/scheduling/board.ts';
import { requirementNote } from '../../../../coordinator/scheduling/requirement.ts';
import { loadConfig, workerConfigSchema, workerLabels } from '../../../../core/config.ts';
import { runSchema } from '../../../../core/spec/run.ts';
import { plan, sweep, teacher } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';

const one = { min: 1, max: 1 };
const a100 = { labels: { gpu: 'a100' }, device: { name: 'a100', memoryBytes: 42.5e9 } };
const h200 = { labels: { gpu: 'h200', zone: 'b' }, device: { name: 'h200', memoryBytes: 150e9 } };
const plain = {};

test('a run gets only workers with its labels, its memory and its kind of device, also when it grows', () => {
  const { submit, gang, pass } = handFleet(plain, a100, a100, h200);
  const of = (require: object, workers: object = one) => submit(teacher({ workers, require }));
  const labelled = of({ labels: { gpu: 'a100' } }, { min: 1, max: 4 });
  pass(CHANGE_INTERVAL_MS);
  assert.deepEqual([...gang(labelled)].sort(), ['w2', 'w3']);
  assert.deepEqual(gang(of({ memoryMin: 80 })), ['w4']);
  assert.deepEqual(gang(of({ deviceKind: 'cpu' })), ['w1']);
});

test('an exact gang takes workers of one class across what tells them apart otherwise', () => {
  const { submit, gang } = handFleet(plain, a100, h200);
  assert.equal(gang(submit(teacher({ workers: { min: 3, max: 3 } }))).length, 3);
});

test('surplus is taken back for a run only where it is what the run requires', () => {
  const { submit, gang, pass } = handFleet(plain, a100, h200);
  const elastic = submit(teacher({ workers: { min: 1, max: 3 } }));
  pass(CHANGE_INTERVAL_MS);
  const big = submit(teacher({ workers: one, require: { memoryMin: 80 } }));
  assert.deepEqual([gang(elastic).includes('w3'), gang(big)], [false, ['w3']]);
});

test('what no worker has is a note at the submit and the reason of the wait, and ends when one comes', () => {
  const { submit, gang, reason, kind, state, attach } = handFleet(plain, a100);
  const require = { labels: { gpu: 'h200' }, memoryMin: 100, deviceKind: 'cpu' as const };
  assert.equal(
    requirementNote(state(), 'big', require),
    'big: no worker of this fleet has what it requires (label gpu=h200, 100 GB of memory, device kind cpu); it waits until one comes',
  );
  const id = submit(teacher({ workers: one, require }));
  assert.equal(
    reason(id),
    'queued: 0 of 1 workers: 2 without what it requires (label gpu=h200, 100 GB of memory, device kind cpu)',
  );
  assert.equal(kind(id), 'model_mismatch');
  attach(h200);
  assert.deepEqual(gang(id), ['w3']);
  assert.equal(requirementNote(state(), 'big', require), undefined);
});

test('candidates of a sweep and runs of a plan have what their part requires', () => {
  const { submit, held } = handFleet(plain, a100);
  submit(sweep({ require: { labels: { gpu: 'a100' } }, parallelism: 1 }));
  assert.deepEqual([held('w1').length, held('w2').length], [0, 1]);
  const search = { ...plan().search, require: { memoryMin: 40 } };
  const { submit: again, held: holds } = handFleet(plain, a100);
  again(plan({ search }));
  assert.deepEqual([holds('w1').length, holds('w2').length > 0], [0, true]);
});

test('an unknown field, an unknown kind of device and a label that is none are refused with the place', () => {
  for (const [require, place] of [
    [{ gpu: 'a100' }, 'require'],
    [{ deviceKind: 'tpu' }, 'require.deviceKind'],
    [{ memoryMin: 0 }, 'require.memoryMin'],
    [{ labels: { gpu: '' } }, 'require.labels.gpu'],
  ] as const) {
    const { error } = runSchema.safeParse({ ...teacher(), require });
    assert.deepEqual(
      error?.issues.map(({ path }) => path.join('.')),
      [place],
    );
  }
});

test('a worker is labelled by its configuration', () => {
  const of = (labels: string) =>
    workerLabels(loadConfig(workerConfigSchema, ['--id', 'w', '--labels', labels], {}));
  assert.deepEqual(of('gpu=a100,zone=b'), { gpu: 'a100', zone: 'b' });
  for (const wrong of ['gpu', 'gpu=', 'gpu=a,', '=a'])
    assert.throws(() => of(wrong), /labels: .*name=value pairs/);
});
