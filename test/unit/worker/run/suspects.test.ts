import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSuspects } from '../../../../worker/run/suspects.ts';

const members = ['a', 'b', 'c'].map((workerId) => ({ workerId }));
const suspect = (rank: number, kind: 'silent' | 'idle', ms: number) => ({ rank, kind, ms, limitMs: 10 });

test('a member that several exchanges suspect is named once, silent before idle, for the longest time', () => {
  const suspects = createSuspects(members);
  suspects.update('sum', [suspect(1, 'idle', 500)]);
  suspects.update('embeddings', [suspect(1, 'silent', 100), suspect(2, 'idle', 20)]);
  suspects.update('statistics', [suspect(1, 'silent', 200)]);
  assert.deepEqual(suspects.all(), [
    { workerId: 'b', kind: 'silent', ms: 200, limitMs: 10 },
    { workerId: 'c', kind: 'idle', ms: 20, limitMs: 10 },
  ]);
});

test('an exchange takes back what it said, and nothing of what others say', () => {
  const suspects = createSuspects(members);
  suspects.update('sum', [suspect(0, 'idle', 500)]);
  suspects.update('embeddings', [suspect(2, 'silent', 100)]);
  suspects.update('embeddings', []);
  assert.deepEqual(
    suspects.all().map(({ workerId }) => workerId),
    ['a'],
  );
  suspects.update('sum', []);
  assert.deepEqual(suspects.all(), []);
});
