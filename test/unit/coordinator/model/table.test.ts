// Tables and maps of the state against plain ones: what they hold, what an edit may change, what differs.

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  emptyMap,
  entriesOf,
  lookup,
  mapChanges,
  withEntry,
  withoutEntry,
} from '../../../../coordinator/model/persistent-map.ts';
import {
  changesBetween,
  Edit,
  emptyTable,
  PAGE_ROWS,
  pagesOf,
  rowAt,
  rowsOf,
  withoutRow,
  withPage,
  withRow,
} from '../../../../coordinator/model/table.ts';
import { createLazyHeap } from '../../../../coordinator/scheduling/lazy-heap.ts';

/** Numbers from 0 to `below`, always the same ones. */
function* numbers(below: number): Generator<number> {
  for (let n = 1; ; n = (Math.imul(n, 1103515245) + 12345) >>> 0) yield (n >>> 8) % below;
}

test('a table holds what was put last, in order, and knows what differs from any earlier one', () => {
  const next = numbers(5_000);
  let table = emptyTable<number>();
  const plain = new Map<number, number>();
  const kept: { table: typeof table; plain: Map<number, number> }[] = [];
  for (let step = 0; step < 6_000; step++) {
    const number = next.next().value as number;
    // Under one edit for some steps, as a decision has it; none was handed out in between.
    const edit = new Edit();
    for (let i = 0; i < 3; i++) {
      if ((number + i) % 4 === 0) {
        table = withoutRow(table, number + i, edit);
        plain.delete(number + i);
      } else {
        table = withRow(table, number + i, step, edit);
        plain.set(number + i, step);
      }
    }
    if (step % 1_000 === 0) kept.push({ table, plain: new Map(plain) });
  }
  kept.push({ table, plain });
  for (const one of kept) {
    assert.equal(one.table.size, one.plain.size);
    assert.deepEqual(
      [...rowsOf(one.table)],
      [...one.plain].sort(([a], [b]) => a - b),
    );
    for (const other of kept) {
      const changes = [...changesBetween(one.table, other.table)];
      const all = new Set([...one.plain.keys(), ...other.plain.keys()]);
      const expected = [...all]
        .sort((a, b) => a - b)
        .filter((number) => one.plain.get(number) !== other.plain.get(number))
        .map((number) => [number, one.plain.get(number), other.plain.get(number)]);
      assert.deepEqual(changes, expected);
    }
  }
  assert.equal(rowAt(table, 1_000_000), undefined);
});

test('a table of pages is the table of their rows, whatever is changed before they are looked at', () => {
  const next = numbers(3 * PAGE_ROWS);
  for (let round = 0; round < 20; round++) {
    const plain = new Map<number, number>();
    let table = emptyTable<number>();
    let loads = 0;
    // The second page has a gap, and the one behind it no row at all.
    for (const first of [0, PAGE_ROWS, 3 * PAGE_ROWS, 40 * PAGE_ROWS]) {
      const length = first === PAGE_ROWS ? 100 : PAGE_ROWS - 1;
      const rows = Array.from({ length }, (_, i): [number, number] => [first + i + 1, i]);
      for (const [number, row] of rows) plain.set(number, row);
      const load = () => {
        loads += 1;
        return rows;
      };
      table = withPage(table, { first, count: rows.length, load, stored: Uint8Array.of(first / PAGE_ROWS) });
    }
    assert.deepEqual([table.size, loads], [plain.size, 0]);
    const untouched = [...pagesOf(table)];
    assert.ok(untouched.every((page) => 'stored' in page) && untouched.length === 4);
    const before = { table, plain: new Map(plain) };
    const edit = new Edit();
    for (let step = 0; step < 2 * round; step++) {
      const number = next.next().value as number;
      if (step % 3 === 0) {
        table = withoutRow(table, number, edit);
        plain.delete(number);
      } else {
        table = withRow(table, number, -step, edit);
        plain.set(number, -step);
      }
    }
    // The last page was far from all that.
    const last = [...pagesOf(table)].at(-1)!;
    assert.deepEqual('stored' in last && last.stored, Uint8Array.of(40));
    const rows = [...pagesOf(table)].flatMap((page) => ('rows' in page ? page.rows : []));
    assert.deepEqual(
      rows,
      [...rowsOf(table)].filter(([number]) => rows.some(([one]) => one === number)),
    );
    for (const one of [before, { table, plain }]) {
      assert.equal(one.table.size, one.plain.size);
      assert.deepEqual(
        [...rowsOf(one.table)],
        [...one.plain].sort(([a], [b]) => a - b),
      );
    }
    const changed = changesBetween(before.table, table).map(([number]) => number);
    const expected = [...new Set([...before.plain.keys(), ...plain.keys()])]
      .filter((number) => before.plain.get(number) !== plain.get(number))
      .sort((a, b) => a - b);
    assert.deepEqual(changed, expected);
    assert.ok(loads <= 4, `${loads} pages were made`);
  }
});

test('a map does the same, also with keys of one hash', () => {
  const next = numbers(800);
  let map = emptyMap<number>();
  const plain = new Map<string, number>();
  let before = { map, plain: new Map(plain) };
  for (let step = 0; step < 5_000; step++) {
    const key = `worker-${next.next().value}`;
    const edit = new Edit();
    if (step % 3 === 0) {
      map = withoutEntry(map, key, edit);
      plain.delete(key);
    } else {
      map = withEntry(map, key, step, edit);
      plain.set(key, step);
    }
    if (step % 500 !== 0) continue;
    const changes = [...mapChanges(before.map, map)].sort(([a], [b]) => (a < b ? -1 : 1));
    const all = [...new Set([...before.plain.keys(), ...plain.keys()])].sort();
    const expected = all
      .filter((one) => before.plain.get(one) !== plain.get(one))
      .map((one) => [one, before.plain.get(one), plain.get(one)]);
    assert.deepEqual(changes, expected);
    before = { map, plain: new Map(plain) };
  }
  assert.equal(map.size, plain.size);
  assert.deepEqual(new Map(entriesOf(map)), plain);
  for (const [key, value] of plain) assert.equal(lookup(map, key), value);
});

test('a lazy heap gives the first items in order, whatever was removed and put back', () => {
  const next = numbers(300);
  const heap = createLazyHeap<number>((a, b) => a < b);
  const plain = new Set<number>();
  for (let step = 0; step < 20_000; step++) {
    const number = next.next().value as number;
    if (step % 2 === 0) {
      heap.add(number);
      plain.add(number);
    } else {
      heap.delete(number);
      plain.delete(number);
    }
    if (step % 100 !== 0) continue;
    const sorted = [...plain].sort((a, b) => a - b);
    assert.equal(heap.first(), sorted[0]);
    assert.deepEqual(
      heap.firstOf(5, (one) => one % 3 !== 0),
      sorted.filter((one) => one % 3 !== 0).slice(0, 5),
    );
    assert.equal(heap.size, plain.size);
  }
});
