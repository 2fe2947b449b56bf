// The data plane as workers use it: exchanges in threads, vectors in shared memory, plain and encrypted connections. The protocol
// itself is exchange.test.ts'; here everything must also hold across threads, for several runs at once, and for a busy
// main thread.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Exchange, State } from '../../core/allreduce/exchange.ts';
import { createDataPlane, type DataPlane } from '../../core/allreduce/plane.ts';
import { digest64 } from '../../core/digest.ts';
import { FleetError } from '../../core/errors.ts';
import { createLogger } from '../../core/log.ts';
import type { BrokerAddress } from '../../core/net/broker-address.ts';
import {
  assertWeights,
  expectedSum,
  type GangOptions,
  join,
  membersOf,
  nextRun,
  gang as openGang,
  type Replica,
  shardVector,
  synchronise,
  train,
  trainAll,
  zeroState,
} from '../support/gang.ts';
import { NAMES } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { until } from '../support/processes.ts';

const log = createLogger({ program: 'test', level: 'silent' });
let nats: TestNats;
let planes: DataPlane[] = [];

type PlaneOptions = Partial<Parameters<typeof createDataPlane>[0]>;
const openPlane = (address: BrokerAddress, name: string, options: PlaneOptions = {}): Promise<DataPlane> =>
  createDataPlane({ ...address, name, log, prefixes: NAMES.prefixes, ...options });
const addressOf = ({ url, token }: TestNats): BrokerAddress => ({ url, token });

before(async () => {
  nats = await startNats({ jetstream: false, token: 'plane-token' });
  planes = await Promise.all([0, 1, 2].map((i) => openPlane(addressOf(nats), `plane ${i}`)));
});
after(async () => {
  await Promise.all(planes.map((plane) => plane.close()));
  await nats.stop();
});

const gang = (
  options: Omit<GangOptions, 'nats'>,
  work: (replicas: Replica[]) => Promise<void>,
): Promise<void> => openGang({ planes, ...options, nats }, work);
const rejectsWith = (code: string, pattern: RegExp) => (error: unknown) =>
  error instanceof FleetError && error.code === code && pattern.test(error.message);

test('members in threads get the bits of the dumb sum, exact and compressed alike on all', async () => {
  const counts = [3, 3, 2];
  for (const elements of [1, 1_000_003]) {
    await gang({ counts, elements }, async (replicas) => {
      await trainAll(replicas, counts, 3);
      assertWeights(replicas, expectedSum(2, 8, elements));
      const { bytesSent, reduces, reduceSeconds } = replicas[0]!.exchange.stats();
      assert.ok(bytesSent > 0 && reduceSeconds > 0);
      assert.equal(reduces, 3);
    });
  }
  for (const compression of ['bf16', 'int8'] as const) {
    const digests: string[] = [];
    for (const placement of [counts, [1, 6, 1]]) {
      await gang({ counts: placement, elements: 200_000, compression }, async (replicas) => {
        await trainAll(replicas, placement, 3);
        digests.push(...replicas.map(({ state }) => digest64(state.weights)));
      });
    }
    assert.equal(new Set(digests).size, 1, compression);
  }
});

test('what is computed in the shared vector is summed without a copy, and the sum is there for the taking', async () => {
  const counts = [2, 1, 1];
  const elements = 70_000;
  await gang({ counts, elements }, async (replicas) => {
    await Promise.all(replicas.map(synchronise));
    const sums = await Promise.all(
      replicas.map(({ exchange }, rank) => {
        const { shardFirst, shardCount } = membersOf(counts)[rank]!;
        const vectors = new Map<number, Float32Array>();
        for (let shard = shardFirst; shard < shardFirst + shardCount; shard++) {
          const vector = exchange.vector(shard);
          assert.ok(vector.buffer instanceof SharedArrayBuffer);
          vector.set(shardVector(0, shard, elements));
          vectors.set(shard, vector);
        }
        return exchange.reduce(0, vectors);
      }),
    );
    for (const sum of sums) {
      assert.equal(digest64(sum), digest64(expectedSum(0, 4, elements)));
      assert.ok(sum.buffer instanceof SharedArrayBuffer);
    }
    assert.throws(() => replicas[0]!.exchange.vector(3), /shard 3 is not one of this member's/);
  });
});

test('several runs share the threads and do not disturb each other', async () => {
  const placements = [
    [4, 2, 2],
    [1, 1, 6],
    [3, 3, 2],
  ];
  await Promise.all(
    placements.map((counts, i) => {
      const elements = 100_000 + i;
      return gang({ counts, elements }, async (replicas) => {
        await trainAll(replicas, counts, 5);
        assertWeights(replicas, expectedSum(4, 8, elements));
      });
    }),
  );
});

test('a member without state gets it from another thread, and goes on with the gang', async () => {
  const counts = [2, 2, 4];
  const elements = 300_000;
  const ahead: State = {
    weights: shardVector(9, 9, elements),
    momentum: shardVector(9, 10, elements),
    running: Float32Array.of(3, -0, 4),
  };
  const starts = [
    { step: -1, state: zeroState(0) },
    { step: 7, state: ahead },
    { step: 6, state: zeroState(elements) },
  ];
  await gang({ counts, elements, starts }, async (replicas) => {
    await Promise.all(replicas.map(synchronise));
    for (const { step, state } of replicas) {
      assert.equal(step, 7);
      assert.deepEqual(Object.values(state).map(digest64), Object.values(ahead).map(digest64));
    }
    assert.ok(replicas[0]!.state.weights.buffer instanceof SharedArrayBuffer);
    await Promise.all(replicas.map((replica, rank) => train(replica, membersOf(counts)[rank]!, 9)));
    assertWeights(replicas, expectedSum(8, 8, elements));
  });
});

test('a busy main thread holds up no peer: the threads finish a step without it', async () => {
  const counts = [3, 3, 2];
  const elements = 500_000;
  await gang({ counts, elements, stallMs: 60_000 }, async (replicas) => {
    await Promise.all(replicas.map(synchronise));
    const members = membersOf(counts);
    const stepped = Promise.all(replicas.map((replica, rank) => train(replica, members[rank]!, 1)));
    stepped.catch(() => {});
    // Let the calls go out, then do nothing but burn time: no callback of this thread can run.
    await new Promise((resolve) => setImmediate(resolve));
    const end = performance.now() + 1_500;
    const reduces = (): number => replicas.reduce((sum, { exchange }) => sum + exchange.stats().reduces, 0);
    while (performance.now() < end && reduces() < 3);
    assert.equal(reduces(), 3, 'all threads have summed while this one was busy');
    await stepped;
    assertWeights(replicas, expectedSum(0, 8, elements));
  });
});

test('injected losses and repetitions are counted, and change nothing', async () => {
  const faulty = await Promise.all(
    [0, 1, 2].map((i) =>
      openPlane(addressOf(nats), `faulty ${i}`, { faults: { seed: 7 + i, drop: 0.05, duplicate: 0.05 } }),
    ),
  );
  try {
    const counts = [2, 1, 5];
    const elements = 300_000;
    await gang({ counts, elements, planes: faulty, stallMs: 40 }, async (replicas) => {
      await trainAll(replicas, counts, 4);
      assertWeights(replicas, expectedSum(3, 8, elements));
      const total = (name: 'injected' | 'resends'): number =>
        replicas.reduce((sum, { exchange }) => sum + exchange.stats()[name], 0);
      assert.ok(total('injected') > 10 && total('resends') > 0, `${total('injected')} injected`);
    });
  } finally {
    await Promise.all(faulty.map((plane) => plane.close()));
  }
});

const certificate = (name: string): string =>
  fileURLToPath(new URL(`../support/tls/${name}.pem`, import.meta.url));
const tls = `tls { cert_file: ${JSON.stringify(certificate('server'))}, key_file: ${JSON.stringify(certificate('server-key'))} }\n`;
const users = 'authorization { users: [{ user: "fleet", password: "secret words" }] }\n';
const secured: readonly {
  readonly name: string;
  readonly server: Parameters<typeof startNats>[0];
  readonly address: Partial<BrokerAddress>;
}[] = [
  {
    name: 'a user with password',
    server: { config: users },
    address: { user: 'fleet', password: 'secret words' },
  },
  {
    name: 'encryption and a token',
    server: { config: tls, scheme: 'tls', token: 'tls-token' },
    address: { token: 'tls-token', caFile: certificate('ca') },
  },
  {
    name: 'encryption and a user with password',
    server: { config: `${tls}${users}`, scheme: 'tls' },
    address: { user: 'fleet', password: 'secret words', caFile: certificate('ca') },
  },
];

for (const { name, server, address } of secured) {
  test(`with ${name}: the same bits, also when the broker is killed in the middle of a step`, async () => {
    const own = await startNats({ jetstream: false, ...server });
    const there = await Promise.all(
      [0, 1].map((i) => openPlane({ url: own.url, ...address }, `secured ${i}`)),
    );
    try {
      const counts = [5, 3];
      const elements = 1_500_000;
      await gang({ counts, elements, planes: there }, async (replicas) => {
        await trainAll(replicas, counts, 2);
        const before = replicas[0]!.exchange.stats().bytesReceived;
        const going = trainAll(replicas, counts, 6);
        await until('a step is under way', () => replicas[0]!.exchange.stats().bytesReceived > before);
        assert.ok(replicas.some(({ step }) => step < 6));
        await own.kill();
        await own.restart();
        await going;
        assertWeights(replicas, expectedSum(5, 8, elements));
      });
      await assert.rejects(
        openPlane(
          { url: own.url, ...address, ...(address.user ? { password: 'x' } : { token: 'x' }) },
          'intruder',
        ),
        rejectsWith(
          'unauthenticated',
          address.user ? /refuses the credentials of intruder \(user/ : /refuses the token of intruder/,
        ),
      );
    } finally {
      await Promise.all(there.map((plane) => plane.close()));
      await own.stop();
    }
  });
}

test('a missing broker is unavailable, an aborted wait ends at once', async () => {
  await assert.rejects(
    openPlane({ url: 'nats://127.0.0.1:1' }, 'lost', { waitMs: 50 }),
    rejectsWith('unavailable', /no broker answers at nats:\/\/127\.0\.0\.1:1/),
  );
  const controller = new AbortController();
  const waiting = openPlane({ url: 'nats://127.0.0.1:1' }, 'lost', {
    waitMs: 60_000,
    signal: controller.signal,
  });
  controller.abort(new FleetError('cancelled', 'no longer needed'));
  await assert.rejects(waiting, rejectsWith('cancelled', /no longer needed/));
});

test('a closed exchange answers cancelled, a closed plane too, and no thread is left', async () => {
  const threads = (): number => readdirSync('/proc/self/task').length;
  const before = threads();
  const plane = await openPlane(addressOf(nats), 'short-lived');
  const runId = nextRun();
  const open = async (): Promise<Exchange> =>
    (await join({ nats, counts: [1, 1], elements: 4, planes: [plane, plane] }, 0, runId)).exchange;
  const left = await open();
  const pending = left.sync({ step: 0, digest: '0'.repeat(16) });
  left.close();
  await assert.rejects(pending, rejectsWith('cancelled', /generation 1 of run .* was left/));
  await assert.rejects(left.sync({ step: 0, digest: '0'.repeat(16) }), rejectsWith('cancelled', /was left/));
  const orphaned = (await open()).sync({ step: 0, digest: '0'.repeat(16) });
  await plane.close();
  await assert.rejects(orphaned, rejectsWith('cancelled', /data thread was closed/));
  assert.throws(
    () =>
      plane.createExchange({
        runId,
        generation: 2,
        rank: 0,
        members: membersOf([1]),
        shards: 1,
        elements: 1,
        provideState: () => zeroState(1),
      }),
    rejectsWith('cancelled', /closed/),
  );
  await until('the thread is gone', () => threads() <= before);
});

test('a thousand generations leave no memory behind', async () => {
  const [plane] = planes as [DataPlane];
  const runId = nextRun();
  const rss = (): number => process.memoryUsage().rss / 2 ** 20;
  const generation = async (number: number): Promise<void> => {
    const exchange = plane.createExchange({
      runId,
      generation: number,
      rank: 0,
      members: membersOf([2]),
      shards: 2,
      elements: 250_000,
      provideState: () => zeroState(250_000),
    });
    await exchange.sync({ step: 0, digest: '0'.repeat(16) });
    const vectors = new Map([0, 1].map((shard) => [shard, exchange.vector(shard).fill(1)]));
    const sum = await exchange.reduce(0, vectors);
    assert.equal(sum[249_999], 2);
    exchange.close();
  };
  for (let i = 1; i <= 100; i++) await generation(i);
  const after100 = rss();
  for (let i = 101; i <= 1000; i++) await generation(i);
  // Each has 4 MB: nothing freed would be 3.6 GB.
  assert.ok(
    rss() - after100 < 500,
    `${after100.toFixed()} MiB after 100 generations, ${rss().toFixed()} after 1000`,
  );
  plane.releaseRun(runId);
});
