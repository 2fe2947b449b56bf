// Claims about which phase of a run follows when waits begin and end, in any order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  entered,
  type Phase,
  type Standing,
  sentenceOf,
  standingIn,
  storeAwaited,
  teacherAwaited,
} from '../../../../worker/run/phase.ts';

const TRAINING: Phase = { kind: 'training', generation: 3, step: 10 };
const wait = (stage: number | undefined) => ({ stage, teacherRunId: 'run-1', generation: 4, step: 12 });
const kindOf = ({ phase }: Standing): string => phase.kind;

test('a wait for a teacher holds training up, which goes on from the step and generation of its end', () => {
  const waiting = teacherAwaited(standingIn(TRAINING), wait(2));
  assert.equal(sentenceOf(waiting.phase), 'waiting for stage 2 of teacher run-1');
  assert.deepEqual(teacherAwaited(waiting, wait(undefined)).phase, {
    kind: 'training',
    generation: 4,
    step: 12,
  });
});

test('the end of a wait for a teacher changes nothing in a run that does not wait', () => {
  const standing = standingIn({ kind: 'evaluating' });
  assert.equal(teacherAwaited(standing, wait(undefined)), standing);
});

test('a wait for the store interrupts any phase, and the very same phase comes back', () => {
  for (const phase of [TRAINING, { kind: 'preparing' }, { kind: 'evaluating' }] as const) {
    const storing = storeAwaited(standingIn(phase), 'it is full');
    assert.equal(sentenceOf(storing.phase), 'waiting for the store: it is full');
    const again = storeAwaited(storing, 'it is away');
    assert.equal(sentenceOf(again.phase), 'waiting for the store: it is away');
    const after = storeAwaited(again, undefined);
    assert.equal(after.phase, phase);
    assert.equal(storeAwaited(after, undefined).phase, phase);
  }
});

test('a phase that is entered while the store is awaited stays when the wait is over', () => {
  const storing = storeAwaited(standingIn(TRAINING), 'it is full');
  const joining = entered(storing, { kind: 'joining', generation: 5, members: 2 });
  assert.equal(kindOf(storeAwaited(joining, undefined)), 'joining');
  // The wait that begins in it remembers what the first one interrupted.
  assert.equal(kindOf(storeAwaited(storeAwaited(joining, 'it is away'), undefined)), 'training');
});
