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
