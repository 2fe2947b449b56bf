import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import test from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { ViewContext } from '../../../../coordinator/api/views.ts';
import { createWatches } from '../../../../coordinator/api/watch.ts';
import { pictureWith } from '../../../../coordinator/cli/picture.ts';
import { createProgressBoard } from '../../../../coordinator/workers/progress-board.ts';
import type { Clock } from '../../../../core/clock.ts';
import { createFleetClient, streamed } from '../../../../core/net/grpc-client.ts';
import { Snapshot, type WatchRequest } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import { connections, STORE_OK as OK, waitsIn } from '../../../support/state.ts';
import { createSweepFleet, type SweepFleet } from '../../../support/sweep-fleet.ts';
import { serve } from '../model/grown.ts';

const request = (change: Partial<WatchRequest> = {}): WatchRequest => ({
  ...{ planId: '', sweepId: '', runId: '', rateHz: 20, untilFinished: false, changes: true },
  ...change,
});

/** A clock that moves on when somebody sleeps. */
function handClock(): Clock & { move(ms: number): void } {
  let ms = 0;
  return {
    now: () => ms,
    monotonic: () => ms,
    async sleep(forMs, signal) {
      await setImmediate();
      signal?.throwIfAborted();
      ms += forMs;
    },
    move(by) {
      ms += by;
    },
  };
}

/** Watches of a fleet, with the listeners that they have. */
function watchesOf(fleet: SweepFleet, options: { clock?: Clock; onLook?: () => void } = {}) {
  const progress = createProgressBoard();
  let listeners = 0;
  const context = (): ViewContext => {
    options.onLook?.();
    const connected = connections();
    const waiting = waitsIn(fleet.state, { now: 1_000, connected });
    const store = { state: OK, halted: '', blocksDecisions: false };
    const { state } = fleet;
    return {
      state,
      progress,
      waiting,
      connected,
      store,
      lastSeenMs: () => undefined,
      deviceOf: () => undefined,
      looked: () => undefined,
    };
  };
  const watches = createWatches({
    context,
    journalSequence: () => fleet.events.length,
    clock: options.clock ?? handClock(),
    onChange(listener) {
      listeners += 1;
      const unfollow = fleet.onChange(listener);
      return () => {
        listeners -= 1;
        unfollow();
      };
    },
  });
  return { watches, listeners: () => listeners };
}

test('the first message is whole, the next ones are what changed, and without `changes` each is whole', async () => {
  const fleet = createSweepFleet(1);
  const numbers = Array.from({ length: 10 }, () => fleet.propose());
  const { watches, listeners } = watchesOf(fleet);
  const gone = new AbortController();
  const changing = watches.watch(request({ sweepId: 'many' }), gone.signal);
  const whole = watches.watch(request({ sweepId: 'sweep-1', changes: undefined }), gone.signal);
  const first = (await changing.next()).value as Snapshot;
  assert.equal(first.changes, undefined);
  assert.equal(first.trials.length, 10);
  assert.deepEqual(await whole.next(), { value: first, done: false });
  for (const number of numbers.slice(0, 3)) {
    fleet.finish(number, 0.5);
    const next = (await changing.next()).value as Snapshot;
    assert.deepEqual(
      next.trials.map(({ id }) => id),
      [`trial-${number}`],
    );
    assert.deepEqual(next.changes, { removedIds: [] });
    const all = (await whole.next()).value as Snapshot;
    assert.equal(all.trials.length, 10);
    assert.equal(all.trials[number - 1]!.state, 'done');
  }
  assert.equal(listeners(), 1, 'both are of one sweep at one rate');
  gone.abort();
  assert.deepEqual(await changing.next(), { value: undefined, done: true });
  assert.deepEqual(await whole.next(), { value: undefined, done: true });
  assert.equal(listeners(), 0);
});

test('watchers of one selection get the same message objects; one that is far behind gets a whole picture', async () => {
  const fleet = createSweepFleet(1);
  fleet.propose();
  const { watches } = watchesOf(fleet);
  const gone = new AbortController();
  const [slow, late, quick] = [1, 2, 3].map(() => watches.watch(request(), gone.signal));
  const first = (await slow!.next()).value as Snapshot;
  assert.equal((await late!.next()).value, first);
  assert.equal((await quick!.next()).value, first);
  let known = first;
  const messages: Snapshot[] = [];
  for (let n = 0; n < 30; n++) {
    fleet.finish(fleet.propose(), 0.5);
    const message = (await quick!.next()).value as Snapshot;
    messages.push(message);
    known = pictureWith(known, message);
    if (n === 4) for (const earlier of messages) assert.equal((await late!.next()).value, earlier);
  }
  const caught = (await slow!.next()).value as Snapshot;
  assert.equal(caught.changes, undefined);
  assert.deepEqual(caught, known);
  gone.abort();
  for (const watcher of [slow, late, quick]) await watcher!.return(undefined);
});

test('a watcher that comes sees what was done before it came, also beside others', async () => {
  const fleet = createSweepFleet(1);
  const number = fleet.propose();
  // A clock on which the time of a second look never comes.
  const never: Clock = {
    ...handClock(),
    sleep: (_, signal) => new Promise((_resolve, reject) => signal?.addEventListener('abort', reject)),
  };
  const { watches } = watchesOf(fleet, { clock: never });
  const gone = new AbortController();
  const early = watches.watch(request(), gone.signal);
  await early.next();
  fleet.finish(number, 0.5);
  fleet.add({ kind: 'sweep.ended', sweepId: 'sweep-1', state: 'done', reason: 'all trials' });
  const late = watches.watch(request({ untilFinished: true }), gone.signal);
  const seen = (await late.next()).value as Snapshot;
  assert.deepEqual([seen.changes, seen.sweeps[0]!.state], [undefined, 'done']);
  assert.equal((await late.next()).done, true);
  gone.abort();
  await early.return(undefined);
});

test('what does not exist is refused by name, and nothing is left of the call', async () => {
  const { watches, listeners } = watchesOf(createSweepFleet(1));
  await assert.rejects(watches.watch(request({ sweepId: 'nobody' }), new AbortController().signal).next(), {
    code: 'notFound',
    message: /^no sweep is called nobody/,
  });
  assert.equal(listeners(), 0);
});

test('a watched thing that is removed ends its watch with a sentence, and leaves other pictures', async () => {
  const fleet = createSweepFleet(1);
  fleet.finish(fleet.propose(), 0.5);
  fleet.add({ kind: 'sweep.ended', sweepId: 'sweep-1', state: 'done', reason: 'all trials' });
  const { watches, listeners } = watchesOf(fleet);
  const gone = new AbortController();
  const one = watches.watch(request({ sweepId: 'many' }), gone.signal);
  const all = watches.watch(request(), gone.signal);
  await one.next();
  await all.next();
  fleet.add({ kind: 'work.removed', id: 'sweep-1', reason: 'by request' });
  await assert.rejects(one.next(), { code: 'notFound', message: 'sweep-1 was removed from the fleet' });
  const { changes } = (await all.next()).value as Snapshot;
  assert.deepEqual([...changes!.removedIds].sort(), ['run-1', 'sweep-1', 'trial-1']);
  gone.abort();
  await all.return(undefined);
  assert.equal(listeners(), 0);
});

test('looks take a tenth of the time at most, however many selections are watched', async () => {
  const fleet = createSweepFleet(1);
  for (let n = 0; n < 20; n++) fleet.propose();
  const clock = handClock();
  let looks = 0;
  const { watches } = watchesOf(fleet, {
    clock,
    onLook() {
      looks += 1;
      clock.move(10);
    },
  });
  const gone = new AbortController();
  setMaxListeners(100, gone.signal);
  const all = Array.from({ length: 20 }, (_, n) =>
    watches.watch(request({ runId: `run-${n + 1}` }), gone.signal),
  );
  for (const one of all) await one.next();
  const [beganAt, before] = [clock.monotonic(), looks];
  for (let n = 0; n < 20; n++) {
    fleet.assign(n + 1, 'w1');
    await all[n]!.next();
  }
  const took = clock.monotonic() - beganAt;
  assert.ok(looks > before);
  assert.ok((looks - before) * 10 <= 0.1 * took + 20, `${looks - before} looks of 10 ms in ${took} ms`);
  gone.abort();
  for (const one of all) await one.return(undefined);
});

test('fifty watchers of a sweep of 20,000 trials each get one trial when one has ended, over gRPC', async () => {
  const fleet = createSweepFleet(4);
  fleet.past(20_000);
  const server = await serve(fleet, 't');
  const client = createFleetClient({ endpoint: server.endpoint, token: 't' });
  const gone = new AbortController();
  setMaxListeners(100, gone.signal);
  const watchers = Array.from({ length: 50 }, () => {
    const messages = streamed(client.watch(request({ sweepId: 'many' })), gone.signal);
    return { messages, picture: undefined as Snapshot | undefined, bytes: 0 };
  });
  type Watcher = (typeof watchers)[number];
  const until = async (watcher: Watcher, condition: (picture: Snapshot) => boolean) => {
    while (watcher.picture === undefined || !condition(watcher.picture)) {
      const { value, done } = await watcher.messages.next();
      assert.ok(!done);
      watcher.bytes += Snapshot.encode(value).finish().length;
      watcher.picture = pictureWith(watcher.picture, value);
    }
  };
  try {
    await Promise.all(watchers.map((watcher) => until(watcher, () => true)));
    for (const watcher of watchers) watcher.bytes = 0;
    const before = process.cpuUsage();
    const CHANGES = 10;
    for (let n = 1; n <= CHANGES; n++) {
      fleet.finish(fleet.propose(), 0.5);
      const id = `trial-${20_000 + n}`;
      const isDone = ({ trials }: Snapshot) =>
        trials.some((trial) => trial.id === id && trial.state === 'done');
      await Promise.all(watchers.map((watcher) => until(watcher, isDone)));
    }
    const { user, system } = process.cpuUsage(before);
    const whole = streamed(client.watch(request({ sweepId: 'many', changes: undefined })), gone.signal);
    const { value } = await whole.next();
    for (const { picture, bytes } of watchers) {
      assert.deepEqual({ ...picture, changes: undefined, atMs: 0 }, { ...value, atMs: 0 });
      assert.ok(bytes / CHANGES < 4_000, `${bytes / CHANGES} bytes a change`);
    }
    // Both sides of 500 messages, which took 0.3 s on an idle machine.
    assert.ok((user + system) / 1_000 < 3_000, `${(user + system) / 1_000} ms of processor`);
  } finally {
    gone.abort();
    client.close();
    await server.close(0);
  }
});
