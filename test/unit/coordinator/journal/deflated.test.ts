// Deflated messages of format 3: each is read alone and together with others as the same text, and a damaged one harms none
// but itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { deflated, inflated, inflatedTogether } from '../../../../coordinator/journal/deflated.ts';
import { DICTIONARY_3 } from '../../../../coordinator/journal/formats/dictionary.ts';
import { decodeGroup } from '../../../../coordinator/journal/message.ts';
import { journalFixture } from '../../../support/journal-fixtures.ts';

const text = fc
  .array(
    fc.oneof(fc.string(), fc.constantFrom('"run-7","digest":"', DICTIONARY_3.toString().slice(0, 3_000))),
  )
  .map((parts) => Buffer.from(JSON.stringify(parts)));

test('messages that are inflated together have the texts that they have alone', () => {
  const plain = Buffer.from('{"format":3}');
  const message = fc.oneof(text.map(deflated), fc.constant(plain));
  fc.assert(
    fc.property(fc.array(message, { maxLength: 40 }), (messages) => {
      const together = inflatedTogether(messages);
      assert.equal(together.length, messages.length);
      for (const [i, one] of messages.entries())
        assert.deepEqual(together[i], one === plain ? undefined : inflated(one));
    }),
    { numRuns: 50 },
  );
  fc.assert(fc.property(text, (one) => assert.deepEqual(inflated(deflated(one)), one)));
});

test('nothing is read together with a message that is cut short, or has a byte too many or changed', () => {
  const messages = journalFixture('format-3/sweep-in-mid-flight')
    .map(({ data }) => Buffer.from(data))
    .filter(([first]) => first === 3);
  assert.ok(messages.length > 3);
  const texts = messages.map(inflated);
  let refused = 0;
  for (let at = 1; at < messages[1]!.length; at++) {
    const changed = Buffer.from(messages[1]!);
    changed[at]! ^= 0x10;
    const list = [messages[0]!, changed, ...messages.slice(2)];
    const together = inflatedTogether(list);
    // A byte that stood as it is in the text changes that text alone; any other byte changes where blocks end.
    const isWhole = together[0] !== undefined;
    if (!isWhole) refused += 1;
    for (const [i, one] of together.entries())
      if (i !== 1) assert.deepEqual(one, isWhole ? texts[i] : undefined, `byte ${at}, message ${i}`);
  }
  assert.ok(refused > 0);
  for (const wrong of [messages[1]!.subarray(0, -2), Buffer.concat([messages[1]!, Buffer.of(3, 0)])])
    for (const [i, one] of inflatedTogether([messages[0]!, wrong, messages[2]!]).entries())
      if (i !== 1) assert.ok(one === undefined || one.equals(texts[i]!));
});

test('a text with the byte that stands between messages is read alone', () => {
  const odd = deflated(Buffer.concat([Buffer.from('{"a":1}'), Buffer.of(0), DICTIONARY_3]));
  const other = deflated(Buffer.from('{"b":2}'));
  assert.deepEqual(inflatedTogether([odd, other]), [undefined, undefined]);
  assert.equal(inflated(other).toString(), '{"b":2}');
});

test('a message of format 2 ends as deflate does', () => {
  const [first] = journalFixture('format-2/sweep-in-mid-flight').filter(({ data }) => data[0] === 2);
  assert.ok(!('phrase' in decodeGroup(first!.data)));
  assert.throws(() => inflateRawSync(deflated(Buffer.from('{}')).subarray(1)), { code: 'Z_BUF_ERROR' });
});
