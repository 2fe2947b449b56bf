// What training scripts put around the names of a network comes off, in any order and depth, and nothing else does.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unwrapped } from '../../../core/model/tensor-names.ts';

const OWN = [
  'stem.0.weight',
  'cells.0.dag.0.0.net.1.weight',
  'cells.1.dag.0.0.net.1.weight',
  'tail.6.weight',
  'tail.7.bias',
];
const namesOf = (names: readonly string[]) => [
  ...unwrapped(new Map(names.map((name) => [name, name]))).keys(),
];

test('wrappers of every kind come off, however they are nested', () => {
  const wrappers = [
    'module.',
    '_orig_mod.',
    'backbone.',
    'model.',
    'net.',
    'student.',
    '_fsdp_wrapped_module.',
  ];
  for (const outer of ['', ...wrappers])
    for (const inner of wrappers)
      assert.deepEqual(namesOf(OWN.map((name) => `${outer}${inner}${name}`)), OWN, outer + inner);
  assert.deepEqual(namesOf(OWN.map((name) => `module._orig_mod.module.backbone.${name}`)), OWN);
  // A compiled part of a network.
  assert.deepEqual(namesOf(OWN.map((name) => name.replace('.', '._orig_mod.'))), OWN);
});

test('what stands beside a backbone is left out', () => {
  const lightning = [...OWN.map((name) => `model.backbone.${name}`), 'model.head.weight'];
  assert.deepEqual(namesOf(lightning), OWN);
});

test('names that are a network already, and names that would become equal, stay', () => {
  assert.deepEqual(namesOf(OWN), OWN);
  assert.deepEqual(namesOf(['fc.weight', 'fc.bias']), ['fc.weight', 'fc.bias']);
  assert.deepEqual(namesOf(['a._orig_mod.w', 'a.w']), ['a._orig_mod.w', 'a.w']);
  assert.deepEqual(namesOf([]), []);
});
