// Which files a pattern means, in which order, and which one a series lacks.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seriesOf, seriesPattern } from '../../../core/model/file-series.ts';

const series = (pattern: string, names: readonly string[]) =>
  seriesOf(pattern, seriesPattern(pattern)!, names);

test('files are ordered by number, and what is not of the pattern is left out', () => {
  const names = [
    '22744backbone.pth',
    '34116backbone.pth',
    '11372backbone.pth',
    '11372header.pth',
    'notes.txt',
  ];
  assert.deepEqual(series('iresnet/*backbone.pth', names), [names[2], names[0], names[1]]);
  assert.deepEqual(series('*.pth', ['r50-10.pth', 'r50-5.pth']), ['r50-5.pth', 'r50-10.pth']);
  assert.deepEqual(series('e*.pth', ['e0.pth', 'e1.pth']), ['e0.pth', 'e1.pth'], 'numbers may begin with 0');
  assert.deepEqual(seriesPattern('/data/e*.pth'), { folder: '/data', before: 'e', after: '.pth' });
  assert.equal(seriesPattern('last.pth'), undefined);
});

test('a gap is named by the files that are missing; what has no order is refused', () => {
  const gap =
    (...names: string[]) =>
    () =>
      series('*.pth', names);
  assert.throws(
    gap('11372.pth', '22744.pth', '45488.pth'),
    /^.*34116\.pth is missing in the series of \*\.pth/,
  );
  assert.throws(gap('22744.pth', '34116.pth', '45488.pth'), /11372\.pth is missing/);
  assert.throws(gap('e01.pth', 'e02.pth', 'e05.pth'), /e03\.pth, e04\.pth are missing/);
  assert.throws(
    gap('e1.pth', 'e9.pth', 'e10.pth'),
    /e2\.pth, e3\.pth, e4\.pth, e5\.pth, e6\.pth and more are missing/,
  );
  assert.throws(
    gap('4.pth', '8.pth', '14.pth'),
    /not evenly spaced: 8\.pth and 14\.pth lie 6 apart, others 4/,
  );
  assert.throws(gap('1.pth', 'best.pth'), /best\.pth has no number in place of the \*/);
  assert.throws(gap('e01.pth', 'e1.pth'), /e01\.pth and e1\.pth have one number/);
  // The last fifteen digits would have the other order.
  assert.throws(
    gap('99999999999999999999.pth', '100000000000000000000.pth'),
    /the number 99999999999999999999 of .* is too large to be ordered by/,
  );
  assert.throws(
    gap('epoch-1-top-20.pth', 'epoch-2-top-10.pth'),
    /epoch-2-top-10\.pth and epoch-1-top-20\.pth have several numbers, which order them differently/,
  );
  assert.deepEqual(series('*.pth', ['part2-30.pth', 'part1-10.pth', 'part1-20.pth']), [
    'part1-10.pth',
    'part1-20.pth',
    'part2-30.pth',
  ]);
  assert.throws(gap('x.txt'), /\*\.pth names no file/);
  assert.throws(() => seriesPattern('*/e*.pth'), /a \* that is not the only one of the file's name/);
});
