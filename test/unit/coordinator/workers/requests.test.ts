// What somebody waits for and a worker answers: who is asked, who after that, and when nobody computes for
// nobody.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { initialState, type State } from '../../../../coordinator/model/state.ts';
import { createLinks, type RequestCommand } from '../../../../coordinator/workers/links.ts';
import { createRequests, freeWorkers, type WorkerRequest } from '../../../../coordinator/workers/requests.ts';
import { systemClock } from '../../../../core/clock.ts';
import { FleetError } from '../../../../core/errors.ts';
import { LIMITS } from '../../../sim/world.ts';
import { attached } from '../../../support/attached.ts';

const SENTENCES = { lost: (id: string) => `${id} was lost`, tooSlow: 'the caller reads too slowly' };
const verify = { kind: 'verify', runId: 'run-1', stage: 1, specJson: '{}', setPath: '' } as const;

/**
 * Workers on real links; `sent` holds what each was sent, `lose` ends a stream, `pass` lets a deadline pass.
 */
function fleet(...ids: string[]) {
  let state: State = initialState;
  const links = createLinks({ clock: systemClock, log: pino({ level: 'silent' }), limits: LIMITS });
  const sent: { readonly workerId: string; readonly command: RequestCommand }[] = [];
  const streams = new Map<string, Parameters<typeof links.attach>[1]>();
  for (const workerId of ids) {
    const hello = {
      ...{ workerId, incarnation: 'i', version: '', host: '', pid: 1, deviceKind: 'cpu' },
      ...{ deviceName: 'cpu', deviceClass: 'c', slots: 4, leases: [], metricsEndpoint: '', podUid: '' },
    };
    const send = (command: unknown) => void sent.push({ workerId, command: command as RequestCommand });
    streams.set(workerId, { send, end: () => undefined });
    state = attached(links, state, hello, streams.get(workerId)!);
  }
  let pass = (): void => undefined;
  const clock = {
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        pass = resolve;
        signal?.addEventListener('abort', () => reject(signal.reason));
      }),
  };
  const requests = createRequests({
    links,
    onChange: () => () => undefined,
    redirect: () => undefined,
    clock,
    state: () => state,
  });
  const only = (kind: RequestCommand['kind']) => sent.filter(({ command }) => command.kind === kind);
  return {
    requests,
    sent,
    only,
    connected: () => links.connected,
    state: () => state,
    lose: (id: string) => links.detach(id, streams.get(id)!),
    pass: () => pass(),
  };
}

const request = (change: Partial<WorkerRequest> = {}): WorkerRequest => ({
  choose: ([first]) => {
    if (first === undefined) throw new FleetError('unavailable', 'nobody is there');
    return first;
  },
  command: () => verify,
  signal: new AbortController().signal,
  ...change,
});

test('a request that loses every worker it meets is given up before it has taken the fleet down', async () => {
  const { requests, only, lose } = fleet('a', 'b', 'c', 'd');
  const asking = requests.kind<number>(SENTENCES).ask(request()).next();
  const rejected = assert.rejects(asking, { code: 'unavailable', message: 'c was lost' });
  for (const id of ['a', 'b', 'c']) {
    while (only('verify').at(-1)?.workerId !== id) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(requests.occupies(id));
    lose(id);
  }
  await rejected;
  assert.equal(only('verify').length, 3);
  assert.ok(['a', 'b', 'c', 'd'].every((id) => !requests.occupies(id)));
});

test('the next worker goes on where the last one got to, and what the caller makes of the losses is its own', async () => {
  const { requests, only, lose } = fleet('a', 'b', 'c');
  let stage = 1;
  const kind = requests.kind<number>(SENTENCES);
  const gaveUp = (ids: readonly string[]) => new FleetError('aborted', `${ids.join(' and ')} were lost`);
  const answer = kind.ask(request({ command: () => ({ ...verify, stage }), gaveUp }));
  const stages: number[] = [];
  const reading = (async () => {
    for await (const item of answer) stage = item;
  })();
  for (const id of ['a', 'b', 'c']) {
    while (only('verify').at(-1)?.workerId !== id) await new Promise((resolve) => setImmediate(resolve));
    const { command } = only('verify').at(-1)!;
    assert.ok(command.kind === 'verify');
    stages.push(command.stage);
    kind.answered(command.requestId, { items: [command.stage + 1], ended: false, error: '' });
    lose(id);
  }
  await assert.rejects(reading, { code: 'aborted', message: 'a and b and c were lost' });
  assert.deepEqual(stages, [1, 2, 3]);
});

test('a worker is asked to stop when the caller has gone, the deadline passes or nobody reads, and not when it has ended', async () => {
  const { requests, sent, only, pass } = fleet('a');
  const kind = requests.kind<number>(SENTENCES);
  const idOfLast = () => only('verify').at(-1)!.command.requestId;
  const stopped = () => assert.deepEqual(sent.at(-1)!.command, { kind: 'forget', requestId: idOfLast() });

  const caller = new AbortController();
  const left = kind.ask(request({ signal: caller.signal })).next();
  caller.abort();
  await assert.rejects(left, { code: 'cancelled', message: 'the caller has gone' });
  stopped();

  const late = kind.ask(request({ deadline: { ms: 5, sentence: 'no answer within 5 ms' } })).next();
  pass();
  await assert.rejects(late, { code: 'deadlineExceeded', message: 'no answer within 5 ms' });
  stopped();

  const unread = kind.ask(request());
  const first = unread.next();
  kind.answered(idOfLast(), { items: Array.from({ length: 10_002 }, (_, i) => i), ended: false, error: '' });
  assert.equal((await first).value, 0);
  const reading = (async () => {
    for await (const _item of unread);
  })();
  await assert.rejects(reading, { code: 'resourceExhausted', message: 'the caller reads too slowly' });
  stopped();

  const refused = kind.ask(request()).next();
  kind.answered(idOfLast(), { items: [], ended: true, error: 'no such file' });
  await assert.rejects(refused, { code: 'failedPrecondition', message: 'no such file' });
  assert.equal(sent.at(-1)!.command.kind, 'verify');

  const before = only('verify').length;
  await assert.rejects(kind.ask(request({ signal: caller.signal })).next(), { code: 'cancelled' });
  assert.equal(only('verify').length, before, 'nobody is asked for a caller that has gone already');
  assert.equal(requests.occupies('a'), false);
});

test('workers are offered least loaded first, requests of every kind counted, without those that were lost', () => {
  const { state, connected, lose } = fleet('a', 'b', 'c', 'd');
  const inHand = new Map([
    ['1', 'a'],
    ['2', 'a'],
    ['3', 'b'],
  ]);
  const offered = (lost: string[] = []) =>
    freeWorkers(state(), connected(), inHand, lost).map(({ id }) => id);
  assert.deepEqual(offered(), ['c', 'd', 'b', 'a']);
  assert.deepEqual(offered(['c']), ['d', 'b', 'a']);
  lose('d');
  assert.deepEqual(offered(['c']), ['b', 'a']);
});
