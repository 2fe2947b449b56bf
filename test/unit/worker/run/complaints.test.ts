import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createComplaints } from '../../../../worker/run/complaints.ts';

const idle = { rank: 1, kind: 'idle' as const, ms: 600, limitMs: 500 };
const silent = { rank: 2, kind: 'silent' as const, ms: 90, limitMs: 80 };

test('that a member is idle counts after the time that embeddings may take, and silence at once', async () => {
  const counted: string[] = [];
  let arrived = () => {};
  let allowance = 20;
  const complaints = createComplaints({
    update: (exchange, found) => {
      counted.push(`${exchange}: ${found.map(({ rank, kind }) => `${rank} ${kind}`).join(', ')}`);
      arrived();
    },
    allowanceMs: () => allowance,
  });
  complaints.heard('run-1', [idle, silent]);
  assert.deepEqual(counted, ['run-1: 2 silent']);
  await new Promise<void>((resolve) => {
    arrived = resolve;
  });
  assert.deepEqual(counted.splice(0), ['run-1: 2 silent', 'run-1: 1 idle, 2 silent']);
  // It has done its part meanwhile; and where a run shares nothing the complaint counts at once.
  complaints.heard('run-1', [idle]);
  complaints.heard('run-1', []);
  allowance = 0;
  complaints.heard('run-2', [idle]);
  assert.deepEqual(counted, ['run-1: ', 'run-1: ', 'run-2: 1 idle']);
  allowance = 1e6;
  complaints.heard('run-1', [idle]);
  complaints.close();
});
