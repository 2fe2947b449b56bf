import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stateClaim, stateText } from '../../../core/text/state-text.ts';

test('a reason that begins with its state stands alone, any other behind the state', () => {
  const cases = [
    ['queued', 'queued: its teacher run-1 has not started'],
    ['cancelled', 'cancelled by a user'],
    ['failed', 'loss is not finite', 'failed: loss is not finite'],
    ['paused', 'pausedly', 'paused: pausedly'],
    ['queued', '', 'queued'],
    ['queued', 'queued', 'queued'],
  ] as const;
  for (const [state, reason, text = reason] of cases) assert.equal(stateText(state, reason), text);
  assert.deepEqual(['failed', 'cancelled', 'done'].map(stateClaim), [
    'has failed',
    'was cancelled',
    'is done',
  ]);
});
