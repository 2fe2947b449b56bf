// `npm run test:pjrt`, `head: sharded`: backbone and class shards that stay on the device have the bits of those in
// memory, for any placement, through a change of the gang and an update that the next generation commits, and nothing
// is left there. The module that moves rows has the bits of updateRows, and no row crosses between host and device for
// it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetError } from '../../core/errors.ts';
import { compileRows, keepRows } from '../../core/head/resident-rows.ts';
import { updateRows } from '../../core/head/rows.ts';
import { stateDigest } from '../../core/state-vectors.ts';
import { createKeptRows } from '../../worker/compute/kept-rows.ts';
import { cpuClient, cpuEngine } from '../support/pjrt.ts';
import { pjrtGangs } from '../support/pjrt-gangs.ts';
import { copyOf, createSums } from '../support/search-gang.ts';
import { numbers } from '../support/tensors.ts';
import { tinyRun, withTraining } from '../support/tiny-run.ts';

const network = {
  ...{ kind: 'iresnet', blocks: [1, 1, 1, 1], widths: [4, 4, 4, 4], stem: 4, embedding: 8 },
} as const;
const data = { kind: 'synthetic', identities: 50, images: 4, holdout: 2, seed: 5 };
const spec = tinyRun({ network, data, ...withTraining({ head: 'sharded' }) });
const sampled = tinyRun({ network, data, ...withTraining({ head: 'sharded', batch: 8, negatives: 0.5 }) });
const { compute, onHost, gang } = await pjrtGangs({ name: 'head', spec });
type Members = Awaited<ReturnType<typeof gang>>;
const optimizer = { momentum: 0.9, weightDecay: 5e-4, clipNorm: 5 };

async function train(members: Members, steps: number): Promise<void> {
  for (let step = 0; step < steps; step++) await Promise.all(members.map((member) => member.step()));
}

/** The whole state of the gang, which goes on. */
async function digestOf(members: Members): Promise<string> {
  const [state, ...others] = await Promise.all(members.map((member) => member.state()));
  assert.deepEqual(
    others,
    others.map(() => undefined),
  );
  return stateDigest(state!);
}

async function leave(members: Members): Promise<void> {
  for (const member of members) await member.leave();
}

async function assertNothingKept(): Promise<void> {
  await compute.proveDevice();
  assert.equal(compute.threadGauges().tensors, 0, 'nothing is left on the device');
}

for (const [title, size] of [
  ['all rows', 37],
  ['rows that are drawn', 9],
  ['one row', 1],
] as const)
  test(`${title}: moved with the bits of updateRows, and a gradient that is not finite changes nothing`, () => {
    const engine = cpuEngine();
    const [count, embedding] = [37, 8];
    const length = count * embedding;
    const programs = compileRows(engine, { rows: { count, embedding, chosen: size }, optimizer })!;
    const host = { weights: numbers(length, 1), momentum: numbers(length, 2) };
    // Rows that stand still, and move to zero from below: neither may become -0.
    host.weights.fill(0, 0, 8);
    host.momentum.fill(-0, 0, 8);
    const rows = keepRows(engine, host);
    const into = {
      weights: new Float32Array(length),
      momentum: new Float32Array(length),
      gradient: new Float32Array(size * embedding),
    };
    /** Other rows in each step; all of them where all take part. */
    const chosenIn = (step: number) =>
      Uint32Array.from({ length: size }, (_, i) => (size === count ? i : (7 * i + step) % count)).sort();
    for (const [step, scale] of [1, 0.25, 2 ** -6].entries()) {
      const chosen = chosenIn(step);
      const gradient = numbers(into.gradient.length, 10 + step);
      gradient.fill(-0, 0, 8);
      rows.choose(programs, chosen);
      const taken = new Float32Array(gradient.length);
      rows.chosenRows().read(taken);
      const expected = [...chosen].flatMap((row) => [
        ...host.weights.subarray(row * embedding, (row + 1) * embedding),
      ]);
      assert.deepEqual([...taken], expected);
      const options = { scale, learningRate: 0.1 / (step + 3), step };
      updateRows({ ...host, chosen, optimizer, gradient, ...options });
      rows.take(engine.keep(gradient, 0));
      const before = cpuClient().copied();
      rows.commit(programs, options);
      const { toDevice, fromDevice } = cpuClient().copied();
      // The scale and the rate, and where some are drawn the places; whether the gradient is finite.
      const places = size === count ? 0 : 4 * count;
      assert.deepEqual([toDevice - before.toDevice, fromDevice - before.fromDevice], [16 + places, 4]);
      rows.read(into);
      assert.deepEqual(new Uint32Array(into.weights.buffer), new Uint32Array(host.weights.buffer));
      assert.deepEqual(new Uint32Array(into.momentum.buffer), new Uint32Array(host.momentum.buffer));
    }
    for (const value of [Number.NaN, Number.NEGATIVE_INFINITY]) {
      const gradient = numbers(into.gradient.length, 20);
      gradient[gradient.length - 3] = value;
      rows.choose(programs, chosenIn(5));
      rows.take(engine.keep(gradient, 0));
      const options = { scale: 1, learningRate: 0.1, step: 7 };
      assert.throws(() => rows.commit(programs, options), {
        code: 'outOfRange',
        message: new RegExp(`head\\.kernel is ${value} in step 7`),
      });
      rows.read(into);
      assert.deepEqual([into.weights, into.momentum], [host.weights, host.momentum]);
      assert.ok(Object.is(into.gradient[gradient.length - 3], value), 'the gradient is still there');
    }
    rows.free();
    rows.free();
    programs.dispose();
  });

test('rows in memory are moved by the same programs', () => {
  const kept = createKeptRows({ engine: cpuEngine(), cacheDir: '' });
  const length = 5 * 8;
  const given = () => ({ weights: numbers(length, 1), momentum: numbers(length, 2) });
  for (const chosen of [
    [0, 1, 2, 3, 4],
    [1, 4],
  ]) {
    const request = {
      ...{ chosen: Uint32Array.from(chosen), gradient: numbers(chosen.length * 8, 3), optimizer },
      ...{ scale: 0.5, learningRate: 0.1, step: 3 },
    };
    const [expected, moved] = [given(), given()];
    updateRows({ ...request, ...expected });
    const before = cpuClient().copied().toDevice;
    kept.update({ ...request, ...moved });
    assert.deepEqual(moved, expected);
    assert.ok(cpuClient().copied().toDevice > before);
  }
  assert.deepEqual(kept.gauges(), { tensors: 0, bytes: 0 });
});

test('a sharded head on the device has the bits of one in memory, for any placement and through a change of the gang', async () => {
  const reference = await gang({ counts: [4], compute: onHost });
  const digests: string[] = [];
  for (let step = 0; step < 5; step++) {
    await train(reference, 1);
    digests.push(await digestOf(reference));
  }
  await leave(reference);
  assert.equal(new Set(digests).size, digests.length);
  await assertNothingKept();

  const alone = await gang({ counts: [4] });
  await train(alone, 3);
  // Weights, momentum and running statistics; of four class shards weights and momentum.
  assert.equal(compute.threadGauges().tensors, 3 + 4 * 2);
  assert.equal(await digestOf(alone), digests[2]);
  await leave(alone);
  await assertNothingKept();

  // The gang grows; the next generation begins with what memory has.
  const { replica, procedure } = alone[0]!;
  const joined = await gang({ counts: [1, 3] });
  await train(joined, 3);
  assert.equal(await digestOf(joined), digests[2]);
  await train(joined, 2);
  assert.equal(await digestOf(joined), digests[4]);
  await leave(joined);
  const again = await gang({
    ...{ counts: [4], generation: 2, replicas: [replica], procedures: [procedure] },
  });
  await train(again, 2);
  assert.equal(await digestOf(again), digests[4]);
  await leave(again);
  await assertNothingKept();
});

test('an update that others have committed is committed by the next generation, from what came back from the device', async () => {
  const reference = await gang({ counts: [4], compute: onHost });
  await train(reference, 3);
  const committed = copyOf(reference[0]!.replica);
  const digest = await digestOf(reference);
  await leave(reference);

  const runId = 'head-late';
  const refused = (of: string, round: number) =>
    of === runId && round === 2 ? new FleetError('aborted', 'generation 2 has begun') : undefined;
  const plane = createSums(refused);
  const late = await gang({ counts: [4], runId, planes: () => plane });
  await train(late, 2);
  await assert.rejects(train(late, 1), /generation 2 has begun/);
  // The gradients of four class shards wait for their commit.
  assert.equal(compute.threadGauges().tensors, 3 + 4 * 3);
  await leave(late);
  const next = { counts: [4], runId, generation: 2, procedures: [late[0]!.procedure] };
  const again = await gang({ ...next, replicas: [committed] });
  assert.equal(await digestOf(again), digest);
  await leave(again);
  await assertNothingKept();
});

test('a head that draws classes has on the device the bits of one in memory', async () => {
  const digests: string[] = [];
  for (const [where, tensors] of [
    [onHost, 0],
    [compute, 3 + 4 * 2],
  ] as const) {
    const members = await gang({ spec: sampled, counts: [4], compute: where });
    await train(members, 3);
    assert.equal(compute.threadGauges().tensors, tensors);
    digests.push(await digestOf(members));
    await leave(members);
  }
  assert.equal(digests[0], digests[1]);
  await assertNothingKept();
});
