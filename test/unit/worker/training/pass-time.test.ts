// How long the teacher's passes of a unit take, by a clock that the test moves.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../../core/clock.ts';
import { createDeferred } from '../../../../core/deferred.ts';
import { timedTeacher } from '../../../../worker/training/pass-time.ts';
import type { TeacherNetwork } from '../../../../worker/training/teacher-network.ts';

test('shards that wait for embeddings together are counted once, and one that fails is too', async () => {
  let at = 0;
  const passes = [0, 1, 2].map(() => createDeferred<readonly [Float32Array, Float32Array]>());
  const teacher: TeacherNetwork = {
    ...{ stage: 1, digest: 'd', ahead: () => undefined, make: async () => 'away' },
    inputsOf: ({ shard }) => passes[shard]!.promise,
  };
  const timed = timedTeacher(teacher, { ...systemClock, monotonic: () => at });
  const taken = [0, 1, 2].map(
    (shard) => () => timed.teacher.inputsOf({ step: 0, shard, images: new Uint8Array() }),
  );
  const [first, second] = [taken[0]!(), taken[1]!()];
  at = 2_000;
  passes[0]!.resolve([new Float32Array(), new Float32Array()]);
  await first;
  at = 3_000;
  passes[1]!.reject(new Error('no memory'));
  await assert.rejects(second, /no memory/);
  assert.equal(timed.seconds(), 3);
  at = 10_000;
  const third = taken[2]!();
  at = 11_000;
  passes[2]!.resolve([new Float32Array(), new Float32Array()]);
  await third;
  assert.equal(timed.seconds(), 4, 'what lies between is no pass');
});
