// Tables as people read and cut them, and what a list shows of itself on a terminal and elsewhere.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trialColumns } from '../../../../coordinator/cli/screen/columns.ts';
import { listLimit } from '../../../../coordinator/cli/screen/lists.ts';
import { type Column, table } from '../../../../coordinator/cli/screen/table.ts';
import { clip, displayWidth } from '../../../../core/report/format.ts';
import { trial } from '../messages.ts';

interface Row {
  readonly id: string;
  readonly name: string;
  readonly count: string;
  readonly why: string;
}
const COLUMNS: readonly Column<Row>[] = [
  { head: 'RUN', cell: (row) => row.id },
  { head: 'NAME', cell: (row) => row.name },
  { head: 'N', align: 'right', cell: (row) => row.count },
  { head: 'WHY', cell: (row) => row.why },
];
const row = (some: Partial<Row> = {}): Row => ({ id: 'run-1', name: 'a', count: '1', why: '', ...some });

test('columns line up, numbers to the right, and no line ends in spaces', () => {
  const lines = table([row({ count: '1,000' }), row({ id: 'run-12', name: 'teacher', why: 'x' })], COLUMNS);
  assert.deepEqual(lines.split('\n'), [
    'RUN     NAME         N  WHY',
    'run-1   a        1,000',
    'run-12  teacher      1  x',
  ]);
  assert.equal(table([], COLUMNS), 'RUN  NAME  N  WHY');
});

test('wide and combining characters line up as a terminal draws them', () => {
  const names = ['顔認識', 'e\u0301te\u0301', '👍 x', 'plain'];
  const lines = table(
    names.map((name) => row({ name, count: '7' })),
    COLUMNS,
  ).split('\n');
  const columnOf = (line: string) => displayWidth(line.slice(0, line.lastIndexOf('7')));
  assert.deepEqual([...new Set(lines.slice(1).map(columnOf))].length, 1, lines.join('\n'));
  assert.equal(clip('顔認識', 5), '顔認…');
  assert.equal(displayWidth(clip('👩‍👩‍👧👩‍👩‍👧', 3)), 3);
});

test('a row is one line whatever its texts hold, and what a terminal would obey is visible', () => {
  assert.equal(
    table([row({ why: 'first\nsecond\u001b[31m' })], COLUMNS).split('\n')[1],
    'run-1  a     1  first\\nsecond\\u001b[31m',
  );
});

test('on a terminal the widest texts give way, ids and numbers stay whole, and no line is too long', () => {
  const rows = [row({ id: 'run-123456', name: 'n'.repeat(60), count: '1,234,567', why: '日本'.repeat(60) })];
  for (const columns of [120, 80, 50, 30, 10]) {
    const lines = table(rows, COLUMNS, columns).split('\n');
    for (const line of lines) assert.ok(displayWidth(line) <= columns, `${columns}: ${line}`);
    if (columns >= 50) assert.match(lines[1]!, /^run-123456 .*… +1,234,567 .*…$/, `${columns}`);
  }
  assert.match(table(rows, COLUMNS).split('\n')[1]!, /日本$/, 'nothing is cut elsewhere');
});

test('time is linear: 20,000 candidates take less than the 15 s that 10,000 once took', () => {
  const rows = Array.from({ length: 20_000 }, (_, i) => trial({ number: i, id: `trial-${i}`, reason: 'ü' }));
  const before = process.cpuUsage();
  const text = table(rows, trialColumns({ objectives: [] }, rows));
  const { user, system } = process.cpuUsage(before);
  assert.equal(text.split('\n').length, 20_001);
  // 0.1 s alone on one core.
  assert.ok((user + system) / 1e6 < 4, `${(user + system) / 1e6} s`);
});

test('a list shows the newest 50 on a terminal, all elsewhere, and what it was asked for everywhere', () => {
  const cases = [
    [{}, true, 50],
    [{}, false, Number.POSITIVE_INFINITY],
    [{ all: true }, true, Number.POSITIVE_INFINITY],
    [{ json: true }, true, Number.POSITIVE_INFINITY],
    [{ limit: 7 }, true, 7],
    [{ limit: 7, json: true }, false, 7],
  ] as const;
  for (const [flags, isTerminal, expected] of cases) assert.equal(listLimit(flags, isTerminal), expected);
});
