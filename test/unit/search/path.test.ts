// The random paths of a single-path one-shot search: what they are drawn from, and how evenly.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathAlphas, pathOf } from '../../../core/search/path.ts';
import { OPS } from '../../../core/spec/network.ts';

const STEPS = 4000;

test('over many steps each edge is kept as often as every other of its node, and has each operation as often', () => {
  const edges = new Map<string, number>();
  const ops = new Map<string, number>();
  for (let step = 0; step < STEPS; step++)
    for (const kind of ['normal', 'reduce'] as const)
      pathOf(3, step)[kind].forEach((pair, node) => {
        assert.notEqual(pair[0][1], pair[1][1], 'the inputs of a node differ');
        for (const [op, input] of pair) {
          const edge = `${kind}/${node}/${input}`;
          edges.set(edge, (edges.get(edge) ?? 0) + 1);
          ops.set(op, (ops.get(op) ?? 0) + 1);
        }
      });
  // 2 cells with 2 + 3 + 4 + 5 edges, of which a node with n + 2 has two.
  assert.equal(edges.size, 28);
  for (const [edge, count] of edges) {
    const share = 2 / (Number(edge.split('/')[1]) + 2);
    // Five standard deviations of a count of independent draws.
    const spread = 5 * Math.sqrt(STEPS * share * (1 - share));
    assert.ok(Math.abs(count - STEPS * share) <= spread, `${edge}: ${count}`);
  }
  assert.equal(ops.size, OPS.length - 1, 'each operation but none');
  const drawn = STEPS * 16;
  const each = 1 / (OPS.length - 1);
  for (const [op, count] of ops)
    assert.ok(Math.abs(count - drawn * each) <= 5 * Math.sqrt(drawn * each * (1 - each)), `${op}: ${count}`);
});

test('a path follows from seed and step alone', () => {
  assert.deepEqual(pathAlphas(3, 7), pathAlphas(3, 7));
  assert.notDeepEqual(pathAlphas(3, 7), pathAlphas(3, 8));
  assert.notDeepEqual(pathAlphas(3, 7), pathAlphas(4, 7));
});
