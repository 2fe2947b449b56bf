// Transfers of vectors: pieces, the window of requests, verdicts on what comes, and the end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  checkedContents,
  isTransferComplete,
  type Piece,
  piecesOf,
  piecesToAsk,
  TRANSFER_WINDOW,
  transferEnd,
  verdictOnPiece,
} from '../../../core/allreduce/transfer-pieces.ts';
import { FleetError } from '../../../core/errors.ts';

const LARGEST = 1023 * 256;

test('pieces cover every vector once, in order, and none spans two', () => {
  const length = fc.oneof(
    fc.nat(3 * LARGEST),
    fc.constantFrom(0, 1, LARGEST - 1, LARGEST, LARGEST + 1, 2 * LARGEST),
  );
  fc.assert(
    fc.property(fc.array(length, { maxLength: 5 }), (lengths) => {
      const ends = lengths.map(() => 0);
      for (const { part, offset, count } of piecesOf(lengths)) {
        assert.equal(offset, ends[part]);
        assert.ok(count > 0 && count <= LARGEST);
        ends[part]! += count;
      }
      assert.deepEqual(ends, lengths);
    }),
  );
});

test('every piece is asked for once, in order, with a window under way at most, in whatever order they come', () => {
  fc.assert(
    fc.property(fc.nat(40), fc.infiniteStream(fc.nat()), (count, chance) => {
      const pieces: Piece[] = Array.from({ length: count }, (_, part) => ({ part, offset: 0, count: 1 }));
      const underWay = new Set<number>();
      const asked: number[] = [];
      let requests = 0;
      for (;;) {
        const progress = { pieces, underWay, next: asked.length };
        const more = piecesToAsk(progress);
        if (more.length > 0) requests++;
        for (const chunk of more) {
          asked.push(chunk);
          underWay.add(chunk);
        }
        assert.ok(underWay.size <= TRANSFER_WINDOW);
        if (isTransferComplete({ ...progress, next: asked.length })) break;
        const waiting = [...underWay];
        underWay.delete(waiting[chance.next().value % waiting.length]!);
      }
      assert.deepEqual(
        asked,
        pieces.map((_, i) => i),
      );
      assert.ok(requests <= Math.ceil(count / (TRANSFER_WINDOW / 2)), 'a request is for half a window');
    }),
  );
});

test('a piece is wanted while it is under way, and wrong when it is not what its number names', () => {
  const progress = { pieces: piecesOf([LARGEST + 5]), underWay: new Set([1]), next: 2 };
  const second = { chunk: 1, offset: LARGEST, count: 5, bytes: 20 };
  assert.equal(verdictOnPiece(progress, second), 'wanted');
  assert.equal(verdictOnPiece(progress, { ...second, chunk: 0 }), 'unwanted');
  assert.equal(verdictOnPiece(progress, { ...second, chunk: 9 }), 'unwanted');
  for (const wrong of [{ offset: 0 }, { count: 4 }, { bytes: 19 }])
    assert.equal(verdictOnPiece(progress, { ...second, ...wrong }), 'wrong');
});

test('a transfer with a wrong digest is tried again twice, and is lost then with the first part that is wrong', () => {
  const contents = { lengths: [1, 1], digests: ['a', 'b'] };
  assert.deepEqual(
    transferEnd(contents, (part) => contents.digests[part]!, 1),
    { kind: 'right' },
  );
  const end = (tries: number) => transferEnd(contents, (part) => (part === 0 ? 'a' : 'x'), tries);
  assert.deepEqual([1, 2, 3].map(end), [{ kind: 'again' }, { kind: 'again' }, { kind: 'lost', part: 1 }]);
});

const BOUND = { parts: 16, elements: 5 };

test('contents are lengths within the bound and as many digests', () => {
  const good = { lengths: [0, 5], digests: ['a', 'b'] };
  assert.deepEqual(checkedContents(good, BOUND), good);
  const bad = [
    undefined,
    {},
    { ...good, lengths: [1] },
    { ...good, lengths: [1, -1] },
    { ...good, lengths: [1, 6] },
    { ...good, lengths: [1, 1.5] },
    { ...good, digests: ['a', 1] },
    { lengths: new Array(17).fill(1), digests: new Array(17).fill('a') },
  ];
  for (const value of bad)
    assert.throws(
      () => checkedContents(value, BOUND),
      (error) => error instanceof FleetError && error.code === 'invalidArgument',
    );
});
