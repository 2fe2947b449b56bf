// What a server says, cut anywhere, gives the same lines and messages.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FleetError } from '../../../core/errors.ts';
import { createFrameReader, type FrameReader, HEAD_BYTES } from '../../../core/net/frame-reader.ts';

type Said =
  | { readonly kind: 'line'; readonly text: string }
  | {
      readonly kind: 'message';
      readonly sid: number;
      readonly bytes: readonly number[];
      readonly reply: boolean;
    };

const said: fc.Arbitrary<Said> = fc.oneof(
  fc.record({
    kind: fc.constant('line' as const),
    text: fc.constantFrom('PING', 'PONG', '+OK', 'INFO {"a":"b c"}', "-ERR 'Slow Consumer'", ''),
  }),
  fc.record({
    kind: fc.constant('message' as const),
    sid: fc.integer({ min: 1, max: 9_000 }),
    bytes: fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 300 }),
    reply: fc.boolean(),
  }),
);

function bytesOf(items: readonly Said[]): Buffer {
  return Buffer.concat(
    items.map((item) =>
      item.kind === 'line'
        ? Buffer.from(`${item.text}\r\n`)
        : Buffer.concat([
            Buffer.from(`MSG a.b ${item.sid} ${item.reply ? 're.ply ' : ''}${item.bytes.length}\r\n`),
            Buffer.from(item.bytes),
            Buffer.from('\r\n'),
          ]),
    ),
  );
}

/** Skips every third message, reads every other into memory of the test. */
function collect(): { readonly reader: FrameReader; readonly heard: Said[]; readonly skipped: () => number } {
  const heard: Said[] = [];
  let begun = 0;
  let skipped = 0;
  const reader = createFrameReader({
    line: (text) => heard.push({ kind: 'line', text }),
    begin(_sid, head, dataBytes) {
      assert.ok(head.length === HEAD_BYTES || dataBytes === 0);
      begun++;
      if (begun % 3 === 0) {
        skipped++;
        return 'skip';
      }
      return begun % 2 === 0 ? 'own' : new Uint8Array(new SharedArrayBuffer(dataBytes));
    },
    message: (sid, head, data) =>
      heard.push({ kind: 'message', sid, bytes: [...head, ...data], reply: false }),
  });
  return { reader, heard, skipped: () => skipped };
}

function expected(items: readonly Said[]): Said[] {
  let begun = 0;
  return items.flatMap((item): Said[] => {
    if (item.kind === 'line') return [{ ...item }];
    begun++;
    return begun % 3 === 0 ? [] : [{ ...item, reply: false }];
  });
}

const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 });

test('fed in any pieces it hears the same', () => {
  fc.assert(
    fc.property(fc.array(said, { maxLength: 12 }), cuts, (items, sizes) => {
      const { reader, heard } = collect();
      const bytes = bytesOf(items);
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const end = at + sizes[i % sizes.length]!;
        reader.feed(bytes.subarray(at, end));
        at = end;
      }
      assert.deepEqual(heard, expected(items));
    }),
    { numRuns: 300 },
  );
});

test('read into its targets, however little at a time, it hears the same', () => {
  fc.assert(
    fc.property(fc.array(said, { maxLength: 12 }), cuts, (items, sizes) => {
      const { reader, heard } = collect();
      const bytes = bytesOf(items);
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const target = reader.target();
        assert.ok(target.length > 0, 'a socket needs room to read to');
        const count = Math.min(target.length, sizes[i % sizes.length]!, bytes.length - at);
        target.set(bytes.subarray(at, at + count));
        reader.filled(count);
        at += count;
      }
      assert.deepEqual(heard, expected(items));
    }),
    { numRuns: 300 },
  );
});

test('the data of a large message is read to where it belongs, with little else', () => {
  const data = new Uint8Array(300_000);
  const reader = createFrameReader({ line() {}, begin: () => data, message() {} });
  const bytes = bytesOf([{ kind: 'message', sid: 1, bytes: [], reply: false }]);
  reader.feed(
    Buffer.from(bytes.toString('latin1').replace(' 0\r\n\r\n', ` ${64 + data.length}\r\n`), 'latin1'),
  );
  reader.feed(new Uint8Array(64));
  const target = reader.target();
  assert.equal(target.buffer, data.buffer);
  assert.equal(target.length, data.length);
});

test('what is no protocol is refused', () => {
  const { reader } = collect();
  const refused = (text: string, pattern: RegExp) =>
    assert.throws(
      () => reader.feed(Buffer.from(text)),
      (error) => error instanceof FleetError && error.code === 'dataLoss' && pattern.test(error.message),
    );
  refused('MSG a x 5\r\n', /MSG a x 5/);
  refused('MSG a 1 -5\r\n', /MSG a 1 -5/);
  refused('x'.repeat(70_000), /a line of more than/);
});
