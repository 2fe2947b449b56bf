// What the journal gets to know of the file of tokens.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { step } from '../../../../coordinator/decisions/decide.ts';
import type { ListedToken } from '../../../../coordinator/decisions/inputs.ts';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import { initialState, type State } from '../../../../coordinator/model/state.ts';
import { connections } from '../../../support/state.ts';

const ci: ListedToken = {
  ...{ name: 'ci', role: 'submit', fingerprint: '1a2b3c4d5e6f', createdBy: 'mia', isRevoked: false },
};
const wall: ListedToken = {
  ...{ name: 'wall', role: 'read', fingerprint: '6f5e4d3c2b1a', createdBy: 'ada', isRevoked: false },
  expires: '2027-01-01T00:00:00Z',
};

test('a token is noted once when it comes and once when it goes, also after a start from a snapshot', () => {
  let state: State = initialState;
  const note = (tokens: readonly ListedToken[]) => {
    const decision = step(state, { kind: 'tokens', tokens }, { now: 1, connected: connections([]) });
    state = decodeState(encodeState(decision.state));
    return decision.events.map(({ atMs: _at, ...event }) => event);
  };
  const [named, other] = [ci, wall].map(({ name, role, fingerprint }) => ({ name, role, fingerprint }));
  assert.deepEqual(note([ci, wall]), [
    { kind: 'token.created', token: named, createdBy: 'mia' },
    { kind: 'token.created', token: other, createdBy: 'ada', expires: '2027-01-01T00:00:00Z' },
  ]);
  assert.deepEqual(note([wall, ci]), []);
  assert.deepEqual(note([{ ...ci, isRevoked: true, revokedBy: 'ada' }, wall]), [
    { kind: 'token.revoked', token: named, revokedBy: 'ada' },
  ]);
  assert.deepEqual(note([{ ...ci, isRevoked: true, revokedBy: 'ada' }]), [
    { kind: 'token.revoked', token: other },
  ]);
  assert.deepEqual(note([]), []);
});
