import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeMessage,
  encodeFloats,
  encodeJson,
  encodeWords,
  floatsOf,
  HEADER_BYTES,
  type Header,
  hashOf,
  jsonOf,
  KINDS,
  wordsOf,
} from '../../../core/allreduce/message.ts';
import { FleetError } from '../../../core/errors.ts';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const headers: fc.Arbitrary<Header> = fc.record({
  kind: fc.constantFrom(...KINDS),
  generation: u32,
  runHash: u32,
  step: fc.oneof(fc.integer({ min: -1, max: 100 }), fc.maxSafeNat()),
  source: u16,
  ranks: u16,
  shardFirst: u32,
  shardCount: u32,
  chunk: u32,
  offset: u32,
  count: u32,
  digest: fc
    .tuple(u32, u32)
    .map(([a, b]) => a.toString(16).padStart(8, '0') + b.toString(16).padStart(8, '0')),
});
const base: Header = {
  kind: 'result',
  generation: 3,
  runHash: 7,
  step: 12,
  source: 1,
  ranks: 4,
  shardFirst: 0,
  shardCount: 0,
  chunk: 2,
  offset: 512,
  count: 3,
  digest: '0123456789abcdef',
};
const refuses = (work: () => unknown, pattern: RegExp): void =>
  assert.throws(
    work,
    (error) => error instanceof FleetError && error.code === 'invalidArgument' && pattern.test(error.message),
  );

test('every header and its words survive the wire', () => {
  fc.assert(
    fc.property(headers, fc.array(u32, { maxLength: 20 }), (header, words) => {
      const { data, ...decoded } = decodeMessage(encodeWords(header, words));
      assert.deepEqual(decoded, { ...header });
      assert.deepEqual(wordsOf({ ...header, data }), words);
    }),
  );
});

test('floats keep their bits and start at byte 64 of the payload', () => {
  const values = new Float32Array(new Uint32Array([0x8000_0000, 1, 0x7fc0_1234]).buffer);
  const payload = encodeFloats(base, values);
  assert.equal(payload.length, HEADER_BYTES + 12);
  assert.equal(new DataView(payload.buffer, payload.byteOffset).getUint32(64 + 4, true), 1);
  const read = floatsOf(decodeMessage(payload));
  assert.deepEqual(new Uint32Array(Float32Array.from(read).buffer).length, 3);
  assert.deepEqual([...new Uint8Array(read.buffer, read.byteOffset, 12)], [...new Uint8Array(values.buffer)]);
});

test('garbled bytes are refused with what is wrong', () => {
  const payload = encodeFloats(base, Float32Array.of(1, 2, 3));
  const garbled = (at: number, value: number): Uint8Array => {
    const copy = payload.slice();
    copy[at] = value;
    return copy;
  };
  refuses(() => decodeMessage(payload.subarray(0, 63)), /63 bytes has no header/);
  refuses(() => decodeMessage(garbled(0, 0)), /another format/);
  refuses(() => decodeMessage(garbled(4, 2)), /another format or version/);
  refuses(() => decodeMessage(garbled(5, 200)), /kind 200/);
  refuses(() => decodeMessage(payload.subarray(0, -1)), /promises 12 bytes and 11 follow/);
  refuses(() => floatsOf(decodeMessage(garbled(44, 4))), /12 bytes are not 4 float32/);
  refuses(() => jsonOf(decodeMessage(payload)), /not JSON/);
});

test('JSON survives the wire', () => {
  assert.deepEqual(jsonOf(decodeMessage(encodeJson(base, { reason: 'ünequal' }))), { reason: 'ünequal' });
});

test('runs have different hashes', () => {
  assert.notEqual(hashOf('run-1'), hashOf('run-2'));
});
