// Numbers by text: as a Map has them, whatever the texts and however many.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KeyNumbers } from '../../../../coordinator/model/key-numbers.ts';
import { hashOf } from '../../../../coordinator/model/persistent-map.ts';
import { sha256Hex } from '../../../../core/digest.ts';

function assertSame(numbers: KeyNumbers, map: ReadonlyMap<string, number>): void {
  assert.equal(numbers.size, map.size);
  assert.deepEqual([...numbers], [...map]);
  for (const [key, number] of map) assert.equal(numbers.get(key), number, key);
}

test('entries come and change as in a Map, and what never came is not there', () => {
  const entry = fc.tuple(fc.string({ maxLength: 2 }), fc.integer({ min: -9, max: 9 }));
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 200 }), fc.string({ maxLength: 2 }), (entries, other) => {
      const [numbers, map] = [new KeyNumbers(), new Map<string, number>()];
      for (const [key, number] of entries) {
        numbers.set(key, number);
        map.set(key, number);
        assert.equal(numbers.get(key), number);
      }
      assertSame(numbers, map);
      assert.equal(numbers.get(other), map.get(other));
    }),
  );
});

test('texts of one hash are told apart, before and after the table grows', () => {
  const firstOf = new Map<number, string>();
  const pairs: [string, string][] = [];
  // Among 200,000 texts and 2^32 hashes some five pairs are expected.
  for (let i = 0; i < 200_000; i++) {
    const text = sha256Hex(String(i)).slice(0, 16);
    const first = firstOf.get(hashOf(text));
    if (first === undefined) firstOf.set(hashOf(text), text);
    else pairs.push([first, text]);
  }
  assert.ok(pairs.length > 0);
  const [numbers, map] = [new KeyNumbers(), new Map<string, number>()];
  const put = (key: string, number: number) => {
    numbers.set(key, number);
    map.set(key, number);
  };
  for (const [i, [one, other]] of pairs.entries()) {
    put(one, i);
    assert.equal(numbers.get(other), undefined);
    put(other, -i);
  }
  for (let i = 0; i < 5_000; i++) put(`other ${i}`, i);
  assertSame(numbers, map);
});
