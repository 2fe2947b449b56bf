import assert from 'node:assert/strict';
import test from 'node:test';
import { pino } from 'pino';
import { step } from '../../../../coordinator/decisions/decide.ts';
import { type SpecifiedRun, withSpec } from '../../../../coordinator/model/spec-of.ts';
import { initialState, runOf, type State } from '../../../../coordinator/model/state.ts';
import { createLinks, type RequestCommand } from '../../../../coordinator/workers/links.ts';
import { createReplayer } from '../../../../coordinator/workers/replayer.ts';
import { createRequests } from '../../../../coordinator/workers/requests.ts';
import { systemClock } from '../../../../core/clock.ts';
import type { ReplayPoint } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import { teacher } from '../../../sim/specs.ts';
import { FACTS, LIMITS } from '../../../sim/world.ts';
import { attached } from '../../../support/attached.ts';
import { connections } from '../../../support/state.ts';

/** A fleet by hand: workers that hear what they are asked and say what the test lets them say. */
function fleet(...workers: { id: string; deviceClass: string }[]) {
  let state: State = initialState;
  const links = createLinks({ clock: systemClock, log: pino({ level: 'silent' }), limits: LIMITS });
  const asked: { workerId: string; command: RequestCommand }[] = [];
  const streams = new Map<string, Parameters<typeof links.attach>[1]>();
  for (const { id, deviceClass } of workers) {
    const hello = {
      workerId: id,
      incarnation: 'i',
      version: '',
      host: '',
      pid: 1,
      deviceKind: 'cpu',
      deviceName: 'cpu',
      deviceClass,
      slots: 4,
      leases: [],
      metricsEndpoint: '',
      podUid: '',
    };
    const stream = {
      send: (command: unknown) => void asked.push({ workerId: id, command: command as RequestCommand }),
      end: () => undefined,
    };
    streams.set(id, stream);
    state = attached(links, state, hello, stream);
  }
  const documents = [{ kind: 'run', spec: teacher(), facts: FACTS }] as const;
  state = step(state, { kind: 'submit', documents }, { now: 0, connected: connections() }).state;
  const checkpoints = [1, 2].map((stage) => ({
    stage,
    step: 4 * stage,
    bytes: 1,
    digest: 'd',
    storedAtMs: 0,
  }));
  const run: SpecifiedRun = {
    ...withSpec(state, runOf(state, 'run-1')),
    deviceClass: 'avx512',
    checkpoints,
  };
  const made = createRequests({
    links,
    onChange: () => () => undefined,
    redirect: () => undefined,
    clock: systemClock,
    state: () => state,
  });
  const replayer = createReplayer({ requests: made, state: () => state });
  return {
    run,
    replayer,
    asked,
    lose: (id: string) => links.detach(id, streams.get(id)!),
    requests: () =>
      asked.flatMap(({ workerId, command }) => (command.kind === 'replay' ? [{ workerId, ...command }] : [])),
  };
}

const point = (at: number, stage = 0): ReplayPoint => ({
  step: at,
  stage,
  weightsDigest: '',
  stateDigest: '',
  tensors: [],
  verdict: undefined,
  workerId: '',
  deviceClass: '',
  comparedDigest: '',
});
const all = { fromStage: 0, toStage: 0, eachStep: true, steps: [] as number[] };
const signal = () => new AbortController().signal;

test('a replay goes to a worker of the device class that computed the run, and to no other', async () => {
  const { run, replayer, requests, asked } = fleet(
    { id: 'other', deviceClass: 'avx2' },
    { id: 'same', deviceClass: 'avx512' },
  );
  const points = replayer.replay(run, all, signal());
  const first = points.next();
  const [request] = requests();
  assert.equal(request?.workerId, 'same');
  assert.deepEqual([request?.fromStage, request?.toStage, request?.deviceClass], [0, 2, 'avx512']);
  replayer.answered(request!.requestId, { points: [point(4, 1)], ended: false, error: '' });
  assert.equal((await first).value?.step, 4);
  await points.return(undefined);
  assert.equal(asked.at(-1)?.command.kind, 'forget', 'the worker hears that nobody waits any more');
  const lonely = fleet({ id: 'other', deviceClass: 'avx2' });
  await assert.rejects(lonely.replayer.replay(lonely.run, all, signal()).next(), {
    code: 'failedPrecondition',
    message: /run-1 was computed on avx512 .* the connected workers are avx2/,
  });
});

test('a run of a GPU that gives other bits each time is not replayed, and the reason is given', async () => {
  const deviceClass = 'cuda/NVIDIA-H200/tf=2.21.0/tf32=0/deterministic=0';
  const { run, replayer } = fleet({ id: 'same', deviceClass });
  await assert.rejects(replayer.replay({ ...run, deviceClass }, all, signal()).next(), {
    code: 'failedPrecondition',
    message: /run-1 was computed on cuda.*gives other bits each time.*deterministic=1/,
  });
});

test('when its worker is lost another goes on from the last finished stage, and no point is told twice', async () => {
  const { run, replayer, requests, lose } = fleet(
    { id: 'a', deviceClass: 'avx512' },
    { id: 'b', deviceClass: 'avx512' },
  );
  const told: number[] = [];
  const reading = (async () => {
    for await (const { step: at } of replayer.replay(run, all, signal())) told.push(at);
  })();
  const first = requests()[0]!;
  replayer.answered(first.requestId, {
    points: [0, 1, 2, 3].map((at) => point(at)),
    ended: false,
    error: '',
  });
  replayer.answered(first.requestId, { points: [point(4, 1), point(5)], ended: false, error: '' });
  while (told.length < 6) await new Promise((resolve) => setImmediate(resolve));
  lose(first.workerId);
  while (requests().length < 2) await new Promise((resolve) => setImmediate(resolve));
  const second = requests()[1]!;
  assert.notEqual(second.workerId, first.workerId);
  assert.equal(second.fromStage, 1);
  replayer.answered(second.requestId, {
    points: [4, 5, 6, 7].map((at) => point(at)),
    ended: false,
    error: '',
  });
  replayer.answered(second.requestId, { points: [point(8, 2)], ended: true, error: '' });
  await reading;
  assert.deepEqual(told, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

test('what cannot be replayed is refused with the reason before a worker is asked', async () => {
  const { run, replayer, requests } = fleet({ id: 'a', deviceClass: 'avx512' });
  const refused = (change: Partial<SpecifiedRun>, request: Partial<typeof all>, message: RegExp) =>
    assert.rejects(replayer.replay({ ...run, ...change }, { ...all, ...request }, signal()).next(), {
      code: 'failedPrecondition',
      message,
    });
  await refused({}, { toStage: 3 }, /has checkpoints up to stage 2, not 3/);
  await refused({}, { fromStage: 2 }, /has nothing between stage 2 and stage 2/);
  await refused({ checkpoints: [] }, {}, /has no checkpoint yet/);
  const loose = { ...run.spec, training: { ...run.spec.training, exact: false } };
  await refused({ spec: loose, job: loose }, {}, /was not promised exact bits/);
  assert.equal(requests().length, 0);
});

test('a replay goes on to the last pause that it is asked for, and to no step that is not stored', async () => {
  const { run, replayer, requests } = fleet({ id: 'a', deviceClass: 'avx512' });
  const paused = {
    ...run,
    pausedStep: { step: 10, bytes: 1, digest: 'd', storedAtMs: 0 },
  };
  const asked = async (of: SpecifiedRun, request: Partial<typeof all>) => {
    const points = replayer.replay(of, { ...all, ...request }, signal());
    const first = points.next();
    const { requestId, fromStage, toStage, steps } = requests().at(-1)!;
    replayer.answered(requestId, { points: [], ended: true, error: '' });
    await first;
    return { fromStage, toStage, steps };
  };
  assert.deepEqual(await asked(paused, { steps: [3, 10] }), { fromStage: 0, toStage: 2, steps: [3, 10] });
  assert.deepEqual(await asked(paused, { fromStage: 2, steps: [10] }), {
    ...{ fromStage: 2, toStage: 2, steps: [10] },
  });
  // Within the first stage nothing but the pause is stored.
  const first = { ...paused, checkpoints: [], pausedStep: { ...paused.pausedStep, step: 2 } };
  assert.deepEqual(await asked(first, { steps: [2] }), { fromStage: 0, toStage: 0, steps: [2] });
  const before = requests().length;
  for (const [of, request, message] of [
    [paused, { steps: [11] }, /has stored steps up to 10, and not step 11/],
    [paused, { steps: [2.5] }, /and not step 2.5/],
    [paused, { fromStage: 2, steps: [6] }, /has nothing between stage 2 and stage 2/],
  ] as const)
    await assert.rejects(
      replayer.replay(of, { ...all, ...request, steps: [...request.steps] }, signal()).next(),
      {
        code: 'failedPrecondition',
        message,
      },
    );
  assert.equal(requests().length, before);
});

test("a worker's error and a caller that goes end a replay", async () => {
  const { run, replayer, requests } = fleet({ id: 'a', deviceClass: 'avx512' });
  const failing = replayer.replay(run, all, signal()).next();
  replayer.answered(requests()[0]!.requestId, { points: [], ended: true, error: 'checkpoint 1 is damaged' });
  await assert.rejects(failing, { code: 'failedPrecondition', message: /checkpoint 1 is damaged/ });
  const caller = new AbortController();
  const waiting = replayer.replay(run, all, caller.signal).next();
  caller.abort();
  await assert.rejects(waiting, { code: 'cancelled' });
});
