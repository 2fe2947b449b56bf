import assert from 'node:assert/strict';
import test from 'node:test';
import { Metadata } from '@grpc/grpc-js';
import { CODES, type Code, FleetError } from '../../../core/errors.ts';
import { refusalOf } from '../../../core/net/grpc-auth.ts';
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

test('only the fleet token opens, except for health checks and where authentication is off', () => {
  const metadata = (value?: string) => {
    const given = new Metadata();
    if (value !== undefined) given.set('authorization', value);
    return given;
  };
  const path = '/pocketfleet.v1.FleetService/ListRuns';
  assert.equal(refusalOf({ token: 't', path, metadata: metadata('Bearer t') }), undefined);
  for (const wrong of [undefined, '', 'Bearer', 'Bearer tt', 't', 'bearer t'])
    assert.equal(refusalOf({ token: 't', path, metadata: metadata(wrong) })?.code, 'unauthenticated');
  assert.equal(
    refusalOf({ token: 't', path: '/grpc.health.v1.Health/Check', metadata: metadata() }),
    undefined,
  );
  assert.equal(refusalOf({ token: '', path, metadata: metadata() }), undefined);
});
