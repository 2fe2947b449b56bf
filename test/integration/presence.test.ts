// Who is at the broker, asked of a real one: a process that lives answers, one whose connection ended is known to be gone, and
// a broker that cannot say says nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectNats } from '../../core/net/nats.ts';
import { answerPresence, isAbsent } from '../../core/net/presence.ts';
import { NAMES } from '../support/names.ts';
import { startNats } from '../support/nats.ts';

test('a process is absent when it has gone or was never there, and not while it lives or the broker is away', async () => {
  const nats = await startNats({ token: 'presence' });
  const connect = (name: string) => connectNats({ url: nats.url, token: nats.token, name });
  const [asker, worker] = await Promise.all([connect('asker'), connect('worker')]);
  const name = { workerId: 'w1', incarnation: 'first' };
  try {
    answerPresence(worker, NAMES, name);
    await worker.flush();
    assert.equal(await isAbsent(asker, NAMES, name), false);
    assert.equal(
      await isAbsent(asker, NAMES, { ...name, incarnation: 'second' }),
      true,
      'another process of that name',
    );
    await nats.kill('SIGSTOP');
    assert.equal(await isAbsent(asker, NAMES, name), false, 'a broker that hangs is no proof');
    await nats.kill('SIGCONT');
    await worker.close();
    assert.equal(await isAbsent(asker, NAMES, name), true);
  } finally {
    await Promise.all([asker.close(), worker.close()]);
    await nats.stop();
  }
});
