// What follows when the journal does not end where this coordinator left it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BEGINNING } from '../../../../coordinator/journal/chain.ts';
import { otherWriterError, truncationOf } from '../../../../coordinator/journal/other-writer.ts';
import { type Bare, begun, messageAfter, placeAfter } from '../../../support/groups.ts';
import { NAMES } from '../../../support/names.ts';

const started = (epoch: number): Bare => ({ kind: 'coordinator.started', epoch, version: '1' });
const ids = { plan: 0, sweep: 0, trial: 0, run: 0 };
const cut = { kind: 'journal.truncated', after: 3, ids, reason: 'damaged' } as const;

const first = messageAfter(BEGINNING, [begun('test'), started(1)]);
/** After the first message of the journal. */
const place = placeAfter([first]);
const identity = { names: NAMES, fleet: 'local' };

function at(lastSequence: number | undefined, data?: Uint8Array, subject = NAMES.journalSubject): string {
  const next = data && { sequence: 2, subject, atMs: 0, data };
  const { code, message, details } = otherWriterError({ identity, place, lastSequence, next });
  return `${code} ${details.after ?? ''} ${message}`;
}

test('the message after ours says who leads, whether to read again, or what is lost', () => {
  assert.match(
    at(2, messageAfter(place, [started(2)])),
    /^aborted .*the lead is lost: another coordinator .* after sequence 1$/,
  );
  assert.match(
    at(2, messageAfter(BEGINNING, [cut]), NAMES.journalMarkSubject),
    /^cancelled .*read again: damaged$/,
  );
  assert.match(
    at(2, Buffer.from('"hello"')),
    /^dataLoss 1 .*damaged at sequence 2: the message is JSON, but no group/,
  );
  assert.match(at(2), /^dataLoss 1 .*message 2 is missing/);
  assert.match(at(0), /^dataLoss 0 .*it ends at sequence 0 and has reached 1 before/);
  assert.match(at(undefined), /^dataLoss 0 .*stream PF_LOCAL_JOURNAL is gone/);
});

test('a journal that was put in the place of this one ends the process, and a broken chain is damage', () => {
  const other = { ...BEGINNING, journal: 'other' };
  assert.match(
    at(2, messageAfter(other, [started(2)])),
    /^failedPrecondition .*test was replaced by journal other/,
  );
  const astray = { ...place, digest: 'f'.repeat(32) };
  assert.match(
    at(2, messageAfter(astray, [started(2)])),
    /^dataLoss 0 .*does not continue message 1: one of/,
  );
});

test('a mark among events makes a reader begin again', () => {
  assert.equal(truncationOf([]), undefined);
  assert.equal(truncationOf([{ ...cut, atMs: 1 }])?.code, 'cancelled');
});
