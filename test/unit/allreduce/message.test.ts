import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeHeader,
  encodeHeader,
  encodeJson,
  encodeWords,
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
  encoding: fc.constantFrom('none' as const, 'bf16' as const, 'int8' as const),
  inMemory: fc.boolean(),
  generation: u32,
  runHash: u32,
  step: fc.oneof(fc.integer({ min: -1, max: 100 }), fc.maxSafeNat()),
  source: u16,
  ranks: u16,
  shardFirst: u32,
  shardCount: u32,
  owner: u32,
  chunk: u32,
  offset: u32,
  count: u32,
  digest: fc
    .tuple(u32, u32)
    .map(([a, b]) => a.toString(16).padStart(8, '0') + b.toString(16).padStart(8, '0')),
});
const base: Header = {
  kind: 'result',
  encoding: 'none',
  inMemory: false,
  generation: 3,
  runHash: 7,
  step: 12,
  source: 1,
  ranks: 4,
  shardFirst: 0,
  shardCount: 0,
  owner: 1,
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

test('every header survives the wire', () => {
  fc.assert(
    fc.property(headers, u32, (header, dataBytes) => {
      const head = encodeHeader(header, dataBytes);
      assert.equal(head.length, HEADER_BYTES);
      assert.deepEqual(decodeHeader(head, dataBytes), { ...header });
    }),
  );
});

test('a header is read wherever it lies', () => {
  const around = new Uint8Array(HEADER_BYTES + 7);
  around.set(encodeHeader(base, 12), 3);
  assert.deepEqual(decodeHeader(around.subarray(3), 12), base);
});

test('garbled bytes are refused with what is wrong', () => {
  const head = encodeHeader(base, 12);
  const garbled = (at: number, value: number): Uint8Array => {
    const copy = head.slice();
    copy[at] = value;
    return copy;
  };
  refuses(() => decodeHeader(head.subarray(0, 63), 12), /63 bytes has no header/);
  refuses(() => decodeHeader(garbled(0, 0), 12), /another format/);
  refuses(
    () => decodeHeader(garbled(4, 3), 12),
    /^a member speaks version 3 of the exchange and this one 4; start all workers from one release$/,
  );
  refuses(() => decodeHeader(garbled(5, 200), 12), /kind 200/);
  refuses(() => decodeHeader(garbled(6, 3), 12), /encoding 3/);
  refuses(() => decodeHeader(head, 11), /promises 12 bytes and 11 follow/);
  refuses(() => jsonOf(Uint8Array.of(1, 2, 3)), /not JSON/);
});

test('words and JSON survive the wire', () => {
  fc.assert(
    fc.property(fc.array(u32, { maxLength: 20 }), (words) => {
      assert.deepEqual(wordsOf(encodeWords(words)), words);
    }),
  );
  assert.deepEqual(jsonOf(encodeJson({ reason: 'ünequal' })), { reason: 'ünequal' });
});

test('runs have different hashes', () => {
  assert.notEqual(hashOf('run-1'), hashOf('run-2'));
});
