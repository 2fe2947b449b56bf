// Members of several hosts, each of which speaks for others of its host in turn, over a real broker and real files: the
// bits are those of one worker, the bytes on the wire those of docs/exchange.md ("Many hosts"), and whoever is lost,
// late or without shared memory changes no bit.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join as joinPath } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Faults, Suspect } from '../../core/allreduce/exchange.ts';
import { PAGE_BYTES } from '../../core/allreduce/memory.ts';
import { type Groups, planOf } from '../../core/allreduce/plan.ts';
import type { Sharing } from '../../core/allreduce/segment-door.ts';
import { createDeferred } from '../../core/deferred.ts';
import { digest64 } from '../../core/digest.ts';
import {
  assertWeights,
  expectedSum,
  type GangOptions,
  join,
  membersOf,
  nextRun,
  gang as openGang,
  type Replica,
  random,
  synchronise,
  train,
  trainAll,
} from '../support/gang.ts';
import { gangHost } from '../support/gang-host.ts';
import { startTypeScript } from '../support/processes.ts';
import { trafficOf } from '../support/traffic.ts';

const { folder, nats, gang } = gangHost('speakers-token');
/** The host of each member by its letter; a dot: it shares no memory. */
const onHosts =
  (hosts: string) =>
  (rank: number): Sharing | undefined =>
    hosts[rank] === '.' ? undefined : { folder, host: hosts[rank] };

const NO_QUESTIONS = { stallMs: 20_000 };

/** The digest of the weights after some steps, and what the last of them sent, in bytes with headers. */
async function summed(options: Omit<GangOptions, 'nats'>, steps: number) {
  const { counts } = options;
  let found: { digest: string; allInBytes: number; allOutBytes: number } | undefined;
  await gang({ ...options, ...NO_QUESTIONS }, async (replicas) => {
    await trainAll(replicas, counts, steps - 1);
    const before = replicas.map(({ exchange }) => ({ ...exchange.stats() }));
    await trainOn(replicas, counts, steps);
    const grown = (name: 'bytesSent' | 'bytesReceived') =>
      replicas.reduce((sum, { exchange }, i) => sum + exchange.stats()[name] - before[i]![name], 0);
    assertWeights(replicas, replicas[0]!.state.weights);
    found = {
      digest: digest64(replicas[0]!.state.weights),
      allInBytes: grown('bytesSent'),
      allOutBytes: grown('bytesReceived'),
    };
  });
  return found!;
}

const trainOn = (replicas: readonly Replica[], counts: readonly number[], end: number) =>
  Promise.all(replicas.map((replica, rank) => train(replica, membersOf(counts)[rank]!, end)));

const WAYS: readonly {
  readonly title: string;
  readonly counts: readonly number[];
  readonly hosts: string;
  /** Members by what they read of each other. */
  readonly groups: Groups;
}[] = [
  {
    title: '2 hosts x 2',
    counts: [1, 1, 1, 1],
    hosts: 'aabb',
    groups: [
      [0, 1],
      [2, 3],
    ],
  },
  {
    title: '2 hosts x 4',
    counts: [1, 1, 1, 1, 1, 1, 1, 1],
    hosts: 'aaaabbbb',
    groups: [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ],
  },
  { title: '3 + 1', counts: [1, 1, 1, 1], hosts: 'aaab', groups: [[0, 1, 2], [3]] },
  {
    title: 'several shards a member, 3 hosts',
    counts: [2, 2, 4, 1, 3],
    hosts: 'aabcc',
    groups: [[0, 1], [2], [3, 4]],
  },
  {
    title: 'hosts that are no whole subtrees',
    counts: [1, 2, 2, 1, 3, 2],
    hosts: 'abbcca',
    groups: [
      [0, 5],
      [1, 2],
      [3, 4],
    ],
  },
  {
    title: 'one member without mapping',
    counts: [1, 1, 1, 1, 2],
    hosts: 'aab.b',
    groups: [[0, 1], [2, 4], [3]],
  },
];

for (const compression of ['none', 'int8', 'bf16'] as const)
  for (const { title, counts, hosts, groups } of WAYS)
    test(`${title}, ${compression}: the bits are those of one worker, the bytes those of the plan`, async () => {
      const shards = counts.reduce((sum, count) => sum + count, 0);
      const elements = shards * 16_384 - 100;
      const options = { elements, compression };
      const alone = await summed({ ...options, counts: [shards] }, 3);
      const { digest, ...bytes } = await summed({ ...options, counts, sharing: onHosts(hosts) }, 3);
      assert.equal(digest, alone.digest);
      const plan = planOf({ ...options, members: membersOf(counts), shards, groups });
      const { allInBytes, allOutBytes } = trafficOf(plan);
      assert.deepEqual(bytes, { allInBytes, allOutBytes });
    });

const someLost = (rank: number): Faults => {
  const next = random(rank + 31);
  return () => {
    const chance = next();
    return chance < 0.1 ? 'drop' : chance < 0.2 ? 'duplicate' : 'pass';
  };
};

for (const compression of ['none', 'int8'] as const)
  test(`${compression}: whatever is lost or comes twice on the way through speakers is repaired`, async () => {
    const counts = [1, 1, 1, 1, 2, 2];
    const options = { counts, elements: 140_000, compression };
    const alone = await summed({ ...options, counts: [8] }, 4);
    await gang({ ...options, faults: someLost, sharing: onHosts('aaaabb') }, async (replicas) => {
      await trainAll(replicas, counts, 4);
      for (const { state } of replicas) assert.equal(digest64(state.weights), alone.digest);
      const stats = replicas.map(({ exchange }) => exchange.stats());
      assert.ok(
        stats.every(({ bytesShared, resends, injected }) => bytesShared > 0 && resends > 0 && injected > 0),
      );
    });
  });

/** What a fault lost, by kind and whether it was between members of one host. */
const lostOnce = (picks: (passage: Parameters<Faults>[0]) => boolean, lost: { count: number }): Faults => {
  return (passage) => {
    if (passage.direction !== 'receive' || lost.count > 0 || !picks(passage)) return 'pass';
    lost.count++;
    return 'drop';
  };
};

for (const compression of ['none', 'int8'] as const)
  for (const [what, rank, picks] of [
    // Rank 1 speaks to owner 3, and rank 0 to owner 2; the same two bring what these publish.
    ['a note to a speaker', 1, { kind: 'contribution', peer: 0 }],
    ['what a speaker sends', 3, { kind: 'contribution', peer: 1 }],
    ['a result for a host', 1, { kind: 'result', peer: 3 }],
    ['a note about a result that was brought', 0, { kind: 'result', peer: 1 }],
  ] as const)
    test(`${compression}: ${what} is lost, and asked for where it was lost`, async () => {
      const counts = [2, 2, 2, 2];
      const options = { counts, elements: 400_000, compression };
      const alone = await summed({ ...options, counts: [8] }, 2);
      const lost = { count: 0 };
      const faults = (member: number): Faults =>
        member === rank
          ? lostOnce(({ kind, peer, step }) => kind === picks.kind && peer === picks.peer && step === 1, lost)
          : () => 'pass';
      await gang({ ...options, faults, stallMs: 60, sharing: onHosts('aabb') }, async (replicas) => {
        await trainAll(replicas, counts, 2);
        for (const { state } of replicas) assert.equal(digest64(state.weights), alone.digest);
        assert.equal(lost.count, 1);
        assert.ok(replicas[rank]!.exchange.stats().nacks > 0);
        assert.ok(replicas[picks.peer]!.exchange.stats().resends > 0);
      });
    });

test('vectors of many chunks go through speakers by the window, with the same bits', async () => {
  const counts = [1, 1, 1, 1];
  for (const compression of ['none', 'int8'] as const) {
    const options = { elements: 2_200_000, compression };
    const plan = planOf({
      ...options,
      members: membersOf(counts),
      shards: 4,
      groups: [
        [0, 1],
        [2, 3],
      ],
    });
    assert.ok(plan.chunks.every((chunks) => chunks.length > 1));
    const alone = await summed({ ...options, counts: [4] }, 2);
    const { digest } = await summed({ ...options, counts, sharing: onHosts('aabb') }, 2);
    assert.equal(digest, alone.digest);
  }
});

test('members of one machine that do not see the same files are groups of their own', async () => {
  const other = joinPath(folder, 'pod');
  mkdirSync(other);
  const counts = [1, 1, 1, 1];
  const elements = 200_000;
  const sharing = (rank: number): Sharing => ({ folder: rank < 2 ? folder : other, host: 'a' });
  await openGang({ nats: nats(), counts, elements, sharing, ...NO_QUESTIONS }, async (replicas) => {
    await trainAll(replicas, counts, 1);
    const before = replicas.map(({ exchange }) => exchange.stats().bytesSent);
    await trainOn(replicas, counts, 2);
    assertWeights(replicas, expectedSum(1, 4, elements));
    const sent = replicas.reduce((sum, { exchange }, i) => sum + exchange.stats().bytesSent - before[i]!, 0);
    const plan = planOf({
      elements,
      members: membersOf(counts),
      shards: 4,
      groups: [
        [0, 1],
        [2, 3],
      ],
    });
    assert.equal(sent, trafficOf(plan).allInBytes);
  });
  assert.deepEqual(readdirSync(other), []);
  rmSync(other, { recursive: true });
  assert.deepEqual(readdirSync(folder), [], 'no file is left');
});

test('kill -9 of a speaker: the gang forms again without it, to the same bits', async () => {
  const counts = [1, 1, 1, 1];
  const elements = 60_000;
  const runId = nextRun();
  const sharing = onHosts('aabb');
  const told = { access: nats().access, counts, elements, rank: 1, runId, sharing: sharing(1), steps: 1 };
  const script = fileURLToPath(new URL('../support/sharing-member.ts', import.meta.url));
  const child = startTypeScript(script, [JSON.stringify(told)]);
  const options = { nats: nats(), counts, elements, sharing };
  const ranks = [0, 2, 3];
  const replicas = await Promise.all(ranks.map((rank) => join(options, rank, runId)));
  const stuck = replicas.map(async (replica, i) => {
    await synchronise(replica);
    await train(replica, membersOf(counts)[ranks[i]!]!, 2);
  });
  for (const promise of stuck) promise.catch(() => {});
  try {
    await child.untilOutput(/summed 1/, 60_000);
    await child.stop('SIGKILL');
    assert.ok(replicas.every(({ exchange }) => exchange.stats().bytesShared > 0));
  } finally {
    await child.stop('SIGKILL');
    for (const replica of replicas) replica.close();
  }
  await Promise.allSettled(stuck);
  assert.deepEqual(readdirSync(folder), [], 'no file is left');
  for (const { step } of replicas) assert.equal(step, 1);
  const next = { counts: [2, 1, 1], elements, runId, generation: 2, starts: replicas };
  await gang({ ...next, sharing: onHosts('abb') }, async (survivors) => {
    await trainAll(survivors, next.counts, 3);
    assertWeights(survivors, expectedSum(2, 4, elements));
  });
});

test('a member that does nothing is the one that all suspect, also those that wait for who speaks for it', async () => {
  const counts = [1, 1, 1, 1];
  // A slice for each member.
  const elements = 80_000;
  const suspected = counts.map(() => new Set<number>());
  const everybody = createDeferred<void>();
  const onSuspects = (rank: number, suspects: readonly Suspect[]): void => {
    for (const suspect of suspects) suspected[rank]!.add(suspect.rank);
    if ([1, 2, 3].every((other) => suspected[other]!.size > 0)) everybody.resolve();
  };
  const options = { counts, elements, onSuspects, stallMs: 40, sharing: onHosts('aabb') };
  await gang(options, async (replicas) => {
    await trainAll(replicas, counts, 6);
    const going = [1, 2, 3].map((rank) => train(replicas[rank]!, membersOf(counts)[rank]!, 7));
    await everybody.promise;
    assert.deepEqual(
      suspected.map((ranks) => [...ranks]),
      [[], [0], [0], [0]],
    );
    await train(replicas[0]!, membersOf(counts)[0]!, 7);
    await Promise.all(going);
    assertWeights(replicas, expectedSum(6, 4, elements));
  });
});

test('where the file has no room for results of other hosts, they go on as messages', async (t) => {
  const counts = [1, 1, 1, 1];
  const elements = 64 * 1024;
  for (const compression of ['none', 'int8'] as const) {
    const alone = await summed({ counts: [4], elements, compression }, 3);
    const small = joinPath(folder, 'small');
    mkdirSync(small);
    // Two files: the token, a vector as it travels and a slice; and a page, where two slices of the other host want room.
    const pages = compression === 'none' ? 1 + 64 + 16 : 1 + 17 + 5;
    const size = `size=${(2 * pages + 1) * PAGE_BYTES}`;
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', size, 'tmpfs', small]).status === 0;
    try {
      if (!mounted) {
        t.skip('a small file system cannot be mounted here');
        return;
      }
      const sharing = (rank: number) => (rank < 2 ? { folder: small, host: 'a' } : undefined);
      await openGang(
        { nats: nats(), counts, elements, compression, sharing, ...NO_QUESTIONS },
        async (replicas) => {
          await trainAll(replicas, counts, 3);
          for (const { state } of replicas) assert.equal(digest64(state.weights), alone.digest);
          const before = replicas.map(({ exchange }) => ({ ...exchange.stats() }));
          await trainOn(replicas, counts, 4);
          const sent = replicas.map(({ exchange }, i) => exchange.stats().bytesSent - before[i]!.bytesSent);
          const shared = replicas.map(
            ({ exchange }, i) => exchange.stats().bytesShared - before[i]!.bytesShared,
          );
          // A slice of its own and a node for the other of its host; nothing that it has brought.
          assert.ok(shared[0]! > 0 && sent[0]! + sent[1]! > 0);
          const plan = planOf({
            ...{ elements, compression, shards: 4 },
            members: membersOf(counts),
            groups: [[0, 1], [2], [3]],
          });
          const whole = trafficOf(plan).allInBytes;
          assert.ok(sent.reduce((a, b) => a + b) > whole, 'more goes through the broker than with room');
        },
      );
    } finally {
      // What was mapped is let go of with the memory of the exchanges.
      if (mounted) spawnSync('umount', ['-l', small]);
      rmSync(small, { recursive: true });
    }
  }
});

/** Changes the last byte of the largest file of a member in this process: of results that were brought. */
function damageBrought(mask: number): void {
  const files = readdirSync('/proc/self/fd').flatMap((fd) => {
    const path = `/proc/self/fd/${fd}`;
    try {
      return readlinkSync(path).startsWith(folder) ? [{ path, size: statSync(path).size }] : [];
    } catch {
      return [];
    }
  });
  const largest = files.sort((a, b) => b.size - a.size)[0]!;
  const file = openSync(largest.path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, largest.size - 1);
  byte[0]! ^= mask;
  writeSync(file, byte, 0, 1, largest.size - 1);
  closeSync(file);
}

test('a damaged byte of a result that was brought is found: exact ones come again, encoded ones end the generation', async () => {
  const counts = [1, 1, 1, 1];
  const elements = 262_144;
  for (const compression of ['none', 'int8'] as const) {
    let strikes = 0;
    const faults =
      (rank: number): Faults =>
      ({ direction, kind, step, peer }) => {
        // A note of rank 1 is about its own slice or about the last one, which it has brought. Each strike changes
        // another bit, so that none takes back what another did.
        if (rank === 0 && direction === 'receive' && kind === 'result' && peer === 1 && step === 1)
          if (strikes < 8) damageBrought(1 << strikes++);
        return 'pass';
      };
    const options = { counts, elements, compression, faults, stallMs: 1_500, sharing: onHosts('aabb') };
    await gang(options, async (replicas) => {
      const ended = Promise.all(
        replicas.map(async (replica, rank) => {
          await synchronise(replica);
          await train(replica, membersOf(counts)[rank]!, 3);
        }),
      );
      if (compression === 'none') await ended;
      else await assert.rejects(ended, /changed memory/);
      assert.ok(strikes >= 2 && replicas[0]!.exchange.stats().refused > 0);
      if (compression === 'none') assertWeights(replicas, expectedSum(2, 4, elements));
    });
  }
});
