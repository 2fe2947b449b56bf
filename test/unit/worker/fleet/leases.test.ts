import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeAssign, judgeRelease } from '../../../../worker/fleet/leases.ts';
import { placeIn } from '../../../../worker/run/place.ts';

const members = [
  { workerId: 'a', shardFirst: 0, shardCount: 4 },
  { workerId: 'b', shardFirst: 4, shardCount: 2 },
  { workerId: 'c', shardFirst: 6, shardCount: 2 },
];
const assign = (held: number | undefined, generation: number, workerId = 'b') =>
  judgeAssign({ held, generation, members, workerId }).verb;

test('an assignment of a run that is not held starts it, whatever its generation', () => {
  assert.equal(assign(undefined, 7), 'start');
});

test('a newer generation moves the run; the same one again and an older one are ignored', () => {
  assert.equal(assign(3, 4), 'move');
  assert.equal(assign(3, 3), 'ignore');
  assert.equal(assign(3, 2), 'ignore');
});

test('an assignment to others is ignored with the reason', () => {
  const judgement = judgeAssign({ held: undefined, generation: 1, members, workerId: 'd' });
  assert.deepEqual(judgement, { verb: 'ignore', reason: 'd is no member of generation 1' });
});

test('a release ends what is held up to its generation, and never a newer one', () => {
  assert.equal(judgeRelease({ held: 3, generation: 3 }).verb, 'end');
  assert.equal(judgeRelease({ held: 3, generation: 4 }).verb, 'end');
  assert.equal(judgeRelease({ held: 4, generation: 3 }).verb, 'ignore');
});

test('a release of what is not held is confirmed, because the coordinator waits for it', () => {
  assert.equal(judgeRelease({ held: undefined, generation: 3 }).verb, 'confirm');
});

test('a place in a gang is its rank and its block of shards', () => {
  assert.deepEqual(placeIn(members, 'b'), { rank: 1, shards: [4, 5] });
  assert.equal(placeIn(members, 'd'), undefined);
});
