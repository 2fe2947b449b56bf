// A search whose constraints hardly any network meets: it goes on for ever, and the coordinator with it.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { unary } from '../../core/net/grpc-client.ts';
import { cellCosts } from '../../core/nn/cell-costs.ts';
import { randomCode } from '../../core/nn/random-genotype.ts';
import { smallSpace } from '../../core/nn/small-space.ts';
import { sweep } from '../sim/specs.ts';
import { startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft, until } from '../support/processes.ts';

const nats = await startNats();
after(async () => {
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});

/** A bound that none of 2,000 draws meets, in a space that is too large to be listed. */
function rareBound(): number {
  const { space } = sweep();
  const ops = space.ops.filter((op) => op !== 'none');
  const sizes = Array.from(
    { length: 2_000 },
    (_, n) => cellCosts(space).of(randomCode(ops, 1, n)).parameters,
  );
  const bound = Math.min(...sizes) - 1;
  assert.equal(smallSpace({ space, constraints: { parametersMax: bound } }), undefined);
  return bound;
}

test('a search for rare candidates shows how rare they are, and calls are answered and work is taken', async (t) => {
  const coordinator = await startLocalCoordinator({ natsUrl: nats.url });
  t.after(() => coordinator.close());
  const { client } = coordinator;
  const yaml = `
kind: sweep
name: rare
space: { channels: 2, layers: 4, embedding: 16 }
strategy: { trials: 1000 }
parallelism: 1000
constraints: { parametersMax: ${rareBound()} }
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
evaluation: { training: { epochs: 1, batch: 16 }, verification: { pairs: 40 } }
`;
  await coordinator.submit(yaml);
  const sweepNow = () => unary(client, client.getSweep, { id: 'rare' });
  let reason = '';
  await until('the search shows how rare candidates are', async () => {
    reason = (await sweepNow()).reason;
    return /^looks for another candidate: \d+ of \d+ draws .* parameters, at most \d+ allowed\)$/.test(
      reason,
    );
  });
  // It goes on, and so does everything else.
  const drawn = (text: string) => Number(/ of (\d+) draws/.exec(text)?.[1] ?? 0);
  await until('more draws', async () => drawn((await sweepNow()).reason) > drawn(reason));
  await coordinator.submit(yaml.replace('rare', 'other'));
  await unary(client, client.cancel, { id: 'rare', reason: 'a test' });
  assert.equal((await sweepNow()).state, 'cancelled');
});
