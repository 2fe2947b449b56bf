// Which values of a state lie in which part of a checkpoint.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  emptyState,
  layoutOfState,
  parsedLayout,
  piecesOf,
  VALUE_PARTS,
} from '../../../core/checkpoint/checkpoint-layout.ts';
import { bytesOf, chunkCount, chunkRange, cutOut, putInto } from '../../../core/checkpoint/chunks.ts';
import type { StateVectors } from '../../../core/state-vectors.ts';

const values = (length: number, first: number) => Float32Array.from({ length }, (_, i) => first + i);

test('every value of a state lies in exactly one part, and comes back from chunks of any length to its place', () => {
  const sizes = fc.record({
    backbone: fc.nat(40),
    head: fc.nat(40),
    running: fc.nat(20),
    alphas: fc.nat(5),
    floatsOfChunk: fc.integer({ min: 1, max: 30 }),
  });
  fc.assert(
    fc.property(sizes, ({ backbone, head, running, alphas, floatsOfChunk }) => {
      const state: StateVectors = [
        { name: 'weights', values: values(backbone + head, 1_000) },
        { name: 'momentum', values: values(backbone + head, 2_000) },
        { name: 'running', values: values(running, 3_000) },
        { name: 'alphas', values: values(alphas, 4_000) },
        { name: 'adam_first', values: values(alphas, 5_000) },
      ];
      const layout = parsedLayout(JSON.stringify(layoutOfState(state, backbone)), 'the test');
      const read = emptyState(layout);
      let total = 0;
      for (const part of VALUE_PARTS) {
        const [from, to] = [piecesOf(layout[part], state), piecesOf(layout[part], read)];
        const cut = { bytes: bytesOf(from), chunkBytes: floatsOfChunk * 4 };
        total += cut.bytes;
        for (let chunk = 0; chunk < chunkCount(cut); chunk++) {
          const range = chunkRange(cut, chunk);
          putInto(to, range.offset, cutOut(from, range));
        }
      }
      assert.deepEqual(read, state);
      assert.equal(
        total,
        state.reduce((sum, vector) => sum + vector.values.byteLength, 0),
      );
    }),
  );
});

test('the optimiser and the head are parts of their own, and an unknown vector stays with the backbone', () => {
  const state = ['weights', 'momentum', 'running', 'outer_momentum', 'unheard_of'].map((name) => ({
    name,
    values: new Float32Array(10),
  }));
  assert.deepEqual(layoutOfState(state, 7), {
    vectors: ['weights', 'momentum', 'running', 'outer_momentum', 'unheard_of'],
    backbone: [
      ['weights', 0, 7],
      ['running', 0, 10],
      ['unheard_of', 0, 10],
    ],
    optimizer: [
      ['momentum', 0, 10],
      ['outer_momentum', 0, 10],
    ],
    head: [['weights', 7, 3]],
  });
  assert.throws(() => layoutOfState(state, 11), /a backbone of 11 in 10 weights/);
  assert.throws(
    () => layoutOfState([state[0]!, { name: 'momentum', values: new Float32Array(2) }], 7),
    /10 weights have 2 momenta/,
  );
});

test('a layout with a gap, an overlap, an unknown vector or none at all is dataLoss that says which', () => {
  const lost = (layout: unknown, message: RegExp) =>
    assert.throws(() => parsedLayout(layout as string, 'the metadata of x'), { code: 'dataLoss', message });
  const text = (backbone: unknown, head: unknown) =>
    JSON.stringify({ vectors: ['weights'], backbone, optimizer: [], head });
  lost(undefined, /^the metadata of x carry no layout of the state$/);
  lost(text([['weights', 0, 3]], [['weights', 4, 1]]), /a gap in weights$/);
  lost(text([['weights', 0, 3]], [['weights', 2, 1]]), /a gap in weights$/);
  lost(text([['weights', 0, 3]], [['other', 0, 1]]), /has values of other, which is no vector of it$/);
  lost(text([['weights', 0, -3]], []), /backbone/);
});
