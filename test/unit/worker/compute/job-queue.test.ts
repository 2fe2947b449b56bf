import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createJobQueue } from '../../../../worker/compute/job-queue.ts';

/** A queue whose thread ends jobs when the test says so. */
function queue() {
  const sent: string[] = [];
  const jobs = createJobQueue<string>((job) => sent.push(job));
  /** Ends all jobs, one after the other; returns the order in which they were in hand. */
  const drain = (): string[] => {
    const order: string[] = [];
    for (let job = jobs.inHand(); job !== undefined; job = jobs.inHand()) {
      order.push(job);
      jobs.ended(job);
    }
    return order;
  };
  return { jobs, sent, drain };
}

test('jobs of one rank keep their order, and a higher rank goes before what the thread does not have yet', () => {
  const { jobs, sent, drain } = queue();
  for (const job of ['a', 'b', 'c', 'd']) jobs.add(job, 'usual');
  jobs.add('screening', 'last');
  jobs.add('t1', 'first');
  jobs.add('t2', 'first');
  assert.deepEqual(sent, ['a', 'b'], 'the thread has the job in hand and the next');
  assert.equal(jobs.size(), 7);
  assert.deepEqual(drain(), ['a', 'b', 't1', 't2', 'c', 'd', 'screening']);
  assert.equal(jobs.size(), 0);
  assert.equal(jobs.inHand(), undefined);
});

test('a job of the last rank goes after a hundred others at the latest', () => {
  const { jobs, drain } = queue();
  for (let n = 1; n <= 250; n++) jobs.add(`step ${n}`, n % 2 === 0 ? 'usual' : 'first');
  jobs.add('one', 'last');
  jobs.add('two', 'last');
  const order = drain();
  assert.deepEqual([order.indexOf('one'), order.indexOf('two')], [102, 203]);
  assert.equal(order.length, 252);
});

test('a job that was ended already ends nothing else', () => {
  const { jobs, drain } = queue();
  for (const job of ['a', 'b', 'c']) jobs.add(job, 'usual');
  jobs.ended('a');
  jobs.ended('a');
  assert.deepEqual(drain(), ['b', 'c']);
});
