// Which coordinator is dialled next.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetError } from '../../../core/errors.ts';
import { createRoute } from '../../../core/net/route.ts';

const gone = new FleetError('unavailable', 'nobody listens');
const standby = (leader: unknown) =>
  new FleetError('unavailable', 'a standby', { details: { standby: true, leader } });

test('addresses are tried in turn, the leader that an answer names comes first, and one that fails is left', () => {
  const route = createRoute(['a:1', 'b:2']);
  const after = (error: FleetError) => [route.failed(error), route.current];
  assert.equal(route.current, 'a:1');
  assert.deepEqual(after(gone), [false, 'b:2']);
  assert.deepEqual(after(gone), [false, 'a:1']);
  assert.deepEqual(after(standby('far:3')), [true, 'far:3']);
  assert.deepEqual(after(standby('b:2')), [true, 'b:2'], 'the lead has moved');
  assert.deepEqual(after(standby(undefined)), [false, 'a:1'], 'it does not know who leads');
  assert.deepEqual(after(standby('far:3')), [true, 'far:3']);
  assert.deepEqual(after(gone), [false, 'a:1'], 'the one that was named is dead');
  assert.deepEqual(after(standby('a:1')), [false, 'b:2'], 'a standby that names itself knows nothing');
});

test('an address that is none is not dialled, and a single one is dialled again', () => {
  const route = createRoute(['a:1']);
  for (const leader of ['http://x', 'far:0', 7, '']) {
    assert.equal(route.failed(standby(leader)), false);
    assert.equal(route.current, 'a:1');
  }
});
