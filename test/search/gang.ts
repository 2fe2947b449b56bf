// `npm run test:search`: searches with real passes over a real broker. 1, 2, 3 and 8 members end with the same weights,
// alphas and moments, in both orders and all variants, and with the same evaluations; a member without a state in the middle of an epoch gets that of
// the others; and a step that breaks off in any round is begun again to the same bits. STEPS (30) shortens it.
//
// A pass is computed once for each distinct input, bit by bit, and gangs of one test that come to the same weights,
// alphas and batch get its result again: they differ in who sums what, which is what is tested here. A gang whose bits
// are other ones has other inputs, and so computes its own passes.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createDataPlane, type DataPlane } from '../../core/allreduce/plane.ts';
import { createLoader } from '../../core/data/loading/loader.ts';
import { sha256Hex } from '../../core/digest.ts';
import { createLogger } from '../../core/log.ts';
import type { Order, Variant } from '../../core/search/rounds.ts';
import type { SearchFound } from '../../core/spec/search.ts';
import { stateDigest } from '../../core/state-vectors.ts';
import { type Compute, createCompute } from '../../worker/compute/client.ts';
import { NAMES } from '../support/names.ts';
import { startNats } from '../support/nats.ts';
import {
  copyOf,
  joinSearch,
  type SearchGangOptions,
  stepTogether,
  tinySearch,
} from '../support/search-gang.ts';

const STEPS = Number(process.env.STEPS ?? 30);
const MEMBERS_MAX = 8;
const PLACEMENTS = [[8], [3, 5], [1, 5, 2], [1, 1, 1, 1, 1, 1, 1, 1]];

const log = createLogger({ program: 'test', level: 'silent' });
const nats = await startNats({ jetstream: false });
const planes: DataPlane[] = [];
for (let rank = 0; rank < MEMBERS_MAX; rank++)
  planes.push(
    await createDataPlane({ ...nats.access, name: `plane ${rank}`, log, prefixes: NAMES.prefixes }),
  );
const real = createCompute({ cacheDir: '' });
const passes = new Map<string, Promise<Float32Array>>();
const compute: Compute = {
  ...real,
  async runGraph(graph, inputs, into) {
    const key = [JSON.stringify(graph), ...inputs.map(digestOfInput)].join();
    const known = passes.get(key) ?? computed(graph, inputs, into);
    passes.set(key, known);
    if (into === undefined) return [await known];
    into.set(await known);
    return [];
  },
};

/** A copy of what the pass has written, since the memory of a shard is written again. */
async function computed(...[graph, inputs, into]: Parameters<Compute['runGraph']>) {
  const [output] = await real.runGraph(graph, inputs, into);
  return into?.slice() ?? output!;
}

const digestOfInput = (input: ArrayBufferView): string =>
  sha256Hex(Uint8Array.from(new Uint8Array(input.buffer, input.byteOffset, input.byteLength)));
const loader = await createLoader({ data: tinySearch().data });
after(async () => {
  await loader.close();
  await real.close();
  for (const plane of planes) await plane.close();
  await nats.stop();
});

const { classes, trainingImages } = loader.facts;
let runs = 0;

const join = (options: Pick<SearchGangOptions, 'spec' | 'counts'> & Partial<SearchGangOptions>) =>
  joinSearch({
    ...{ classes, trainingImages, loader, compute, planes: (rank: number) => planes[rank]! },
    ...{ runId: `run-${++runs}`, ...options },
  });

const searchOf = (order: Order, variant: Variant, more: { readonly probeEvery?: number } = {}) =>
  // 24 images in each half and 16 a step: epochs end after 3 of 2 steps. One epoch is warm-up.
  tinySearch({ order, variant, epochs: Math.ceil((STEPS * 16) / 24) + 1, warmUpEpochs: 1, ...more });

for (const order of ['first', 'second'] as const)
  for (const variant of ['reference', 'noleak', 'darts'] as const)
    test(`${order} order, ${variant}: ${STEPS} steps have the same bits on 1, 2, 3 and 8 members`, async () => {
      passes.clear();
      const digests: string[] = [];
      for (const [i, counts] of PLACEMENTS.entries()) {
        // Probes move no bit: the first gang makes none.
        const probes = order === 'second' && i > 0 ? { probeEvery: 2 } : {};
        const members = await join({ spec: searchOf(order, variant, probes), counts });
        digests.push(await stepTogether(members, STEPS));
        for (const member of members) await member.leave();
      }
      assert.equal(new Set(digests).size, 1, digests.join(' '));
    });

test('evaluation and decoding by perturbation find the same on 1, 2 and 3 members, and change no bit', async () => {
  passes.clear();
  // 8 images in the half of the alphas: 220 evaluations of it take 880 passes.
  const data = { kind: 'synthetic', identities: 6, images: 4, holdout: 2, seed: 5, difficulty: 1 } as const;
  const few = await createLoader({ data });
  const set = { classes: few.facts.classes, trainingImages: few.facts.trainingImages, loader: few };
  const search = { order: 'first', epochs: 2, batch: 8, shards: 4 };
  const [plain] = await join({ spec: tinySearch(search), counts: [4], ...set });
  const digest = await stepTogether([plain!], 2);
  await plain!.leave();
  const found: SearchFound[] = [];
  for (const counts of [[4], [1, 3], [1, 2, 1]]) {
    const spec = tinySearch({ ...search, evaluateEvery: 1, decode: 'perturb' });
    const members = await join({ spec, counts, ...set });
    await stepTogether(members, 2);
    const all = await Promise.all(members.map((member) => member.found(2)));
    for (const other of all) assert.deepEqual(other, all[0]);
    found.push(all[0]!);
    assert.equal(await stepTogether(members, 0), digest);
    for (const member of members) await member.leave();
  }
  await few.close();
  for (const other of found) assert.deepEqual(other, found[0]);
  const { loss, accuracy } = found[0]!.evaluation!;
  assert.ok(Number.isFinite(loss) && Number.isInteger(accuracy * 8), `${loss}, ${accuracy} of 8 images`);
});

test('a member that joins in the middle of an epoch gets the whole state, and changes no bit', async () => {
  const spec = searchOf('second', 'noleak');
  const alone = await join({ spec, counts: [8] });
  await stepTogether(alone, 5);
  const runId = `run-${++runs}`;
  const [first] = await join({ spec, counts: [8], runId });
  await stepTogether([first!], 4);
  await first!.leave();
  const [fresh] = await join({ spec, counts: [8] });
  const replicas = [fresh!.replica, first!.replica, copyOf(fresh!.replica)];
  await fresh!.leave();
  const members = await join({ spec, counts: [2, 3, 3], runId, generation: 2, replicas });
  assert.equal(await stepTogether(members, 1), stateDigest(alone[0]!.replica.vectors));
  for (const member of [...members, ...alone]) await member.leave();
});

test('a gang that ends at any moment of a step has moved nothing or the whole step, and goes on to the same bits', async () => {
  const spec = searchOf('second', 'darts');
  const alone = await join({ spec, counts: [8], compute: real });
  const digests = [stateDigest(alone[0]!.replica.vectors)];
  for (let step = 0; step < 3; step++) digests.push(await stepTogether(alone, 1));
  // Passes are computed each time, so that a step also breaks off within one. It takes some hundred milliseconds, and
  // where it is broken off moves through all of its rounds.
  for (let part = 0; part < 10; part++) {
    const runId = `run-${++runs}`;
    const stop = new AbortController();
    const first = await join({ spec, counts: [4, 4], runId, signal: stop.signal, compute: real });
    const startedAt = performance.now();
    await stepTogether(first, 1);
    const tookMs = performance.now() - startedAt;
    const open = first.map((member) => member.step());
    const timer = setTimeout(() => stop.abort(new Error('broken off')), (tookMs * part) / 10);
    await Promise.allSettled(open);
    clearTimeout(timer);
    for (const { replica } of first)
      assert.equal(stateDigest(replica.vectors), digests[replica.step], `member at step ${replica.step}`);
    for (const member of first) await member.leave();
    const replicas = [first[1]!.replica, first[0]!.replica, copyOf(first[0]!.replica)];
    const again = await join({ spec, counts: [1, 2, 5], runId, generation: 2, replicas });
    const left = 3 - again[0]!.replica.step;
    assert.equal(await stepTogether(again, left), digests[3], `broken off at ${part}/10`);
    for (const member of again) await member.leave();
  }
  for (const member of alone) await member.leave();
});
