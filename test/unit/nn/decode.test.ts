import assert from 'node:assert/strict';
import test from 'node:test';
import { type CellAlphas, decodeAlphas } from '../../../core/nn/decode.ts';

const row = (values: Partial<Record<number, number>>): number[] =>
  Array.from({ length: 8 }, (_, i) => values[i] ?? 0);
const cell = (first: number[][]): CellAlphas => [
  first,
  ...[3, 4, 5].map((edges) => Array.from({ length: edges }, (_, input) => row({ 3: 1 - input / 10 }))),
];

test('none never wins an edge, and the best edge is listed first', () => {
  const alphas = cell([row({ 2: 0.5, 7: 9 }), row({ 4: 0.7 })]);
  const { normal } = decodeAlphas({ normal: alphas, reduce: alphas }, 'raw');
  assert.deepEqual(normal[0], [
    ['dw_conv_5x5', 1],
    ['skip_connect', 0],
  ]);
  assert.deepEqual(normal[3], [
    ['dw_conv_3x3', 0],
    ['dw_conv_3x3', 1],
  ]);
});

test('an edge dominated by none ranks high by raw alpha and low by softmax weight', () => {
  const alphas: CellAlphas = [
    [row({ 3: 1 }), row({ 3: 0.9 })],
    [row({ 5: 2, 7: 8 }), row({ 3: 1 }), row({ 4: 1.1 })],
    ...[4, 5].map((edges) => Array.from({ length: edges }, () => row({ 3: 1 }))),
  ];
  const inputs = (rule: 'raw' | 'softmax') =>
    decodeAlphas({ normal: alphas, reduce: alphas }, rule).normal[1].map(([, input]) => input);
  assert.deepEqual(inputs('raw'), [0, 2]);
  assert.deepEqual(inputs('softmax'), [2, 1]);
});

test('alphas of the wrong shape are refused with the node', () => {
  const alphas = cell([row({}), row({})]);
  assert.throws(
    () => decodeAlphas({ normal: alphas, reduce: alphas.slice(1) }, 'raw'),
    /cell have 3 nodes, 4 expected/,
  );
  assert.throws(
    () => decodeAlphas({ normal: cell([row({})]), reduce: alphas }, 'raw'),
    /node 0 have 1 edges, 2 expected/,
  );
});

/** A normal cell whose kept edges are skips of falling strength, with a second best op each. */
const skippy: CellAlphas = [2, 3, 4, 5].map((edges, node) =>
  Array.from({ length: edges }, (_, input) =>
    row(input < 2 ? { 2: 0.9 - node / 10 - input / 100, 5: 0.3 + input / 10, 4: 0.2 } : { 3: 0.05 }),
  ),
);

const opsOf = (skipsMax?: number) =>
  decodeAlphas({ normal: skippy, reduce: skippy }, 'raw', { skipsMax }).normal.flat();
const skips = (edges: readonly (readonly [string, number])[]) =>
  edges.filter(([op]) => op === 'skip_connect').length;

test('the weakest skips give way to the next best op of their edge, down to the number allowed', () => {
  assert.equal(skips(opsOf()), 8);
  assert.deepEqual(opsOf(8), opsOf());
  for (let skipsMax = 0; skipsMax < 8; skipsMax++) assert.equal(skips(opsOf(skipsMax)), skipsMax);
  // The weakest is edge 1 of the last node, whose next best op is the 7x7.
  assert.deepEqual(opsOf(7), [...opsOf().slice(0, 7), ['dw_conv_7x7', 1]]);
  // Both edges of the last node: the second has the better op now and comes first.
  assert.deepEqual(opsOf(6).slice(6), [
    ['dw_conv_7x7', 1],
    ['dw_conv_7x7', 0],
  ]);
});

test('skips of the reduction cell are not limited, and edges stay the same ones', () => {
  const { normal, reduce } = decodeAlphas({ normal: skippy, reduce: skippy }, 'softmax', { skipsMax: 0 });
  assert.equal(skips(reduce.flat()), 8);
  const inputs = (cell: typeof normal) => cell.map((pair) => pair.map(([, input]) => input).sort());
  assert.deepEqual(inputs(normal), inputs(reduce));
});
