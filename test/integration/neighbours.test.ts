// Members of one host that read each other's memory, over a real broker and real files: the bits are those of
// the canonical tree however members share, and a file, or what is left of one, never outlives its use.

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
  writeSync,
} from 'node:fs';
import { join as joinPath } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Compression, Faults } from '../../core/allreduce/exchange.ts';
import { createExchangeMemory, PAGE_BYTES } from '../../core/allreduce/memory.ts';
import { planOf } from '../../core/allreduce/plan.ts';
import { removeOrphans } from '../../core/allreduce/segment.ts';
import { type Sharing, segmentDoor } from '../../core/allreduce/segment-door.ts';
import { FleetError } from '../../core/errors.ts';
import { memoryMap } from '../../core/system/memory-map.ts';
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
  shardVector,
  synchronise,
  train,
  trainAll,
} from '../support/gang.ts';
import { gangHost } from '../support/gang-host.ts';
import { startTypeScript } from '../support/processes.ts';

const { folder, nats, gang } = gangHost('neighbours-token');
const onHost =
  (...hosts: readonly (string | undefined)[]) =>
  (rank: number): Sharing | undefined =>
    hosts[rank] === undefined ? undefined : { folder, host: hosts[rank] };

const WAYS: readonly {
  readonly title: string;
  readonly counts: readonly number[];
  readonly hosts: readonly (string | undefined)[];
  /** Whether the member gives data to others where it lies. */
  readonly shares: readonly boolean[];
}[] = [
  { title: 'one member', counts: [4], hosts: ['a'], shares: [false] },
  { title: 'two of one host', counts: [3, 1], hosts: ['a', 'a'], shares: [true, true] },
  { title: 'three of one host', counts: [1, 2, 3], hosts: ['a', 'a', 'a'], shares: [true, true, true] },
  { title: 'two hosts', counts: [1, 1, 1, 1], hosts: ['a', 'a', 'b', 'b'], shares: [true, true, true, true] },
  { title: 'one without', counts: [2, 2, 4], hosts: ['a', undefined, 'a'], shares: [true, false, true] },
];

/** Every way for exact sums; compressed ones differ in where data lies, not in who shares. */
const CASES: readonly (readonly [Compression, (typeof WAYS)[number]])[] = [
  ...WAYS.map((way) => ['none', way] as const),
  ['int8', WAYS[2]!],
  ['int8', WAYS[3]!],
  ['bf16', WAYS[2]!],
];

for (const [compression, { title, counts, hosts, shares }] of CASES)
  test(`${title}, ${compression}: the bits are those without shared memory`, async () => {
    const shards = counts.reduce((sum, count) => sum + count, 0);
    const elements = shards * 16_384 - 100;
    const digests: string[] = [];
    const run = (sharing: GangOptions['sharing']) =>
      gang({ counts, elements, compression, ...(sharing && { sharing }) }, async (replicas) => {
        await trainAll(replicas, counts, 2);
        if (compression === 'none') assertWeights(replicas, expectedSum(1, shards, elements));
        assertWeights(replicas, replicas[0]!.state.weights);
        digests.push(Buffer.from(replicas[0]!.state.weights.buffer).toString('base64'));
        const given = replicas.map(({ exchange }) => exchange.stats().bytesShared > 0);
        assert.deepEqual(given, sharing === undefined ? counts.map(() => false) : shares);
      });
    await run(undefined);
    await run(onHost(...hosts));
    assert.equal(digests[0], digests[1]);
  });

const HOST = { folder, host: 'a' };

test('lost and repeated notes are repaired by messages with the data', async () => {
  const counts = [2, 1, 1];
  const elements = 300_000;
  const faults = (rank: number): Faults => {
    const next = random(rank + 77);
    return () => {
      const chance = next();
      return chance < 0.1 ? 'drop' : chance < 0.2 ? 'duplicate' : 'pass';
    };
  };
  await gang({ counts, elements, faults, sharing: onHost('a', 'a', 'a') }, async (replicas) => {
    await trainAll(replicas, counts, 4);
    assertWeights(replicas, expectedSum(3, 4, elements));
    const stats = replicas.map(({ exchange }) => exchange.stats());
    assert.ok(stats.every(({ bytesShared, resends }) => bytesShared > 0 && resends > 0));
  });
});

/** Sets a byte of the first number of the first vector in the file whose memory has `value` there. */
function damage(value: number, byte = 0x5a): number {
  let damaged = 0;
  for (const fd of readdirSync('/proc/self/fd')) {
    const path = `/proc/self/fd/${fd}`;
    try {
      if (!readlinkSync(path).startsWith(folder)) continue;
      const file = openSync(path, 'r+');
      const found = new Float32Array(1);
      readSync(file, found, 0, 4, PAGE_BYTES);
      if (found[0] === value) damaged += writeSync(file, Uint8Array.of(byte), 0, 1, PAGE_BYTES + 1);
      closeSync(file);
    } catch {
      // The folder of descriptors itself, which is closed by now.
    }
  }
  return damaged;
}

test('a damaged byte in a file is found by the fingerprint, and the next generation computes the step again', async () => {
  const counts = [1, 1];
  const elements = 40_000;
  let damaged = 0;
  const faults =
    (rank: number): Faults =>
    ({ direction, kind, step, chunk }) => {
      const strikes = rank === 0 && direction === 'receive' && kind === 'contribution' && step === 1;
      if (strikes && chunk === 0 && damaged === 0) damaged += damage(shardVector(1, 1, elements)[0]!);
      return 'pass';
    };
  const left: Replica[] = [];
  const options = { counts, elements, sharing: onHost('a', 'a') };
  await gang({ ...options, faults }, async (replicas) => {
    const results = replicas.map(async (replica, rank) => {
      await synchronise(replica);
      await train(replica, membersOf(counts)[rank]!, 3);
    });
    results[0]!.catch(() => {});
    await assert.rejects(
      results[1]!,
      (error) =>
        error instanceof FleetError && error.code === 'unavailable' && /changed memory/.test(error.message),
    );
    assert.equal(damaged, 1);
    assert.ok(replicas[0]!.exchange.stats().refused > 0);
    assert.deepEqual(
      replicas.map(({ step }) => step),
      [1, 1],
    );
    left.push(...replicas);
  });
  await gang({ ...options, generation: 2, starts: left }, async (replicas) => {
    await trainAll(replicas, counts, 3);
    assertWeights(replicas, expectedSum(2, 2, elements));
  });
});

test('data that is not what its note says, and is again when it is asked for, comes as a message', async () => {
  const counts = [1, 1];
  const elements = 120_000;
  const given = Float32Array.of(shardVector(1, 1, elements)[0]!);
  const wrong = given.slice();
  const whole = new Uint8Array(given.buffer)[1]!;
  new Uint8Array(wrong.buffer)[1] = 0x5a;
  const changes: number[] = [];
  const faults =
    (rank: number): Faults =>
    ({ direction, kind, step, chunk }) => {
      if (direction !== 'receive' || step !== 1) return 'pass';
      const isNoted = rank === 0 && kind === 'contribution' && chunk === 0;
      if (isNoted && changes.length === 0) changes.push(damage(given[0]!));
      if (rank === 1 && kind === 'missing' && changes.length === 1) changes.push(damage(wrong[0]!, whole));
      return 'pass';
    };
  await gang({ counts, elements, faults, sharing: onHost('a', 'a') }, async (replicas) => {
    await trainAll(replicas, counts, 3);
    assert.deepEqual(changes, [1, 1]);
    assertWeights(replicas, expectedSum(2, 2, elements));
    assert.equal(replicas[0]!.exchange.stats().refused, 1);
  });
});

test('a folder without room, and one that is not there, leave the exchange to the broker', async (t) => {
  const small = joinPath(folder, 'small');
  mkdirSync(small);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', small]).status === 0;
  try {
    if (!mounted) t.diagnostic('a file system of 64 KiB cannot be mounted here');
    const elements = 100_000;
    const folders = [mounted ? small : joinPath(folder, 'none'), joinPath(folder, 'none'), folder];
    const sharing = (rank: number): Sharing => ({ folder: folders[rank]!, host: 'a' });
    await openGang({ nats: nats(), counts: [1, 1, 2], elements, sharing }, async (replicas) => {
      await trainAll(replicas, [1, 1, 2], 2);
      assertWeights(replicas, expectedSum(1, 4, elements));
      for (const { exchange } of replicas) assert.equal(exchange.stats().bytesShared, 0);
      assert.deepEqual(readdirSync(small), []);
    });
  } finally {
    if (mounted) spawnSync('umount', [small]);
    rmSync(small, { recursive: true });
  }
  assert.deepEqual(readdirSync(folder), []);
});

test('a folder that is not there, or is a file, is named where a neighbour is; an empty name asks for nothing', () => {
  const plan = planOf({ members: membersOf([1, 1]), shards: 2, elements: 40_000 });
  const memory = createExchangeMemory(plan, 0);
  const door = (where: string) =>
    segmentDoor({ plan, rank: 0, memory, sharing: { folder: where, host: 'a' } });
  assert.equal(door(''), undefined);
  assert.equal(door('/dev/shm-not-there')?.host, 'a');
  for (const where of ['/dev/shm-not-there', '/etc/hostname']) {
    const message = new RegExp(`^ENO(ENT|TDIR): .*'${where}`);
    assert.throws(() => door(where)!.create(), { message });
    door(where)!.sweep();
  }
});

test('a folder that goes away in the middle of a run ends no member', async () => {
  const own = joinPath(folder, 'own');
  mkdirSync(own);
  const counts = [1, 2, 1];
  const elements = 60_000;
  const sharing = (): Sharing => ({ folder: own, host: 'a' });
  await gang({ counts, elements, sharing }, async (replicas) => {
    await trainAll(replicas, counts, 1);
    rmSync(own, { recursive: true });
    await trainAll(replicas, counts, 3);
    assertWeights(replicas, expectedSum(2, 4, elements));
    for (const { exchange } of replicas) assert.ok(exchange.stats().bytesShared > 0);
    for (const { exchange } of replicas) exchange.close();
  });
});

test('kill -9 of a member in the middle of a sum leaves no file, and the others go on to the same bits', async () => {
  const counts = [1, 2, 1];
  const elements = 60_000;
  const runId = nextRun();
  const told = { access: nats().access, counts, elements, rank: 2, runId, sharing: HOST, steps: 1 };
  const script = fileURLToPath(new URL('../support/sharing-member.ts', import.meta.url));
  const child = startTypeScript(script, [JSON.stringify(told)]);
  const options = { nats: nats(), counts, elements, sharing: () => HOST };
  const replicas = await Promise.all([0, 1].map((rank) => join(options, rank, runId)));
  const stuck = replicas.map(async (replica, rank) => {
    await synchronise(replica);
    await train(replica, membersOf(counts)[rank]!, 2);
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
  assert.deepEqual(
    replicas.map(({ step }) => step),
    [1, 1],
  );
  await gang(
    { counts: [2, 2], elements, runId, generation: 2, starts: replicas, sharing: () => HOST },
    async (next) => {
      await trainAll(next, [2, 2], 3);
      assertWeights(next, expectedSum(2, 4, elements));
    },
  );
});

test('the file of a process that was killed before it could remove it goes, one that is held stays', async () => {
  const held = openSync(joinPath(folder, `pocketfleet-sum-${'a'.repeat(32)}`), 'w');
  const orphan = openSync(joinPath(folder, `pocketfleet-sum-${'b'.repeat(32)}`), 'w');
  const mapping = memoryMap()!;
  assert.ok(mapping.lock(held) && mapping.lock(orphan));
  closeSync(orphan);
  removeOrphans(folder, mapping);
  assert.deepEqual(readdirSync(folder), [`pocketfleet-sum-${'a'.repeat(32)}`]);
  closeSync(held);
  removeOrphans(folder, mapping);
  assert.deepEqual(readdirSync(folder), []);
});
