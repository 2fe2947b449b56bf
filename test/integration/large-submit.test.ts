// A submission whose events the broker takes in no single message is refused alone, with the numbers.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { runText, startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft } from '../support/processes.ts';

const nats = await startNats({ config: '\nmax_payload: 4KB\n' });
after(async () => {
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});

/** Names that no compression makes shorter. */
const manyRuns = (count: number): string =>
  Array.from({ length: count }, () => runText(`r${randomBytes(30).toString('hex')}`)).join('---\n');

test('a submission that is too large for the broker is refused at once, and what comes with it is taken', async (t) => {
  const coordinator = await startLocalCoordinator({ natsUrl: nats.url });
  t.after(() => coordinator.close());
  const [large, small] = await Promise.allSettled([
    coordinator.submit(manyRuns(60)),
    coordinator.submit(runText('small')),
  ]);
  assert.equal(large.status, 'rejected');
  assert.equal(large.reason.code, 'invalidArgument');
  assert.match(large.reason.message, /\d+ events in \d+ bytes, and a message of the broker has at most \d+/);
  assert.deepEqual(small.status === 'fulfilled' && small.value, ['run-1']);
  assert.deepEqual(await coordinator.submit(manyRuns(3)), ['run-2', 'run-3', 'run-4']);
  assert.equal(coordinator.failure(), undefined);
});
