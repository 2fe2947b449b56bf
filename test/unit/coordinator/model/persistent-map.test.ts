import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  emptyMap,
  lookup,
  type PersistentMap,
  valuesOf,
  withEntry,
} from '../../../../coordinator/model/persistent-map.ts';

test('a persistent map holds what a plain map holds, and an update leaves the map before it as it was', () => {
  // Few distinct keys, so that replacing happens as often as adding.
  const key = fc.oneof(
    fc.integer({ min: 0, max: 40 }).map((n) => `run-${n}`),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.integer())), (entries) => {
      let map: PersistentMap<number> = emptyMap();
      const plain = new Map<string, number>();
      for (const [k, v] of entries) {
        const before = map;
        const old = lookup(before, k);
        map = withEntry(map, k, v);
        plain.set(k, v);
        assert.equal(lookup(before, k), old);
        assert.equal(lookup(map, k), v);
      }
      assert.equal(map.size, plain.size);
      for (const [k, v] of plain) assert.equal(lookup(map, k), v);
      const sorted = (values: Iterable<number>) => [...values].sort((a, b) => a - b);
      assert.deepEqual(sorted(valuesOf(map)), sorted(plain.values()));
      assert.equal(lookup(map, 'never'), plain.get('never'));
    }),
  );
});

test('100,000 entries go in within seconds and all come out', () => {
  let map: PersistentMap<number> = emptyMap();
  for (let i = 0; i < 100_000; i++) map = withEntry(map, `trial-${i}`, i);
  assert.equal(map.size, 100_000);
  for (let i = 0; i < 100_000; i++) assert.equal(lookup(map, `trial-${i}`), i);
});
