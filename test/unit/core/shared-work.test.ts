import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDeferred } from '../../../core/deferred.ts';
import { FleetError } from '../../../core/errors.ts';
import { createSharedWork } from '../../../core/shared-work.ts';
import { until } from '../../support/processes.ts';

function started(lingerMs: number) {
  const shared = createSharedWork<string, number>({ lingerMs });
  const result = createDeferred<string>();
  let begun = 0;
  let report = (_progress: number): void => undefined;
  let signal: AbortSignal | undefined;
  const how = {
    gone: () => new FleetError('cancelled', 'gone'),
    begin(onProgress: (progress: number) => void, given: AbortSignal) {
      begun += 1;
      report = onProgress;
      signal = given;
      given.addEventListener('abort', () => result.reject(given.reason));
      return result.promise;
    },
  };
  return {
    shared,
    result,
    join: (waiter = {}, key = 'k') => shared.join(key, waiter, how),
    report: (progress: number) => report(progress),
    begun: () => begun,
    isGivenUp: () => signal?.aborted,
  };
}

test('who comes later joins the work and sees how far it is; all get the result', async () => {
  const { shared, result, join, report, begun } = started(1000);
  const first = join();
  report(3);
  const seen: number[] = [];
  const second = join({ onProgress: (progress: number) => seen.push(progress) });
  report(4);
  result.resolve('done');
  assert.deepEqual([await first, await second], ['done', 'done']);
  assert.deepEqual(seen, [3, 4]);
  assert.equal(begun(), 1);
  assert.equal(shared.size, 0);
});

test('one who leaves ends nothing for others; the last one ends it, after a while', async () => {
  const { join, isGivenUp, shared } = started(30);
  const [one, two] = [new AbortController(), new AbortController()];
  const waits = [join({ signal: one.signal }), join({ signal: two.signal })];
  one.abort();
  await assert.rejects(waits[0]!, /gone/);
  assert.equal(shared.size, 1);
  two.abort();
  await assert.rejects(waits[1]!, /gone/);
  assert.equal(isGivenUp(), false, 'it lingers');
  await until('it is given up', () => isGivenUp() === true);
  assert.equal(shared.size, 0);
});

test('one who comes back in time finds the work in hand', async () => {
  const { join, result, begun } = started(60_000);
  const one = new AbortController();
  const left = join({ signal: one.signal });
  one.abort();
  await assert.rejects(left, /gone/);
  const again = join();
  result.resolve('done');
  assert.equal(await again, 'done');
  assert.equal(begun(), 1);
});

test('close gives up what is in hand with its reason, and takes nothing more', async () => {
  const { join, shared } = started(60_000);
  const open = join();
  shared.close(new FleetError('cancelled', 'stopping'));
  await assert.rejects(open, /stopping/);
  await assert.rejects(join({}, 'other'), /gone/);
});
