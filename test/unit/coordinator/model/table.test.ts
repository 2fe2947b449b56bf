import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { emptyTable, lookup, type Table, valuesOf, withEntry } from '../../../../coordinator/model/table.ts';

test('a table holds what a plain map holds, and an update leaves the table before it as it was', () => {
  // Few distinct keys, so that replacing happens as often as adding.
  const key = fc.oneof(
    fc.integer({ min: 0, max: 40 }).map((n) => `run-${n}`),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.integer())), (entries) => {
      let table: Table<number> = emptyTable();
      const plain = new Map<string, number>();
      for (const [k, v] of entries) {
        const before = table;
        const old = lookup(before, k);
        table = withEntry(table, k, v);
        plain.set(k, v);
        assert.equal(lookup(before, k), old);
        assert.equal(lookup(table, k), v);
      }
      assert.equal(table.size, plain.size);
      for (const [k, v] of plain) assert.equal(lookup(table, k), v);
      const sorted = (values: Iterable<number>) => [...values].sort((a, b) => a - b);
      assert.deepEqual(sorted(valuesOf(table)), sorted(plain.values()));
      assert.equal(lookup(table, 'never'), plain.get('never'));
    }),
  );
});

test('100,000 entries go in within seconds and all come out', () => {
  let table: Table<number> = emptyTable();
  for (let i = 0; i < 100_000; i++) table = withEntry(table, `trial-${i}`, i);
  assert.equal(table.size, 100_000);
  for (let i = 0; i < 100_000; i++) assert.equal(lookup(table, `trial-${i}`), i);
});
