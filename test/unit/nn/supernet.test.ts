// The search network's counts against the published ones, and the order of its alphas. Its numbers are
// checked against a fixture in test/golden.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeAlphas } from '../../../core/nn/decode.ts';
import { describe } from '../../../core/nn/describe.ts';
import { layoutOf } from '../../../core/nn/layout.ts';
import { ALPHA_COUNT, alphasOf, buildSupernet, initialAlphas } from '../../../core/nn/supernet.ts';
import { OPS } from '../../../core/spec/network.ts';

const published = (classes: number) => buildSupernet({ kind: 'supernet', channels: 16, layers: 8, classes });

test('the search network of the paper has 4,156,316 weights for 10,572 classes and 387 more for three more', () => {
  // Reference facts 1.9.
  assert.equal(describe(published(10_572)).parameters, 4_156_316);
  assert.equal(describe(published(10_575)).parameters, 4_156_703);
});

test('its stem, cells, head and classifier have the published weights each', () => {
  const { modules } = describe(published(10_572));
  assert.deepEqual(
    modules.map(({ parameters }) => parameters),
    // Stem, eight cells, head, linear layer.
    [1_392, 35_776, 36_064, 110_080, 103_360, 105_472, 359_424, 333_696, 1_275_904, 431_360, 1_363_788],
  );
});

test('one forward pass of it takes 706.995 million multiply-adds before the classifier', () => {
  const { multiplyAdds, modules } = describe(published(10_572));
  // The published figure leaves the linear layer out: 128 x 10,572 more.
  assert.equal(modules.at(-1)?.multiplyAdds, 128 * 10_572);
  assert.equal(multiplyAdds - 128 * 10_572, 706_995_200);
});

test('its cells put out the published maps', () => {
  const { modules } = describe(published(10_572));
  assert.deepEqual(
    modules.slice(1, 9).map(({ output }) => output),
    ['64x56x56', '64x56x56', '128x28x28', '128x28x28', '128x28x28', '256x14x14', '256x14x14', '512x7x7'],
  );
});

test('the vector of weights is as long as the table says, without running statistics', () => {
  const layout = layoutOf(published(10_572));
  assert.equal(layout.parameterCount, 4_156_316);
  assert.equal(layout.backboneCount, layout.parameterCount);
});

test('the 224 first alphas are small, differ, and are the same for the same seed', () => {
  const alphas = initialAlphas(7);
  assert.equal(ALPHA_COUNT, 224);
  assert.equal(alphas.length, 224);
  assert.deepEqual(initialAlphas(7), alphas);
  assert.notDeepEqual(initialAlphas(8), alphas);
  const deviation = Math.sqrt(alphas.reduce((sum, value) => sum + value * value, 0) / alphas.length);
  // 0.001 give or take four standard errors of a deviation, 1 / sqrt(2 * 224).
  assert.ok(Math.abs(deviation / 0.001 - 1) < 4 / Math.sqrt(2 * 224), `deviation ${deviation}`);
});

test('flat alphas decode edge by edge: a raised alpha becomes the edge of its node', () => {
  const flat = new Float32Array(ALPHA_COUNT);
  const reduceNode2Input3 = 14 + 2 + 3 + 3; // 14 normal edges, nodes 0 and 1 of the reduction cell, inputs 0 to 2.
  flat[reduceNode2Input3 * OPS.length + OPS.indexOf('dw_conv_7x7')] = 5;
  const { reduce } = decodeAlphas(alphasOf(flat), 'raw');
  assert.deepEqual(reduce[2][0], ['dw_conv_7x7', 3]);
});

test('a search network with odd channels, three layers or one class is refused with the reason', () => {
  const base = { kind: 'supernet', channels: 4, layers: 4, classes: 5 } as const;
  assert.throws(() => buildSupernet({ ...base, channels: 5 }), /channels is 5.*even/);
  assert.throws(() => buildSupernet({ ...base, layers: 3 }), /layers is 3/);
  assert.throws(() => buildSupernet({ ...base, classes: 1 }), /classes is 1/);
});
