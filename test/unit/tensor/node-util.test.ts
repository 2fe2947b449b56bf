import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { restoreUtil } from '../../../core/tensor/node-util.ts';
import { tf } from '../../../core/tensor/tf.ts';

const require = createRequire(import.meta.url);

test('what newer releases of Node lack or warn of is replaced, and nothing else', () => {
  const warning = (): never => assert.fail('a warning of Node');
  const format = (): string => '';
  const util: Record<string, unknown> = { isArray: warning, format };
  restoreUtil(util);
  const { isNullOrUndefined, isArray, isString } = util as Record<string, (value: unknown) => boolean>;
  for (const [value, ...expected] of [
    [null, true, false, false],
    [undefined, true, false, false],
    [0, false, false, false],
    ['', false, false, true],
    [[], false, true, false],
  ] as const)
    assert.deepEqual([isNullOrUndefined!(value), isArray!(value), isString!(value)], expected);
  assert.deepEqual(Object.keys(util).sort(), ['format', 'isArray', 'isNullOrUndefined', 'isString']);
  assert.equal(util.format, format);
});

test('every function of node:util that TensorFlow.js for Node calls is there once it is loaded', () => {
  const util = require('node:util') as Record<string, unknown>;
  const home = join(dirname(require.resolve('@tensorflow/tfjs-node-gpu/package.json')), 'dist');
  const called = new Set<string>();
  for (const name of readdirSync(home, { recursive: true }).map(String)) {
    if (!name.endsWith('.js') || name.endsWith('_test.js')) continue;
    const source = readFileSync(join(home, name), 'utf8');
    const [, variable] = /var (util_\d+) = require\("util"\)/.exec(source) ?? [];
    if (variable === undefined) continue;
    for (const [, name] of source.matchAll(new RegExp(`\\b${variable}\\.(\\w+)`, 'g'))) called.add(name!);
  }
  assert.ok(called.has('isNullOrUndefined'), [...called].join());
  for (const name of called) assert.equal(typeof util[name], 'function', `util.${name}`);
  // topk asks isNullOrUndefined of each of its arguments.
  assert.deepEqual([...tf.topk(tf.tensor1d([1, 3, 2]), 2).values.dataSync()], [3, 2]);
});
