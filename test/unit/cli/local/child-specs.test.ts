import assert from 'node:assert/strict';
import { test } from 'node:test';
import { childSpecs } from '../../../../coordinator/cli/local/child-specs.ts';

test('workers get a token of their own: none of them has that of the administrator, nor has any argument', () => {
  const specs = childSpecs({
    dir: '/fleet',
    file: {
      ...{
        fleet: 'local',
        coordinator: '127.0.0.1:1',
        metrics: '127.0.0.1:2',
        natsUrl: 'nats://127.0.0.1:3',
      },
      ...{ token: 'of-the-administrator', pid: 1 },
    },
    keys: { coordinatorFile: '/fleet/broker/a.creds', workersFile: '/fleet/broker/b.seed' },
    ...{ dataRoots: [], natsServer: 'nats-server', natsConfig: '/fleet/nats.conf', places: [{}, {}] },
    tlsDir: undefined,
    workerToken: 'of-the-workers',
  });
  assert.equal(specs.workers.length, 2);
  for (const { env } of specs.workers) {
    assert.equal(env.POCKETFLEET_TOKEN, 'of-the-workers');
    assert.ok(!Object.values(env).includes('of-the-administrator'));
    // The coordinator signs what a worker may do on the broker.
    assert.ok(!Object.values(env).some((value) => value.includes('/fleet/broker/')));
    assert.equal(env.POCKETFLEET_NATS_TOKEN, '');
  }
  for (const { env } of specs.coordinators) {
    assert.equal(env.POCKETFLEET_TOKEN, 'of-the-administrator');
    assert.equal(env.POCKETFLEET_WORKER_TOKEN, 'of-the-workers');
    assert.equal(env.POCKETFLEET_TOKENS_FILE, '/fleet/tokens.yaml');
    assert.equal(env.POCKETFLEET_NATS_CREDENTIALS_FILE, '/fleet/broker/a.creds');
    assert.equal(env.POCKETFLEET_NATS_WORKERS_SEED_FILE, '/fleet/broker/b.seed');
  }
  for (const { args, env } of [specs.broker, ...specs.coordinators, ...specs.workers]) {
    assert.ok(!args.some((word) => word.includes('of-the-')), args.join(' '));
    // What the user's environment names is for the user's own calls.
    assert.equal(env.POCKETFLEET_TOKEN_FILE ?? '', '');
  }
});
