// Data sets on request: when a look waits, who looks, and what callers get of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { initialState, type State, workerWith } from '../../../../coordinator/model/state.ts';
import { newsOf } from '../../../../coordinator/workers/inspection-news.ts';
import { createInspector } from '../../../../coordinator/workers/inspector.ts';
import { createLinks, type RequestCommand } from '../../../../coordinator/workers/links.ts';
import { createRequests } from '../../../../coordinator/workers/requests.ts';
import { systemClock } from '../../../../core/clock.ts';
import type { DataProgress } from '../../../../core/data/progress-pace.ts';
import { FleetError } from '../../../../core/errors.ts';
import type { DataInspection, InspectResult } from '../../../../proto/gen/pocketfleet/v1/worker.ts';
import { LIMITS } from '../../../sim/world.ts';
import { attached } from '../../../support/attached.ts';
import { until } from '../../../support/processes.ts';

const DATA = { kind: 'folder', path: '/faces', holdout: 2 } as const;
const FOUND: DataInspection = {
  ...{ trainingImages: 30, classes: 3, heldOutImages: 20, heldOutIdentities: 2, heldOutSizes: [9, 11] },
  leftOut: undefined,
  notes: ['a note'],
  digest: 'ab'.repeat(32),
};
const INSPECTION = {
  facts: { trainingImages: 30, classes: 3, heldOutImages: 20, heldOutIdentities: 2 },
  digest: FOUND.digest,
  heldOutSizes: [9, 11],
  notes: ['a note'],
};
type Part = NonNullable<InspectResult['part']>;
const found: Part = { $case: 'inspection', value: FOUND };
const absent = (host: string): Part => ({
  $case: 'refusal',
  value: {
    code: 'invalidArgument',
    message: `data.path: there is no folder /faces (w on ${host})`,
    absent: true,
  },
});

/** An inspector over workers on real links, none at first. */
function fleet() {
  let state: State = initialState;
  const links = createLinks({ clock: systemClock, log: pino({ level: 'silent' }), limits: LIMITS });
  const asked: { readonly workerId: string; readonly command: RequestCommand }[] = [];
  const streams = new Map<string, Parameters<typeof links.attach>[1]>();
  const listeners = new Set<() => void>();
  const onChange = (listener: () => void) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };
  let redirect: FleetError | undefined;
  const requests = createRequests({
    ...{ links, onChange, clock: systemClock },
    state: () => state,
    redirect: () => redirect,
  });
  const inspector = createInspector(requests);
  const openAt = (workerId: string) =>
    asked.findLast(({ workerId: id, command }) => id === workerId && command.kind === 'inspect')?.command;
  return {
    inspector,
    asked,
    attach(workerId: string, host = `host-of-${workerId}`) {
      const hello = {
        ...{ workerId, incarnation: 'i', version: '', host, pid: 1, deviceKind: 'cpu' },
        ...{ deviceName: 'cpu', deviceClass: 'c', slots: 4, leases: [], metricsEndpoint: '', podUid: '' },
      };
      const send = (command: unknown) => void asked.push({ workerId, command: command as RequestCommand });
      streams.set(workerId, { send, end: () => undefined });
      state = attached(links, state, hello, streams.get(workerId)!);
      for (const listener of [...listeners]) listener();
    },
    /** The lead is lost: every stream ends. */
    stepDown(error: FleetError) {
      redirect = error;
      links.clear(error);
      for (const listener of [...listeners]) listener();
    },
    lose: (id: string) => links.detach(id, streams.get(id)!),
    /** The stream comes back, and nothing of the state changes. */
    back(id: string) {
      const worker = workerWith(state, id)!;
      const hello = { ...worker, workerId: id, leases: [] };
      links.attach(hello as unknown as Parameters<typeof links.attach>[0], streams.get(id)!);
      links.send(id, { kind: 'welcome', incarnation: worker.incarnation });
    },
    async isAsked(workerId: string, times = 1) {
      const count = () =>
        asked.filter(({ workerId: id, command }) => id === workerId && command.kind === 'inspect').length;
      await until(`${workerId} is asked ${times} times`, () => count() === times);
    },
    answer(workerId: string, part: Part) {
      const command = openAt(workerId);
      assert.ok(command?.kind === 'inspect');
      inspector.answered({ requestId: command.requestId, part });
    },
  };
}

test('drawn faces need no worker', async () => {
  const { inspector, asked } = fleet();
  const data = { kind: 'synthetic', identities: 9, images: 5, holdout: 3, seed: 2, difficulty: 1 } as const;
  assert.equal((await inspector.inspect(data)).facts.trainingImages, 30);
  assert.deepEqual(asked, []);
});

test('without a worker a look says so once and waits, and begins as soon as one attaches', async () => {
  const { inspector, asked, attach, isAsked, answer } = fleet();
  const seen: DataProgress[] = [];
  const looking = inspector.inspect(DATA, { onProgress: (progress) => seen.push(progress) });
  await until('it says that it waits', () => seen.length > 0);
  assert.equal(seen[0]!.doing, 'no worker is attached; waiting for one that looks at it');
  attach('a');
  await isAsked('a');
  const { command } = asked.find(({ command: { kind } }) => kind === 'inspect')!;
  assert.ok(command.kind === 'inspect');
  assert.deepEqual(JSON.parse(command.dataJson), DATA);
  const progress = { doing: 'looking at images', done: 3, total: 50, unit: 'images' };
  answer('a', { $case: 'progress', value: { ...progress, path: '/faces' } });
  answer('a', found);
  assert.deepEqual(await looking, INSPECTION);
  assert.deepEqual(seen.slice(1), [progress]);
});

test('a caller that leaves ends no wait of others, and a wait ends with its caller', async () => {
  const { inspector, attach, isAsked, answer, asked } = fleet();
  const [one, two] = [new AbortController(), new AbortController()];
  const waits = [one, two].map(({ signal }) => inspector.inspect(DATA, { signal }));
  one.abort();
  await assert.rejects(waits[0]!, { code: 'cancelled', message: /\/faces: nobody waits for it any more/ });
  attach('a');
  await isAsked('a');
  answer('a', found);
  assert.deepEqual(await waits[1], INSPECTION);
  assert.equal(asked.filter(({ command }) => command.kind === 'inspect').length, 1, 'one look for both');
});

test('when a worker is lost in the middle another one looks, or the same one when it is back', async () => {
  const { inspector, attach, lose, back, isAsked, answer } = fleet();
  attach('a');
  attach('b');
  const looking = inspector.inspect(DATA);
  await isAsked('a');
  lose('a');
  await isAsked('b');
  lose('b');
  // Its stream alone had ended: nothing is journalled when it is back.
  back('b');
  await isAsked('b', 2);
  answer('b', found);
  assert.deepEqual(await looking, INSPECTION);
});

test('three workers that are lost over one look end it', async () => {
  const { inspector, attach, lose, isAsked } = fleet();
  for (const id of ['a', 'b', 'c', 'd']) attach(id);
  const looking = inspector.inspect(DATA);
  const rejected = assert.rejects(looking, {
    code: 'aborted',
    message: 'a, b, c were lost over the look at /faces',
  });
  for (const id of ['a', 'b', 'c']) {
    await isAsked(id);
    lose(id);
  }
  await rejected;
});

test('a path that is not on one machine is looked for on others, and the refusal names those', async () => {
  const { inspector, attach, isAsked, answer } = fleet();
  attach('a', 'left');
  attach('a2', 'left');
  attach('b', 'right');
  const looking = inspector.inspect(DATA);
  await isAsked('a');
  answer('a', absent('left'));
  await isAsked('b');
  answer('b', found);
  assert.deepEqual(await looking, INSPECTION);
  const nowhere = inspector.inspect(DATA);
  await isAsked('a', 2);
  answer('a', absent('left'));
  await isAsked('b', 2);
  answer('b', absent('right'));
  await assert.rejects(nowhere, {
    code: 'invalidArgument',
    message:
      'data.path: /faces is not there on left, right; workers read it under the same path as it is named here',
  });
});

test('a refusal keeps its code and is no loss of the worker, whatever the code', async () => {
  const { inspector, attach, isAsked, answer, asked } = fleet();
  attach('a');
  attach('b');
  for (const [n, code] of ['invalidArgument', 'unavailable', 'permissionDenied'].entries()) {
    const looking = inspector.inspect(DATA);
    await isAsked('a', n + 1);
    answer('a', { $case: 'refusal', value: { code, message: `data.path: ${code}`, absent: false } });
    await assert.rejects(looking, { code, message: `data.path: ${code}` });
  }
  assert.ok(asked.every(({ workerId, command: { kind } }) => workerId === 'a' || kind !== 'inspect'));
});

test('a coordinator that loses the lead ends looks and waits with the way to the leader', async () => {
  const elsewhere = new FleetError('unavailable', 'another one leads', { details: { standby: true } });
  for (const workers of [[], ['a']]) {
    const { inspector, attach, isAsked, stepDown } = fleet();
    for (const id of workers) attach(id);
    const looking = inspector.inspect(DATA);
    for (const id of workers) await isAsked(id);
    stepDown(elsewhere);
    await assert.rejects(looking, elsewhere);
  }
});

test('a coordinator that stops ends every wait', async () => {
  const { inspector, attach, isAsked, asked } = fleet();
  attach('a');
  const looking = inspector.inspect(DATA);
  await isAsked('a');
  const rejected = assert.rejects(looking, { code: 'unavailable' });
  inspector.close();
  await rejected;
  await until('the worker is asked to stop', () => asked.at(-1)?.command.kind === 'forget');
  await assert.rejects(inspector.inspect(DATA), { code: 'cancelled' });
});

test('an answer that is not well-formed is refused with its field', () => {
  const wrong: readonly (readonly [InspectResult['part'], RegExp])[] = [
    [undefined, /^inspect_result\.part is missing$/],
    [{ $case: 'inspection', value: { ...FOUND, classes: 1.5 } }, /^inspect_result\.classes is no count$/],
    [{ $case: 'inspection', value: { ...FOUND, trainingImages: Number.NaN } }, /trainingImages is no count/],
    [{ $case: 'inspection', value: { ...FOUND, digest: 'x' } }, /^inspect_result\.digest is no SHA-256$/],
    [
      { $case: 'refusal', value: { code: 'odd', message: '', absent: false } },
      /^inspect_result\.code is "odd", which is no code$/,
    ],
  ];
  for (const [part, message] of wrong)
    assert.throws(() => newsOf(part), { code: 'invalidArgument', message });
  const skipped = { count: 1, digest: 'c', list: 'AA==' };
  const news = newsOf({ $case: 'inspection', value: { ...FOUND, leftOut: skipped } });
  assert.deepEqual(news.kind === 'inspection' && news.inspection.skipped, skipped);
});
