// What follows when the journal does not end where this coordinator left it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOwnGroup, otherWriterError } from '../../../../coordinator/journal/other-writer.ts';

const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const started = { kind: 'coordinator.started', epoch: 2, version: '1', atMs: 1 };
const ids = { plan: 0, sweep: 0, trial: 0, run: 0 };
const cut = { kind: 'journal.truncated', after: 3, ids, reason: 'damaged', atMs: 1 };
const group = (events: readonly unknown[], writer = 'other') => bytes({ writer, group: 7, events });

test('the message after ours says who leads, whether to read again, or what is lost', () => {
  const at = (lastSequence: number | undefined, next?: Uint8Array) => {
    const { code, message, details } = otherWriterError({
      stream: 'PF_X_JOURNAL',
      sequence: 5,
      lastSequence,
      next,
    });
    return `${code} ${details.after ?? ''} ${message}`;
  };
  assert.match(
    at(6, group([started])),
    /^aborted .*the lead is lost: another coordinator .* after sequence 5$/,
  );
  assert.match(at(6, group([cut])), /^cancelled .*read again: damaged$/);
  assert.match(
    at(6, bytes('hello')),
    /^dataLoss 5 .*damaged at sequence 6: the message is JSON, but no group/,
  );
  assert.match(at(6), /^dataLoss 5 .*message 6 is missing/);
  assert.match(at(3), /^dataLoss 3 .*it ends at sequence 3 and has reached 5 before/);
  assert.match(at(undefined), /^dataLoss 0 .*stream PF_X_JOURNAL is gone/);
});

test('an append whose answer was lost is told by writer and number, not by what it says', () => {
  const own = { writer: 'me', group: 7 };
  assert.equal(isOwnGroup(group([started], 'me'), own), true);
  assert.equal(isOwnGroup(group([started], 'me'), { ...own, group: 8 }), false);
  assert.equal(isOwnGroup(group([started]), own), false);
  assert.equal(isOwnGroup(bytes({}), own), false);
  assert.equal(isOwnGroup(undefined, own), false);
});
