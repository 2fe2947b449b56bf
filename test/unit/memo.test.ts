import assert from 'node:assert/strict';
import test from 'node:test';
import { memo } from '../../core/memo.ts';

test('a result is made once for a key, as long as it is among those asked for last', () => {
  const made: number[] = [];
  const square = memo({
    most: 2,
    keyOf: (n: number) => String(n),
    make: (n) => {
      made.push(n);
      return n === 3 ? undefined : n * n;
    },
  });
  // 1 is asked for after 2, so 3 takes the place of 2. A result may be undefined.
  const results = [1, 2, 1, 3, 1, 3, 2].map(square);
  assert.deepEqual(results, [1, 4, 1, undefined, 1, undefined, 4]);
  assert.deepEqual(made, [1, 2, 3, 2]);
});
