// Small decisions of the exchange: which part a message is for, which step a contribution begins, when to ask, what compression does
// to which numbers, which messages are of this gang, and what is missing of a member.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isReadyToAdd, missingContributions, slotOf } from '../../../core/allreduce/arrivals.ts';
import {
  ASK_MS_MAX,
  isRequestDue,
  silenceAfterRequest,
  silenceFrom,
} from '../../../core/allreduce/asking.ts';
import { originOf } from '../../../core/allreduce/channel.ts';
import { checkStep } from '../../../core/allreduce/exchange.ts';
import { type Header, KINDS, NO_DIGEST } from '../../../core/allreduce/message.ts';
import { shardsInSums, treatmentOf } from '../../../core/allreduce/own-vectors.ts';
import { nextStallMs } from '../../../core/allreduce/pace.ts';
import { planOf } from '../../../core/allreduce/plan.ts';
import { contributionWord } from '../../../core/allreduce/request-words.ts';
import { routesOf } from '../../../core/allreduce/routes.ts';
import { destinationOf, placementOf } from '../../../core/allreduce/routing.ts';
import { beginsStep } from '../../../core/allreduce/steps.ts';
import { FleetError } from '../../../core/errors.ts';

const header = (fields: Partial<Header>): Header => ({
  kind: 'contribution',
  encoding: 'none',
  inMemory: false,
  generation: 4,
  runHash: 11,
  step: 7,
  source: 1,
  ranks: 3,
  shardFirst: 1,
  shardCount: 1,
  owner: 0,
  chunk: 0,
  offset: 0,
  count: 256,
  digest: NO_DIGEST,
  ...fields,
});

test('a message goes to the part that its kind is for, and is answered or dropped when its step is not known', () => {
  const known = KINDS.map((kind) => destinationOf(kind, false, true));
  const unknown = KINDS.map((kind) => destinationOf(kind, false, false));
  const ended = KINDS.map((kind) => destinationOf(kind, true, true));
  assert.deepEqual(Object.fromEntries(KINDS.map((kind, i) => [kind, [known[i], unknown[i], ended[i]]])), {
    contribution: ['reduction', 'nothing', 'repeat-stop'],
    result: ['reduction', 'nothing', 'repeat-stop'],
    missing: ['reduction', 'answer-here', 'repeat-stop'],
    hello: ['sync', 'sync', 'repeat-stop'],
    'ask-state': ['sync', 'sync', 'repeat-stop'],
    state: ['sync', 'sync', 'repeat-stop'],
    stop: ['ending', 'ending', 'ending'],
    here: ['reduction', 'nothing', 'repeat-stop'],
    neighbour: ['neighbours', 'neighbours', 'repeat-stop'],
  });
});

test('only a contribution may begin a step, only sums have a place, and after the end nothing has', () => {
  assert.equal(placementOf('contribution', false), 'begins');
  assert.equal(placementOf('result', false), 'known');
  for (const kind of KINDS) {
    assert.equal(placementOf(kind, true), 'own');
    if (kind !== 'contribution' && kind !== 'result') assert.equal(placementOf(kind, false), 'own');
  }
});

test('a contribution begins the open step, the next one when everything is given, or the first before any agreement', () => {
  const begins = (step: number, open: number | undefined, isWorking: boolean, hasGivenAll: boolean) =>
    beginsStep(step, { open, isWorking, hasGivenAll });
  assert.ok(begins(5, undefined, false, false));
  assert.ok(!begins(5, undefined, true, false), 'there is one agreement and therefore one step');
  assert.ok(begins(5, 5, true, false));
  assert.ok(begins(6, 5, true, true));
  assert.ok(!begins(6, 5, true, false), 'the memory is in use');
  for (const step of [3, 4, 7]) assert.ok(!begins(step, 5, true, true));
});

test('a step is summed in its turn, and the refusal names the open one', () => {
  checkStep(3, 3);
  const refused = (step: number, open: number | undefined, pattern: RegExp): void =>
    assert.throws(
      () => checkStep(step, open),
      (error) =>
        error instanceof FleetError && error.code === 'failedPrecondition' && pattern.test(error.message),
    );
  refused(2, 3, /step 2 .* step 3 is open/);
  refused(0, undefined, /before sync/);
});

test('a quiet member is asked at once after its patience, then at doubling times up to half a second', () => {
  const times: number[] = [];
  let silence = silenceFrom(0, 50);
  for (let now = 0; now <= 3_000; now += 25) {
    if (!isRequestDue(silence, now)) continue;
    times.push(now);
    silence = silenceAfterRequest(silence, now, 50);
  }
  assert.deepEqual(times, [50, 150, 350, 750, 1250, 1750, 2250, 2750]);
  assert.equal(silence.asked, times.length);
  assert.equal(silence.newsAt, 0);
  assert.equal(silenceAfterRequest(silence, 0, 2 * ASK_MS_MAX).patienceMs, 2 * ASK_MS_MAX);
});

test('patience grows with repetitions up to a second and comes back to the least without them', () => {
  let stallMs = 100;
  for (let i = 0; i < 10; i++) stallMs = nextStallMs(stallMs, true, 100);
  assert.equal(stallMs, 1000);
  for (let i = 0; i < 30; i++) stallMs = nextStallMs(stallMs, false, 100);
  assert.equal(stallMs, 100);
});

test('a message is of the gang when run, generation, size and rank are its own', () => {
  const here = { generation: 4, runHash: 11, rank: 0, ranks: 3 };
  assert.equal(originOf(header({}), here), 'member');
  assert.equal(originOf(header({ source: 0 }), here), 'own');
  for (const fields of [
    { generation: 3 },
    { runHash: 12 },
    { ranks: 2 },
    { source: 3 },
    { source: 0, generation: 3 },
  ])
    assert.equal(originOf(header(fields), here), 'foreign');
});

test('a shard is rounded where it is sent, its image counts where it is added, and its own slice stays exact', () => {
  for (const added of [false, true]) {
    assert.equal(treatmentOf('none', false, added), 'leave');
    assert.equal(treatmentOf('none', true, added), 'leave');
    assert.equal(treatmentOf('bf16', true, added), 'leave');
    assert.equal(treatmentOf('int8', true, added), 'carry');
    for (const compression of ['bf16', 'int8'] as const)
      assert.equal(treatmentOf(compression, false, added), added ? 'replace' : 'encode');
  }
  const nodes = [
    { first: 3, size: 1 },
    { first: 4, size: 4 },
  ];
  assert.deepEqual([...shardsInSums(nodes)], [4, 5, 6, 7]);
});

const counts = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 5 });

test('each contribution of a plan has a slot of its own, and what no plan asks for has none', () => {
  fc.assert(
    fc.property(
      counts,
      fc.constantFrom('none' as const, 'bf16' as const, 'int8' as const),
      (shards, compression) => {
        let shardFirst = 0;
        const members = shards.map((shardCount, rank) => {
          const member = { workerId: `w${rank}`, shardFirst, shardCount };
          shardFirst += shardCount;
          return member;
        });
        const plan = planOf({ members, shards: shardFirst, elements: 1_000, compression });
        const foreign = routesOf(plan, 0).received(0);
        const chunk = { shard: 0, offset: 0, count: 1_000 };
        const of = ({ source, node }: (typeof foreign)[number]): Header =>
          header({
            source,
            shardFirst: node.first,
            shardCount: node.size,
            count: 1_000,
            encoding: node.size === 1 ? compression : 'none',
          });
        assert.deepEqual(
          foreign.map((each) => slotOf(of(each), chunk, foreign, plan)),
          foreign.map((_, slot) => slot),
        );
        const right = of(foreign[0]!);
        const wrong: Partial<Header>[] = [
          { source: 0 },
          { shardCount: 999 },
          { offset: 256 },
          { count: 999 },
        ];
        for (const fields of wrong) assert.equal(slotOf({ ...right, ...fields }, chunk, foreign, plan), -1);
        assert.equal(slotOf({ ...right, encoding: 'bf16' }, chunk, foreign, { compression: 'none' }), -1);
        assert.equal(slotOf(right, undefined, foreign, plan), -1);
      },
    ),
  );
});

test('a member is asked for what it lacks in the chunks that the window lets it have sent', () => {
  const foreign = [
    { source: 1, index: 0, node: { first: 1, size: 1 } },
    { source: 1, index: 1, node: { first: 2, size: 2 } },
    { source: 2, index: 0, node: { first: 4, size: 1 } },
  ];
  const own = [
    { index: 0, published: true, here: [true, true, true] },
    { index: 1, published: false, here: [true, false, false] },
    { index: 2, published: true, here: [false, false, false] },
    { index: 3, published: false, here: [false, false, false] },
  ];
  const from = (rank: number, window: number) =>
    missingContributions(own, foreign, { rank, publishedBefore: 1, window });
  assert.deepEqual(from(1, 2), [contributionWord(1, 1)]);
  assert.deepEqual(from(1, 3), [contributionWord(1, 1), contributionWord(0, 3), contributionWord(1, 3)]);
  assert.deepEqual(from(2, 1), [contributionWord(0, 1)]);
});

test('a chunk is added once, when nothing is missing', () => {
  assert.ok(isReadyToAdd({ missing: 0, published: false }));
  assert.ok(!isReadyToAdd({ missing: 1, published: false }));
  assert.ok(!isReadyToAdd({ missing: 0, published: true }));
});
