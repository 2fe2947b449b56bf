// The chain of a journal: which message may follow which, and what each break is called.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BEGINNING, follow, isBreak, type Place } from '../../../../coordinator/journal/chain.ts';
import { decodeGroup, encodeGroup, isForeign } from '../../../../coordinator/journal/message.ts';
import { type Bare, begun, messageAfter, placeAfter } from '../../../support/groups.ts';

const started = (epoch: number, version = '1'): Bare => ({ kind: 'coordinator.started', epoch, version });

/** A journal of so many messages. */
function journalOf(count: number): Buffer[] {
  const messages: Buffer[] = [];
  let place: Place = BEGINNING;
  for (let i = 1; i <= count; i++) {
    messages.push(messageAfter(place, i === 1 ? [begun('test'), started(i)] : [started(i)]));
    place = placeAfter(messages);
  }
  return messages;
}

/** Why this message does not follow the place. */
function breakAt(place: Place, data: Uint8Array): string {
  const envelope = decodeGroup(data);
  assert.ok(!isForeign(envelope));
  const next = follow(place, { sequence: place.sequence + 1, data }, envelope);
  assert.ok(isBreak(next), 'it does not follow');
  return next.phrase;
}

test('each message names the one before it, and counts', () => {
  const place = placeAfter(journalOf(4));
  assert.equal(place.sequence, 4);
  assert.equal(place.group, 4);
  assert.equal(place.journal, 'test');
  assert.equal(place.version, '1');
  assert.match(place.digest, /^[0-9a-f]{32}$/);
});

test('no message can be left out, exchanged or repeated without a break', () => {
  const messages = journalOf(8);
  fc.assert(
    fc.property(fc.subarray([...messages.keys()], { minLength: 1 }), fc.nat(7), fc.nat(7), (kept, a, b) => {
      const order = [...kept];
      const [i, j] = [a % order.length, b % order.length];
      [order[i], order[j]] = [order[j]!, order[i]!];
      const isWhole = order.every((at, index) => at === index);
      const read = () => placeAfter(order.map((at) => messages[at]!));
      if (isWhole) assert.equal(read().sequence, order.length);
      else assert.throws(read, /^Error: message \d+ (does not|is not|begins|is group)/);
    }),
  );
});

test('a changed bit is noticed by the next message', () => {
  const messages = journalOf(3);
  const at = { kind: 'coordinator.started', epoch: 99, version: '1' };
  const place = placeAfter(messages.slice(0, 1));
  const forged = placeAfter([messages[0]!, messageAfter(place, [at])]);
  assert.equal(breakAt(forged, messages[2]!), 'does not continue message 2: one of the two was replaced');
});

test('what does not belong is named: another journal, a second begin, none, a wrong number', () => {
  const place = placeAfter(journalOf(2));
  assert.equal(
    breakAt(place, messageAfter(place, [started(3)], 'other')),
    'is of journal other, and this is journal test',
  );
  assert.equal(breakAt(place, messageAfter(place, [begun('test')])), 'begins the journal again');
  assert.equal(
    breakAt(BEGINNING, messageAfter(BEGINNING, [started(1)])),
    'does not begin with journal.begun',
  );
  assert.equal(breakAt(BEGINNING, journalOf(2)[1]!), 'does not begin with journal.begun');
  assert.equal(breakAt(BEGINNING, messageAfter(place, [begun('test')])), 'is not the first of its journal');
  assert.equal(
    breakAt(BEGINNING, messageAfter(BEGINNING, [begun('one')], 'two')),
    'is of journal two and begins journal one',
  );
  const skipping = messageAfter({ ...place, group: 5 }, [started(3)]);
  assert.equal(breakAt(place, skipping), 'is group 6, and group 3 belongs there');
});

test('a journal of format 1 is continued by one group that names its last message, and by no other', () => {
  const old = [1, 2].map((group) =>
    Buffer.from(JSON.stringify({ writer: 'w', group, events: [{ atMs: 1, ...started(group) }] })),
  );
  const place = placeAfter(old);
  assert.deepEqual([place.format, place.group, place.journal], [1, 2, undefined]);
  const adopting = messageAfter(place, [begun('test', { adopts: 2 }), started(3)]);
  const after = placeAfter([...old, adopting]);
  assert.deepEqual([after.format, after.group, after.journal], [3, 3, 'test']);
  assert.equal(breakAt(place, messageAfter(place, [started(3)])), 'does not begin with journal.begun');
  assert.equal(
    breakAt(place, messageAfter(place, [begun('test', { adopts: 7 })])),
    'continues a journal of 7 messages of format 1, and 2 are there',
  );
  const other = messageAfter({ ...place, digest: 'f'.repeat(32) }, [begun('test', { adopts: 2 })]);
  assert.equal(breakAt(place, other), 'does not continue message 2: one of the two was replaced');
  assert.match(
    breakAt(after, old[1]!),
    /^is of format 1 and follows one of format 3: a coordinator of an older/,
  );
});

test('a journal of format 2 goes on in format 3 without a second begin, and never back', () => {
  const inFormat2 = (place: Place, events: readonly Bare[]) => {
    const { group, digest: before } = place;
    const link = { journal: 'test', group: group + 1, count: events.length, before, writer: 'w' };
    const json = { format: 2, ...link, events: events.map((event) => ({ atMs: 1, ...event })) };
    return Buffer.from(JSON.stringify(json));
  };
  const old = [inFormat2(BEGINNING, [begun('test'), started(1, '1')])];
  const place = placeAfter(old);
  assert.deepEqual([place.format, place.group, place.version], [2, 1, 'test']);
  assert.equal(breakAt(place, messageAfter(place, [begun('test')])), 'begins the journal again');
  const next = messageAfter(place, [started(2, '2')]);
  const after = placeAfter([...old, next]);
  assert.deepEqual([after.format, after.group, after.version], [3, 2, '2']);
  assert.match(
    breakAt(after, inFormat2(after, [started(3)])),
    /^is of format 2 and follows one of format 3: a coordinator of an older/,
  );
  // What a release that knows no format 3 reads of it: its number, and the release that wrote it.
  const { format, events } = JSON.parse(next.toString()) as { format: number; events: unknown[] };
  assert.deepEqual([format, (events[0] as { version: string }).version], [3, '2']);
});

test('a group is the same after it was written and read, deflated or not, and foreign bytes are named', () => {
  const link = { journal: 'test', group: 1, before: '', writer: 'w' };
  fc.assert(
    fc.property(
      fc.array(fc.record({ kind: fc.string(), reason: fc.string({ unit: 'binary' }) })),
      (events) => {
        const read = decodeGroup(encodeGroup(link, events));
        assert.ok(!isForeign(read));
        assert.deepEqual(JSON.parse(JSON.stringify(read.events)), JSON.parse(JSON.stringify(events)));
      },
    ),
  );
  const many = Array.from({ length: 50 }, (_, i) => ({
    kind: 'run.cancelled',
    runId: `run-${i}`,
    reason: 'x',
  }));
  assert.ok(encodeGroup(link, many).length < JSON.stringify(many).length / 4);
  const phraseOf = (bytes: Uint8Array | string) => {
    const found = decodeGroup(Buffer.from(bytes));
    assert.ok(isForeign(found));
    return found;
  };
  assert.equal(phraseOf('seven b').phrase, 'is 7 bytes that are no JSON');
  assert.equal(phraseOf('').phrase, 'is 0 bytes that are no JSON');
  assert.equal(phraseOf('{"events": 5}').phrase, 'is JSON, but no group of events');
  for (const format of [2, 3])
    assert.equal(phraseOf(Uint8Array.of(format, 1, 2, 3)).phrase, 'is 4 bytes that cannot be inflated');
  const counted = { format: 2, ...link, count: 3, events: [] };
  assert.equal(phraseOf(JSON.stringify(counted)).phrase, 'names 3 events and has 0');
  const early = { ...counted, count: 1, events: [[0, 'run-1']] };
  assert.equal(phraseOf(JSON.stringify(early)).phrase, 'is JSON, but no group of events');
});

test('a format of a newer release is named with its number and its release', () => {
  const newer = { format: 4, events: [{ kind: 'journal.begun', version: '9.1.0' }] };
  assert.deepEqual(decodeGroup(Buffer.from(JSON.stringify(newer))), {
    ...{ phrase: 'is of format 4', newer: 4, version: '9.1.0' },
  });
  assert.deepEqual(decodeGroup(Uint8Array.of(5, 1, 2)), { phrase: 'is of format 5', newer: 5 });
});
