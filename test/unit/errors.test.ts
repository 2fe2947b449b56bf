// Claims about core/errors.ts and core/config.ts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig, redacted, workerConfigSchema } from '../../core/config.ts';
import { CODES, codeFromStatus, FleetError, toFleetError } from '../../core/errors.ts';
import { WORDS } from '../../core/system/errno.ts';

test('the table of codes and gRPC status numbers is the same both ways', () => {
  for (const [code, status] of Object.entries(CODES)) assert.equal(codeFromStatus(status), code);
  assert.equal(codeFromStatus(99), 'internal');
});

test('foreign errors keep their meaning and their cause', () => {
  const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
  const mapped = toFleetError(refused, 'dialling');
  assert.equal(mapped.code, 'unavailable');
  assert.equal(mapped.retryable, true);
  assert.equal(mapped.cause, refused);
  assert.match(mapped.message, /^dialling: /);
  assert.equal(toFleetError(Object.assign(new Error('x'), { code: 5 })).code, 'notFound');
  assert.equal(toFleetError('text').code, 'internal');
  const own = new FleetError('dataLoss', 'gone', { details: { tensor: 'a' } });
  assert.deepEqual(toFleetError(own, 'reading').details, { tensor: 'a' });
});

test('a full store is resourceExhausted whoever refuses, by code; a broker that does not answer is unavailable', () => {
  const refusal = (code: number, status: number) =>
    toFleetError(Object.assign(new Error('x'), { name: 'JetStreamApiError', code, status })).code;
  for (const code of [10002, 10023, 10047, 10077]) assert.equal(refusal(code, 503), 'resourceExhausted');
  assert.equal(refusal(10071, 400), 'aborted');
  assert.equal(refusal(10037, 404), 'notFound');
  assert.equal(refusal(19_999, 503), 'unavailable');
  assert.equal(refusal(19_999, 400), 'failedPrecondition');
  const silent = Object.assign(new Error('x'), { name: 'NoRespondersError' });
  assert.equal(toFleetError(silent).code, 'unavailable');
});

test('a system error with words of ours has a code of the family, which no mistake of the program has', () => {
  for (const code of Object.keys(WORDS)) {
    const error = toFleetError(Object.assign(new Error('x'), { code, errno: -1 }), 'doing');
    assert.notEqual(error.code, 'internal', code);
    assert.equal(error.message, `doing: ${WORDS[code]} (${code})`);
  }
});

test('flags win over the environment, unknown options and bad values are named', () => {
  const config = loadConfig(workerConfigSchema, ['--id', 'w1', '--slots', '2'], {
    POCKETFLEET_SLOTS: '3',
    POCKETFLEET_THREADS: '2',
  });
  assert.equal(config.slots, 2);
  assert.equal(config.threads, 2);
  assert.throws(
    () => loadConfig(workerConfigSchema, ['--nope', '1'], {}),
    /unknown option "--nope"; known: --id/,
  );
  assert.throws(() => loadConfig(workerConfigSchema, ['--id', 'w1', '--slots', '0'], {}), /slots/);
  assert.throws(() => loadConfig(workerConfigSchema, [], {}), /id/);
});

test('secrets do not reach the log', () => {
  assert.deepEqual(redacted({ token: 'abc', natsToken: '', id: 'w' }), {
    token: '[set]',
    natsToken: '',
    id: 'w',
  });
});
