// The rules of one step's sum: what a message means in a state, how far the window lets a member go, what is asked for. The last
// property runs whole gangs of these states over a wire that loses and repeats.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Header, Kind } from '../../../core/allreduce/message.ts';
import { type Plan, planOf } from '../../../core/allreduce/plan.ts';
import { contributionWord, requestOf, resultWord } from '../../../core/allreduce/request-words.ts';
import {
  canRepeatContribution,
  contributionsAllowed,
  createStepState,
  firstUnset,
  meaningOfResult,
  missingResults,
  type OwnerState,
  phaseAfter,
  requestsNow,
  resetStep,
  startedApart,
} from '../../../core/allreduce/step-state.ts';

/** Three members with two chunks each, of which the window lets two be under way. */
const CHUNK = 256;
const plan: Plan = {
  ...planOf({
    members: [0, 1, 2].map((shardFirst) => ({ workerId: `w${shardFirst}`, shardFirst, shardCount: 1 })),
    shards: 3,
    elements: 6 * CHUNK,
  }),
  window: 2,
  chunks: [0, 1, 2].map((shard) =>
    [0, 1].map((i) => ({ shard, offset: (2 * shard + i) * CHUNK, count: CHUNK })),
  ),
};
const openState = () => {
  const state = createStepState(plan);
  resetStep(state, 7);
  state.phase = 'open';
  return state;
};
const header = (kind: Kind, fields: Partial<Header>): Header => ({
  kind,
  encoding: 'none',
  inMemory: false,
  generation: 1,
  runHash: 1,
  step: 7,
  source: 1,
  ranks: 3,
  shardFirst: 0,
  shardCount: 0,
  owner: 1,
  chunk: 0,
  offset: 2 * CHUNK,
  count: CHUNK,
  digest: '0000000000000001',
  ...fields,
});

test('a result is new once, repeated after that, early before this member contributes, unplanned off the plan', () => {
  const state = openState();
  const first = header('result', {});
  assert.equal(meaningOfResult(state, first), 'new');
  state.owners[1]!.results[0] = true;
  assert.equal(meaningOfResult(state, first), 'repeated');
  state.phase = 'complete';
  assert.equal(meaningOfResult(state, first), 'repeated');
  state.phase = 'waiting';
  assert.equal(meaningOfResult(state, first), 'early');
  state.phase = 'open';
  const off: Partial<Header>[] = [
    { chunk: 2 },
    { offset: 0 },
    { count: 1 },
    { encoding: 'bf16' },
    { owner: 3 },
  ];
  for (const fields of off) assert.equal(meaningOfResult(state, header('result', fields)), 'unplanned');
});

test('a step is complete when it is open and no chunk is, and never before', () => {
  assert.equal(phaseAfter({ phase: 'open', chunksOpen: 0 }), 'complete');
  assert.equal(phaseAfter({ phase: 'open', chunksOpen: 1 }), 'open');
  assert.equal(phaseAfter({ phase: 'waiting', chunksOpen: 0 }), 'waiting');
});

test('the window moves with the first result that is not here, whatever came after it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { maxLength: 12 }),
      fc.integer({ min: 1, max: 4 }),
      (results, window) => {
        const resultsBefore = firstUnset(results, 0);
        assert.ok(results.slice(0, resultsBefore).every(Boolean) && !results[resultsBefore]);
        const chunks = plan.chunks[0]!.slice(0, 1).flatMap((chunk) => results.map(() => chunk));
        const allowed = contributionsAllowed({ chunks, resultsBefore }, window);
        assert.ok(allowed <= results.length && allowed - resultsBefore <= window);
        assert.ok(allowed === results.length || allowed - resultsBefore === window);
      },
    ),
  );
});

test('results are asked for from the first that is missing to the last contributed one, a window at most', () => {
  const owner = { results: [true, false, true, false, false, false], resultsBefore: 1, sent: 5 };
  assert.deepEqual(missingResults(owner, 8), [resultWord(1), resultWord(3), resultWord(4)]);
  assert.deepEqual(missingResults(owner, 2), [resultWord(1), resultWord(3)]);
  assert.deepEqual(missingResults({ ...owner, sent: 1 }, 8), []);
});

test('a contribution is sent again only while the step is open, and only when it was sent before', () => {
  const state = openState();
  state.owners[2]!.sent = 1;
  const request = { kind: 'contribution', index: 0, chunk: 0 } as const;
  assert.ok(canRepeatContribution(state, 2, request, 1));
  assert.ok(!canRepeatContribution(state, 2, { ...request, chunk: 1 }, 1));
  assert.ok(!canRepeatContribution(state, 2, { ...request, index: 1 }, 1));
  assert.ok(!canRepeatContribution(state, 1, request, 1));
  state.phase = 'complete';
  assert.ok(!canRepeatContribution(state, 2, request, 1));
});

test('whoever is due is asked for everything that is missing of it, by owner, and nobody outside the open phase', () => {
  const state = openState();
  const others = state.owners.slice(1);
  state.owners[2]!.sent = 1;
  const facts = {
    isDue: () => true,
    missingFrom: (rank: number, owner: number) =>
      rank === 2 && owner !== 1 ? [contributionWord(0, owner)] : [],
    bringer: (owner: number) => owner,
  };
  assert.deepEqual(requestsNow(state, others, facts), [
    { rank: 2, owner: 0, words: [contributionWord(0, 0)] },
    { rank: 2, owner: 2, words: [contributionWord(0, 2), resultWord(0)] },
  ]);
  // Member 1 brings the results of member 2.
  assert.deepEqual(requestsNow(state, others, { ...facts, missingFrom: () => [], bringer: () => 1 }), [
    { rank: 1, owner: 2, words: [resultWord(0)] },
  ]);
  assert.deepEqual(requestsNow(state, others, { ...facts, isDue: (rank) => rank === 1 }), []);
  for (const phase of ['waiting', 'complete'] as const)
    assert.deepEqual(requestsNow({ ...state, phase }, others, facts), []);
});

test('members went into a step apart when the digest of a contribution is another one; none is no difference', () => {
  assert.ok(!startedApart({ digest: 'a' }, { digest: undefined }));
  assert.ok(!startedApart({ digest: 'a' }, { digest: 'a' }));
  assert.ok(startedApart({ digest: 'a' }, { digest: 'b' }));
});

test('a state that is used for another step is as a new one', () => {
  const state = openState();
  const owner = state.owners[1]!;
  Object.assign(owner, { resultsBefore: 2, sent: 2, digest: 'a' });
  owner.results.fill(true);
  state.chunksOpen = 0;
  resetStep(state, 8);
  assert.deepEqual(state, { ...createStepState(plan), step: 8 });
});

test('request words name what they were made of', () => {
  fc.assert(
    fc.property(fc.nat(127), fc.nat(2 ** 24 - 1), fc.nat(2 ** 31 - 1), (index, chunk, resultChunk) => {
      assert.deepEqual(requestOf(contributionWord(index, chunk)), { kind: 'contribution', index, chunk });
      assert.deepEqual(requestOf(resultWord(resultChunk)), { kind: 'result', chunk: resultChunk });
      assert.ok(contributionWord(index, chunk) < 2 ** 32 && resultWord(resultChunk) < 2 ** 32);
    }),
  );
});

/** A message of the small model below. */
interface Sent {
  readonly kind: 'contribution' | 'result' | 'missing';
  readonly from: number;
  readonly to: number;
  readonly chunk: number;
  readonly words: readonly number[];
}

/** Runs one step of a gang whose members follow the rules over a wire of `fates`; returns how many rounds of asking it took. */
function runStep(members: number, chunks: number, window: number, fates: () => 'pass' | 'drop' | 'twice') {
  const wire: Sent[] = [];
  const send = (message: Sent): void => {
    const fate = fates();
    if (fate !== 'drop') wire.push(message);
    if (fate === 'twice') wire.push(message);
  };
  const owned = Array.from({ length: members }, (_, shard) =>
    Array.from({ length: chunks }, (_, i) => ({ shard, offset: (shard * chunks + i) * CHUNK, count: CHUNK })),
  );
  const gang = owned.map((_, rank) => {
    const state = createStepState({ ...plan, window, chunks: owned });
    resetStep(state, 0);
    state.phase = 'open';
    const others = state.owners.filter((owner) => owner.rank !== rank);
    /** By own chunk: ranks that have contributed. */
    const here = owned[rank]!.map(() => new Set([rank]));
    return { rank, state, others, here, published: new Set<number>() };
  });
  type Member = (typeof gang)[number];
  const contribute = (member: Member, owner: OwnerState): void => {
    for (const end = contributionsAllowed(owner, window); owner.sent < end; owner.sent++)
      send({ kind: 'contribution', from: member.rank, to: owner.rank, chunk: owner.sent, words: [] });
    assert.ok(owner.sent - owner.resultsBefore <= window, 'more is under way than the window');
  };
  const publish = (member: Member): void => {
    for (const [chunk, ranks] of member.here.entries()) {
      if (ranks.size < members || member.published.has(chunk)) continue;
      member.published.add(chunk);
      member.state.chunksOpen--;
      for (const { rank } of member.others)
        send({ kind: 'result', from: member.rank, to: rank, chunk, words: [] });
    }
    member.state.phase = phaseAfter(member.state);
  };
  const receive = (member: Member, { kind, from, chunk, words }: Sent): void => {
    const owner = member.state.owners[from]!;
    if (kind === 'contribution') {
      member.here[chunk]!.add(from);
      publish(member);
    } else if (kind === 'result') {
      const { offset, count } = owner.chunks[chunk]!;
      const meaning = meaningOfResult(member.state, header('result', { owner: from, chunk, offset, count }));
      if (meaning !== 'new') return;
      owner.results[chunk] = true;
      owner.resultsBefore = firstUnset(owner.results, owner.resultsBefore);
      member.state.chunksOpen--;
      contribute(member, owner);
      publish(member);
    } else
      for (const request of words.map(requestOf)) {
        if (request.kind === 'result' && member.published.has(request.chunk))
          send({ kind: 'result', from: member.rank, to: from, chunk: request.chunk, words: [] });
        if (request.kind === 'contribution' && canRepeatContribution(member.state, from, request, 1))
          send({ kind: 'contribution', from: member.rank, to: from, chunk: request.chunk, words: [] });
      }
  };
  for (const member of gang) for (const owner of member.others) contribute(member, owner);
  for (let rounds = 0; ; rounds++) {
    while (wire.length > 0) {
      const message = wire.shift()!;
      receive(gang[message.to]!, message);
    }
    if (gang.every(({ state }) => state.phase === 'complete')) return rounds;
    assert.ok(rounds < 500, 'the repair does not end');
    for (const member of gang) {
      const missingFrom = (rank: number, owner: number): number[] =>
        (owner === member.rank ? [...member.here.entries()] : []).flatMap(([chunk, ranks]) =>
          ranks.has(rank) ? [] : [contributionWord(0, chunk)],
        );
      for (const { rank, words } of requestsNow(member.state, member.others, {
        isDue: () => true,
        missingFrom,
        bringer: (owner) => owner,
      }))
        send({ kind: 'missing', from: member.rank, to: rank, chunk: 0, words });
    }
  }
}

test('whatever a wire loses and repeats, asking completes the step at every member', () => {
  let repaired = 0;
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 5 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 3 }),
      fc.infiniteStream(fc.constantFrom('pass' as const, 'pass' as const, 'drop' as const, 'twice' as const)),
      (members, chunks, window, fates) => {
        if (runStep(members, chunks, window, () => fates.next().value) > 0) repaired++;
      },
    ),
    { numRuns: 60 },
  );
  assert.ok(repaired > 10, 'some steps needed repair');
  assert.equal(
    runStep(3, 4, 2, () => 'pass'),
    0,
    'a wire that loses nothing is never asked',
  );
});
