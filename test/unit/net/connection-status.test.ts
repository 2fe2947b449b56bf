// What a program hears of its connection to the broker, until it wants to hear no more.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FleetError } from '../../../core/errors.ts';
import { followConnection } from '../../../core/net/connection-status.ts';
import { connectNats } from '../../../core/net/nats.ts';
import { startNats } from '../../support/nats.ts';
import { assertNothingLeft, until } from '../../support/processes.ts';

const never = (error: FleetError) => assert.fail(error.message);

test('each loss and each return of the broker is reported once, and none after the release', async () => {
  const nats = await startNats({ jetstream: false });
  const connection = await connectNats({ url: nats.url, token: nats.token, name: 'test' });
  const [heard, released]: [boolean[], boolean[]] = [[], []];
  const release = followConnection(connection, (isUp) => void released.push(isUp), never);
  const end = followConnection(connection, (isUp) => void heard.push(isUp), never);
  try {
    await nats.restart();
    await until('the broker is back', () => heard.length === 2);
    assert.deepEqual(
      [heard, released],
      [
        [false, true],
        [false, true],
      ],
    );
    release();
    await nats.restart();
    await until('the broker is back again', () => heard.length === 4);
    assert.deepEqual(released, [false, true]);
    end();
  } finally {
    await connection.close();
    await nats.stop();
  }
  await assertNothingLeft([nats.pid], [nats.port]);
});

test('a request that was on its way when the broker went fails at once; one that comes later waits for it', async () => {
  const nats = await startNats({ jetstream: false });
  const connect = (name: string) => connectNats({ url: nats.url, token: nats.token, name });
  const [asking, silent] = await Promise.all([connect('asking'), connect('silent')]);
  try {
    // It has the request, and never answers.
    const asked = new Promise((resolve) =>
      silent.subscribe('test.question', { callback: () => resolve(true) }),
    );
    await silent.flush();
    const question = asking.request('test.question', undefined, { timeout: 3_600_000 });
    const refused = assert.rejects(question, { code: 'unavailable', message: /lost before it answered/ });
    await asked;
    await nats.kill('SIGKILL');
    await refused;
    const [late, never] = [60_000, 20].map((timeout) =>
      asking.request('$SYS.REQ.USER.INFO', '', { timeout }),
    );
    await assert.rejects(never!, { code: 'unavailable', message: 'the broker was away for 20 ms' });
    await nats.restart();
    assert.match((await late!).string(), /"data"/);
  } finally {
    await asking.close();
    await silent.close();
    await nats.stop();
  }
  await assertNothingLeft([nats.pid], [nats.port]);
});
