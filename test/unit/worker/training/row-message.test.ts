import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeRows, encodeRows, rowMessageBytes } from '../../../../worker/training/row-message.ts';

const SIZE = { images: 5, flips: 2, embedding: 3 } as const;
const ROWS = [
  { image: 4, isMirrored: true, values: Float32Array.of(0.1, -0, Number.NaN) },
  { image: 0, isMirrored: false, values: Float32Array.of(1, 2, 3) },
];

test('rows come back as they were told, wherever their message lies', () => {
  const bytes = encodeRows(ROWS, SIZE);
  assert.equal(bytes.byteLength, rowMessageBytes(2, SIZE));
  const moved = new Uint8Array(bytes.length + 1);
  moved.set(bytes, 1);
  assert.deepEqual(decodeRows(moved.subarray(1), SIZE), ROWS);
  const plain = { ...SIZE, flips: 1 } as const;
  const row = { image: 3, isMirrored: false, values: Float32Array.of(7, 8, 9) };
  assert.deepEqual(decodeRows(encodeRows([row], plain), plain), [row]);
});

test('a changed bit, another length and an image that is not there are found', () => {
  const bytes = encodeRows(ROWS, SIZE);
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const changed = bytes.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(decodeRows(changed, SIZE), 'their bytes do not have their digest', `bit ${bit}`);
  }
  for (const length of [0, 8, 9, bytes.length - 4, bytes.length - 1])
    assert.equal(decodeRows(bytes.subarray(0, length), SIZE), `they have ${length} bytes`);
  const beyond = encodeRows([{ ...ROWS[0]!, image: 5 }], SIZE);
  assert.equal(decodeRows(beyond, SIZE), 'row 11 of 10');
});
