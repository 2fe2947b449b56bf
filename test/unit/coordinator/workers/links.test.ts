import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import type { Command } from '../../../../coordinator/decisions/inputs.ts';
import { lookup } from '../../../../coordinator/model/persistent-map.ts';
import { createLinks, type RequestCommand } from '../../../../coordinator/workers/links.ts';
import { systemClock } from '../../../../core/clock.ts';
import { LIMITS } from '../../../sim/world.ts';

const release: Command = { kind: 'release', runId: 'run-1', generation: 1, reason: 'it is over' };
const verify: RequestCommand = {
  ...{ kind: 'verify', requestId: 'r', runId: 'run-1', stage: 0, specJson: '{}', setPath: '/dev/zero' },
};

test('what was decided for the process before reaches no process that came after it', () => {
  const links = createLinks({ clock: systemClock, log: pino({ level: 'silent' }), limits: LIMITS });
  const welcomed: string[] = [];
  links.onWelcome((workerId) => welcomed.push(workerId));
  const dial = (incarnation: string) => {
    const got: string[] = [];
    const stream = { send: (command: { kind: string }) => void got.push(command.kind), end: () => undefined };
    links.attach(
      {
        ...{ workerId: 'w', incarnation, version: '', host: '', pid: 1, deviceKind: 'cpu', slots: 1 },
        ...{ deviceName: 'cpu', deviceClass: 'c', leases: [], metricsEndpoint: '', podUid: '' },
      },
      stream,
    );
    return got;
  };
  const first = dial('1');
  assert.equal(links.send('w', verify), false, 'a request waits for the welcome too');
  assert.equal(links.send('w', { kind: 'welcome', incarnation: '1' }), true);
  assert.ok(links.send('w', release) && links.send('w', verify));
  const second = dial('2');
  assert.equal(links.send('w', release), false, 'it was decided for the first');
  assert.equal(links.send('w', { kind: 'welcome', incarnation: '1' }), false, 'so was this');
  assert.equal(lookup(links.welcomed, 'w'), undefined);
  assert.ok(links.send('w', { kind: 'welcome', incarnation: '2' }) && links.send('w', release));
  // The same process on another stream: what it holds is not told yet.
  const again = dial('2');
  assert.equal(links.send('w', release), false);
  assert.ok(links.send('w', { kind: 'welcome', incarnation: '2' }) && links.send('w', release));
  assert.deepEqual(first, ['welcome', 'release', 'verify']);
  assert.deepEqual(
    [second, again],
    [
      ['welcome', 'release'],
      ['welcome', 'release'],
    ],
  );
  assert.deepEqual(welcomed, ['w', 'w', 'w']);
  links.close();
});
