import assert from 'node:assert/strict';
import test from 'node:test';
import { CODES, type Code, FleetError } from '../../../core/errors.ts';
import { fromServiceError, statusName, toStatus } from '../../../core/net/grpc-status.ts';

test('every code goes over the wire and comes back as itself, with its sentence and its details', () => {
  for (const code of Object.keys(CODES) as Code[]) {
    const sent = toStatus(new FleetError(code, `because of ${code}`, { details: { field: 'a.b' } }));
    assert.equal(sent.code, CODES[code]);
    const received = fromServiceError(Object.assign(new Error(`${sent.code} X: ${sent.details}`), sent));
    assert.equal(received.code, code);
    assert.equal(received.message, `because of ${code}`);
    assert.deepEqual(received.details, { field: 'a.b' });
  }
});

test('what is not a FleetError leaves as INTERNAL, and status names are those of gRPC metrics', () => {
  assert.equal(toStatus(new TypeError('x is undefined')).code, CODES.internal);
  assert.deepEqual([0, 3, 16].map(statusName), ['OK', 'InvalidArgument', 'Unauthenticated']);
});
