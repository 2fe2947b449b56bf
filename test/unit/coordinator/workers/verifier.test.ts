import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { initialState } from '../../../../coordinator/model/state.ts';
import { createLinks, type RequestCommand } from '../../../../coordinator/workers/links.ts';
import { createRequests } from '../../../../coordinator/workers/requests.ts';
import { createVerifier } from '../../../../coordinator/workers/verifier.ts';
import { systemClock } from '../../../../core/clock.ts';
import { LIMITS } from '../../../sim/world.ts';
import { attached } from '../../../support/attached.ts';

test('a verification that nobody waits for any more is forgotten by its worker, one that was answered is not', async () => {
  const links = createLinks({ clock: systemClock, log: pino({ level: 'silent' }), limits: LIMITS });
  const asked: RequestCommand[] = [];
  const hello = {
    ...{ workerId: 'a', incarnation: 'i', version: '', host: '', pid: 1, deviceKind: 'cpu' },
    ...{ deviceName: 'cpu', deviceClass: 'c', slots: 4, leases: [], metricsEndpoint: '', podUid: '' },
  };
  const state = attached(links, initialState, hello, {
    send: (command) => void asked.push(command as RequestCommand),
    end: () => undefined,
  });
  const requests = createRequests({
    links,
    onChange: () => () => undefined,
    redirect: () => undefined,
    clock: systemClock,
    state: () => state,
  });
  const verifier = createVerifier(requests);
  const request = { runId: 'run-1', stage: 0, specJson: '{}', setPath: '/dev/zero' };
  const kinds = () => asked.map(({ kind }) => kind);
  const idOfLast = () => (asked.findLast(({ kind }) => kind === 'verify') as { requestId: string }).requestId;
  const begin = asked.length;

  const gone = new AbortController();
  const left = verifier.verify(request, 60_000, gone.signal);
  const requestId = idOfLast();
  gone.abort();
  await assert.rejects(left, { code: 'cancelled' });
  assert.deepEqual(asked.at(-1), { kind: 'forget', requestId });

  await assert.rejects(verifier.verify(request, 1, new AbortController().signal), {
    code: 'deadlineExceeded',
  });
  assert.deepEqual(asked.at(-1), { kind: 'forget', requestId: idOfLast() });

  const refused = verifier.verify(request, 60_000, new AbortController().signal);
  verifier.answered(idOfLast(), { error: 'verification set: /dev/zero is not a regular file' });
  await assert.rejects(refused, /is not a regular file/);
  assert.deepEqual(kinds().slice(begin), ['verify', 'forget', 'verify', 'forget', 'verify']);
  assert.equal(requests.occupies('a'), false);
  links.close();
});
