// The exchange over a real broker: members in one process, each with a connection of its own. Every sum is compared
// bit for bit with a dumb recursive one; losses, repetitions, vanished members and a killed broker must not change it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  createExchange,
  type Exchange,
  type Faults,
  type State,
  type Suspect,
} from '../../core/allreduce/exchange.ts';
import { WITHOUT_STATE } from '../../core/allreduce/sync.ts';
import { systemClock } from '../../core/clock.ts';
import { digest64 } from '../../core/digest.ts';
import { FleetError } from '../../core/errors.ts';
import { createLogger } from '../../core/log.ts';
import type { DataConnection } from '../../core/net/data-connection.ts';
import { connectNats } from '../../core/net/nats.ts';
import { stepDigest } from '../../core/step-digest.ts';
import {
  assertWeights,
  expectedSum,
  type GangOptions,
  join as joinGang,
  membersOf,
  nextRun,
  gang as openGang,
  type Replica,
  random,
  shardVector,
  synchronise,
  train,
  trainAll,
  zeroState,
} from '../support/gang.ts';
import { NAMES } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';

let nats: TestNats;
before(async () => {
  nats = await startNats({ jetstream: false, token: 'exchange-token' });
});
after(() => nats.stop());

const log = createLogger({ program: 'test', level: 'silent' });

const gang = (
  options: Omit<GangOptions, 'nats'>,
  work: (replicas: Replica[], runId: string) => Promise<void>,
): Promise<void> => openGang({ ...options, nats }, work);
const join = (options: Omit<GangOptions, 'nats'>, rank: number, runId: string): Promise<Replica> =>
  joinGang({ ...options, nats }, rank, runId);

async function until(condition: () => boolean, what: string, deadlineMs = 5_000): Promise<void> {
  const deadline = systemClock.monotonic() + deadlineMs;
  while (!condition()) {
    assert.ok(systemClock.monotonic() < deadline, `not within ${deadlineMs} ms: ${what}`);
    await systemClock.sleep(5);
  }
}

const rejectsWith = (code: string, pattern: RegExp) => (error: unknown) =>
  error instanceof FleetError && error.code === code && pattern.test(error.message);

const PLACEMENTS: readonly (readonly number[])[] = [
  [1],
  [8],
  [1, 1],
  [4, 4],
  [2, 1],
  [5, 3],
  [1, 7],
  [8, 4, 4],
  [3, 3, 2],
  [1, 14, 1],
  [4, 4, 4, 4],
  [1, 2, 4, 1],
  [5, 6, 4, 1],
  [1, 1, 1, 1],
];

for (const counts of PLACEMENTS) {
  const shards = counts.reduce((sum, count) => sum + count, 0);
  test(`${counts.length} members with ${counts.join('+')} shards get the bits of the dumb sum`, async () => {
    // One slice for all, and one for each shard with a ragged end.
    for (const elements of [3_000, shards * 16_384 - 100]) {
      await gang({ counts, elements }, async (replicas) => {
        await trainAll(replicas, counts, 3);
        assertWeights(replicas, expectedSum(2, shards, elements));
      });
    }
  });
}

test('vectors of many chunks, of one element and of none are summed', async () => {
  const counts = [3, 2, 3];
  for (const elements of [1_000_003, 1, 0]) {
    // Nothing is lost here, and a busy machine shall not make anybody ask: the bytes are counted.
    await gang({ counts, elements, stallMs: 60_000 }, async (replicas) => {
      await trainAll(replicas, counts, 2);
      assertWeights(replicas, expectedSum(1, 8, elements));
      const { bytesSent } = replicas[0]!.exchange.stats();
      // In each of 2 steps rank 0 sends 2 partial sums of 2/3 of the vector and publishes 1/3 of it; then headers and hellos.
      assert.ok(bytesSent < 2 * 4 * elements * (5 / 3) * 1.01 + 20_000, `${bytesSent} bytes sent`);
    });
  }
});

test('messages dropped and repeated at random change nothing', async () => {
  const counts = [2, 1, 4, 1];
  const elements = 400_000;
  const seed = 20_261_124;
  let dropped = 0;
  let repeated = 0;
  const faults = (rank: number): Faults => {
    const next = random(seed + rank);
    return () => {
      const chance = next();
      if (chance < 0.05) dropped++;
      else if (chance < 0.1) repeated++;
      return chance < 0.05 ? 'drop' : chance < 0.1 ? 'duplicate' : 'pass';
    };
  };
  await gang({ counts, elements, faults }, async (replicas) => {
    await trainAll(replicas, counts, 4);
    assertWeights(replicas, expectedSum(3, 8, elements));
    const total = (field: 'resends' | 'duplicates' | 'nacks'): number =>
      replicas.reduce((sum, { exchange }) => sum + exchange.stats()[field], 0);
    assert.ok(dropped > 5 && repeated > 5, `seed ${seed}: ${dropped} dropped, ${repeated} repeated`);
    assert.ok(total('resends') > 0 && total('nacks') > 0 && total('duplicates') > 0);
  });
});

test('a result that only one member missed is given to it after the others have gone on', async () => {
  const counts = [1, 1, 1];
  let lost = 0;
  const faults =
    (rank: number): Faults =>
    (passage) => {
      const loses =
        rank === 2 &&
        passage.direction === 'receive' &&
        passage.kind === 'result' &&
        passage.step === 1 &&
        lost < 2;
      if (loses) lost++;
      return loses ? 'drop' : 'pass';
    };
  const elements = 1_000;
  await gang({ counts, elements, faults }, async (replicas) => {
    await trainAll(replicas, counts, 2);
    assertWeights(replicas, expectedSum(1, 3, elements));
    assert.equal(lost, 2);
  });
});

test('a member that vanishes ends its generation; the others go on in the next and end equal to the undisturbed', async () => {
  const elements = 50_000;
  const runId = nextRun();
  const survivors: Replica[] = [];
  await gang({ counts: [4, 2, 2], elements, runId }, async (replicas) => {
    await Promise.all(replicas.map(synchronise));
    const members = membersOf([4, 2, 2]);
    await Promise.all(replicas.map((replica, rank) => train(replica, members[rank]!, 2)));
    // Rank 1 is gone before it contributes to step 2.
    const stuck = [0, 2].map((rank) => train(replicas[rank]!, members[rank]!, 5));
    for (const promise of stuck) promise.catch(() => {});
    await until(() => replicas[0]!.exchange.stats().nacks > 0, 'rank 0 misses rank 1');
    replicas[0]!.exchange.close();
    replicas[2]!.exchange.close();
    for (const promise of stuck) await assert.rejects(promise, rejectsWith('cancelled', /generation 1/));
    survivors.push(replicas[0]!, replicas[2]!);
  });
  const starts = survivors.map(({ step, state }) => ({ step, state }));
  assert.deepEqual(
    starts.map(({ step }) => step),
    [2, 2],
  );
  await gang({ counts: [4, 4], elements, runId, generation: 2, starts }, async (replicas) => {
    await trainAll(replicas, [4, 4], 5);
    assertWeights(replicas, expectedSum(4, 8, elements));
  });
});

test('a member that answers and does not contribute is told as idle; gone, it is told as silent', async () => {
  const counts = [4, 4];
  const told: string[] = [];
  const onSuspects = (rank: number, suspects: readonly Suspect[]) =>
    told.push(`${rank}: ${suspects.map((suspect) => `${suspect.rank} ${suspect.kind}`).join()}`);
  await gang({ counts, elements: 5_000, stallMs: 20, onSuspects }, async (replicas) => {
    await Promise.all(replicas.map(synchronise));
    const members = membersOf(counts);
    await Promise.all(replicas.map((replica, rank) => train(replica, members[rank]!, 6)));
    const stuck = train(replicas[0]!, members[0]!, 7);
    stuck.catch(() => {});
    await until(() => told.length > 0, 'rank 1 is suspected');
    assert.deepEqual(told, ['0: 1 idle']);
    replicas[1]!.close();
    await until(() => told.length > 1, 'it is suspected of more', 20_000);
    assert.deepEqual(told.slice(1), ['0: 1 silent']);
  });
});

test('a member that is there and has not come to the agreement yet is not taken for silent', async () => {
  const told: string[] = [];
  const onSuspects = (rank: number, suspects: readonly Suspect[]) =>
    told.push(`${rank}: ${suspects.map((suspect) => `${suspect.rank} ${suspect.kind}`).join()}`);
  let hellos = 0;
  const faults = (rank: number): Faults => {
    return ({ direction, kind }) => {
      if (rank === 1 && direction === 'receive' && kind === 'hello') hellos++;
      return 'pass';
    };
  };
  const starts = [-1, -1].map((step) => ({ step, state: zeroState(0) }));
  await gang({ counts: [1, 1], elements: 5_000, starts, faults, onSuspects }, async (replicas) => {
    const [first, second] = replicas.map(({ exchange }) => exchange) as [Exchange, Exchange];
    /** The first member says hello more often than it takes to suspect somebody; only then the second one comes. */
    const meet = async (standing: Parameters<Exchange['sync']>[0]) => {
      hellos = 0;
      const early = first.sync(standing);
      await until(() => hellos >= 8, 'the second member was asked again and again', 20_000);
      return Promise.all([early, second.sync(standing)]);
    };
    for (const { step } of await meet(WITHOUT_STATE)) assert.equal(step, -1);
    // As if the second member took long to load its first state.
    for (const { step } of await meet({ step: 0, digest: digest64(new Float32Array(1)) }))
      assert.equal(step, 0);
    assert.deepEqual(told, []);
  });
});

test('members without or behind in state get it from the lowest rank that is ahead', async () => {
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
    { step: 7, state: ahead },
  ];
  const counts = [2, 2, 2, 2];
  const faults = (rank: number): Faults => {
    const next = random(rank + 5);
    return () => (next() < 0.1 ? 'drop' : 'pass');
  };
  await gang({ counts, elements, starts, faults }, async (replicas) => {
    await Promise.all(replicas.map(synchronise));
    for (const { step, state } of replicas) {
      assert.equal(step, 7);
      assert.deepEqual(Object.values(state).map(digest64), Object.values(ahead).map(digest64));
      assert.ok(Object.is(state.running![1], -0));
    }
    await Promise.all(replicas.map((replica, rank) => train(replica, membersOf(counts)[rank]!, 9)));
    assertWeights(replicas, expectedSum(8, 8, elements));
  });
});

test('a state of six vectors, longer than what is summed, arrives whole in the order and under the names of the plan', async () => {
  const elements = 2_000;
  const stateElements = 3_000;
  const stateNames = ['weights', 'momentum', 'running', 'alphas', 'adam_first', 'adam_second'];
  const ahead = {
    ...zeroState(elements),
    weights: shardVector(1, 1, stateElements),
    ...Object.fromEntries(stateNames.slice(3).map((name, i) => [name, shardVector(1, 2 + i, 7 + i)])),
  };
  const starts = [
    { step: 4, state: ahead },
    { step: -1, state: zeroState(0) },
  ];
  await gang({ counts: [1, 1], elements, starts, stateNames, stateElements }, async (replicas) => {
    await Promise.all(replicas.map(synchronise));
    assert.deepEqual(replicas[1]!.state, ahead);
    assert.deepEqual(Object.keys(replicas[1]!.state), stateNames);
  });
});

test('a state that cannot be given at once is asked for again', async () => {
  const elements = 5_000;
  const ahead = { ...zeroState(elements), weights: shardVector(1, 1, elements) };
  const starts = [
    { step: 3, state: ahead },
    { step: -1, state: zeroState(0) },
  ];
  await gang({ counts: [1, 1], elements, starts, stateFailures: 2 }, async (replicas) => {
    await Promise.all(replicas.map(synchronise));
    assertWeights(replicas, ahead.weights);
  });
});

test('a state that is not the announced one is dataLoss that names both digests', async () => {
  const elements = 1_000;
  await gang({ counts: [1, 1], elements }, async (replicas) => {
    const announced = '0123456789abcdef';
    const [behind, ahead] = replicas as [Replica, Replica];
    const given = ahead.exchange.sync({ step: 5, digest: announced });
    await assert.rejects(
      behind.exchange.sync(WITHOUT_STATE),
      rejectsWith(
        'dataLoss',
        new RegExp(
          `rank 1 .* gave what has digest ${stepDigest(new Float32Array(elements))} .* ${announced}`,
        ),
      ),
    );
    assert.equal((await given).step, 5);
    const vectors = new Map([[1, new Float32Array(elements)]]);
    await assert.rejects(ahead.exchange.reduce(5, vectors), rejectsWith('dataLoss', /announced/));
  });
});

test('a member that comes seconds late finds the others waiting and catches up', async () => {
  const counts = [4, 4];
  const elements = 10_000;
  const runId = nextRun();
  const first = await join({ counts, elements }, 0, runId);
  const result = synchronise(first).then(() => train(first, membersOf(counts)[0]!, 2));
  await until(() => first.exchange.stats().bytesSent > 200, 'several hellos');
  const late = await join(
    {
      counts,
      elements,
      starts: [
        { step: 0, state: zeroState(elements) },
        { step: -1, state: zeroState(0) },
      ],
    },
    1,
    runId,
  );
  await synchronise(late);
  await train(late, membersOf(counts)[1]!, 2);
  await result;
  assertWeights([first, late], expectedSum(1, 8, elements));
  first.close();
  late.close();
});

test('when nobody has a state all learn it, load one and agree in a second round', async () => {
  const counts = [1, 1, 1];
  const elements = 500;
  const starts = counts.map(() => ({ step: -1, state: zeroState(elements) }));
  const faults = (rank: number): Faults => {
    const next = random(rank + 77);
    return () => (next() < 0.1 ? 'drop' : 'pass');
  };
  await gang({ counts, elements, starts, faults }, async (replicas) => {
    await Promise.all(
      replicas.map(async (replica, rank) => {
        await synchronise(replica);
        assert.equal(replica.step, -1);
        replica.step = 0;
        await synchronise(replica);
        assert.equal(replica.step, 0);
        await train(replica, membersOf(counts)[rank]!, 2);
      }),
    );
    assertWeights(replicas, expectedSum(1, 3, elements));
  });
});

test('replicas that differ at one step stop the run at sync, naming both', async () => {
  const elements = 10;
  const other = { ...zeroState(elements), weights: Float32Array.from({ length: elements }, () => 1) };
  const starts = [zeroState(elements), zeroState(elements), other].map((state) => ({ step: 3, state }));
  await gang({ counts: [1, 1, 2], elements, starts }, async (replicas) => {
    const results = await Promise.allSettled(replicas.map(synchronise));
    for (const result of results) {
      assert.equal(result.status, 'rejected');
      assert.ok(
        rejectsWith(
          'dataLoss',
          /differ at step 3: rank \d \(worker-\d\) has weights [0-9a-f]{16}, rank \d/,
        )(result.reason),
        String(result.reason),
      );
    }
  });
});

test('replicas that differ at the start of a step stop the run for everybody', async () => {
  const counts = [1, 1, 2];
  const elements = 5_000;
  await gang({ counts, elements }, async (replicas) => {
    await trainAll(replicas, counts, 1);
    replicas[1]!.state.weights[17]! += 1;
    const results = await Promise.allSettled(
      replicas.map((replica, rank) => train(replica, membersOf(counts)[rank]!, 2)),
    );
    for (const result of results) {
      assert.equal(result.status, 'rejected');
      assert.ok(
        rejectsWith('dataLoss', /differ at the start of step 1: .*worker-1/)(result.reason),
        String(result.reason),
      );
    }
  });
});

test('a broker killed in the middle of a step and started again loses nothing', async () => {
  const counts = [2, 3, 3];
  const elements = 600_000;
  let killed: Promise<void> | undefined;
  const faults = (): Faults => (passage) => {
    if (
      killed === undefined &&
      passage.direction === 'receive' &&
      passage.kind === 'result' &&
      passage.step === 2
    )
      killed = nats.kill().then(() => nats.restart());
    return 'pass';
  };
  await gang({ counts, elements, faults }, async (replicas) => {
    await trainAll(replicas, counts, 4);
    assertWeights(replicas, expectedSum(3, 8, elements));
  });
  assert.ok(killed !== undefined, 'the broker was killed');
  await killed;
});

test('messages of other generations, other runs and no format are refused and counted', async () => {
  const counts = [1, 1];
  const elements = 100;
  await gang({ counts, elements }, async (replicas, runId) => {
    const stranger = await connectNats({ url: nats.url, token: nats.token, name: 'stranger' });
    await trainAll(replicas, counts, 1);
    const subject = NAMES.gangSubject(runId, 1);
    const overheard: Uint8Array[] = [];
    stranger.subscribe(subject, {
      callback: (_error, message) => {
        overheard.push(Uint8Array.from(message.data));
      },
    });
    await stranger.flush();
    await Promise.all(replicas.map((replica, rank) => train(replica, membersOf(counts)[rank]!, 2)));
    await until(() => overheard.length >= 1, 'a result was overheard');
    const stale = overheard[0]!;
    new DataView(stale.buffer).setUint32(8, 99, true);
    stranger.publish(subject, stale);
    stranger.publish(subject, new Uint8Array(10));
    await until(
      () => replicas.every(({ exchange }) => exchange.stats().refused >= 2),
      'both strange messages were refused',
    );
    await Promise.all(replicas.map((replica, rank) => train(replica, membersOf(counts)[rank]!, 3)));
    assertWeights(replicas, expectedSum(2, 2, elements));
    await stranger.close();
  });
});

test('a step that is not open is refused, and a closed exchange answers cancelled', async () => {
  await gang({ counts: [1, 1], elements: 4 }, async (replicas) => {
    const [replica] = replicas as [Replica];
    const vectors = new Map([[0, new Float32Array(4)]]);
    await assert.rejects(
      replica.exchange.reduce(0, vectors),
      rejectsWith('failedPrecondition', /before sync/),
    );
    await Promise.all(replicas.map(synchronise));
    await assert.rejects(
      replica.exchange.reduce(5, vectors),
      rejectsWith('failedPrecondition', /step 0 is open/),
    );
    await assert.rejects(
      replica.exchange.reduce(0, new Map()),
      rejectsWith('internal', /shard 0 has no vector/),
    );
    const open = replica.exchange.reduce(0, vectors);
    replica.exchange.close();
    await assert.rejects(open, rejectsWith('cancelled', /was left/));
    await assert.rejects(replica.exchange.sync(WITHOUT_STATE), rejectsWith('cancelled', /was left/));
  });
});

test('one member alone needs no broker', async () => {
  const closed = { isClosed: () => true } as unknown as DataConnection;
  const controller = new AbortController();
  const exchange = createExchange({
    connection: closed,
    names: NAMES,
    runId: 'alone',
    generation: 1,
    rank: 0,
    members: membersOf([2]),
    shards: 2,
    elements: 3,
    provideState: () => zeroState(3),
    log,
    clock: systemClock,
    signal: controller.signal,
  });
  assert.deepEqual(await exchange.sync({ step: 4, digest: '0' }), { step: 4 });
  const vectors = new Map([0, 1].map((shard) => [shard, Float32Array.of(1, 2, shard)]));
  assert.deepEqual(Float32Array.from(await exchange.reduce(4, vectors)), Float32Array.of(2, 4, 1));
  assert.equal(exchange.stats().reduces, 1);
  assert.equal(exchange.stats().bytesSent, 0);
  controller.abort();
  await assert.rejects(exchange.reduce(5, vectors), rejectsWith('cancelled', /was left/));
});

test('a wrong token is refused as unauthenticated, a missing broker as unavailable', async () => {
  await assert.rejects(
    connectNats({ url: nats.url, token: 'wrong', name: 'intruder' }),
    rejectsWith('unauthenticated', /refuses the token of intruder/),
  );
  await assert.rejects(
    connectNats({ url: 'nats://127.0.0.1:1', token: '', name: 'lost', waitMs: 50 }),
    rejectsWith('unavailable', /no broker answers at nats:\/\/127\.0\.0\.1:1/),
  );
});
