import assert from 'node:assert/strict';
import test from 'node:test';
import { pino } from 'pino';
import { createLinks } from '../../../../coordinator/workers/links.ts';
import { createVerdicts, type Verdict } from '../../../../coordinator/workers/verdicts.ts';
import { systemClock } from '../../../../core/clock.ts';

const LIMITS = { heartbeatIntervalMs: 500, heartbeatsMissedMax: 10, reattachGraceMs: 15_000 };
const WORKERS = 300;

function hello(workerId: string) {
  const device = { name: 'n', deviceClass: 'c', kind: 'cpu', memoryBytes: 0 };
  return { workerId, incarnation: 'a', leases: [], device } as unknown as Parameters<
    ReturnType<typeof createLinks>['attach']
  >[0];
}

test('workers that hang up together are each declared lost once, however often they are judged', async () => {
  const links = createLinks({ clock: systemClock, log: pino({ level: 'silent' }), limits: LIMITS });
  const submitted: Verdict[] = [];
  const settle: (() => void)[] = [];
  const verdicts = createVerdicts((verdict) => {
    submitted.push(verdict);
    return new Promise<void>((resolve) => settle.push(resolve));
  });
  const tell = () => verdicts.submitNew(links.judge().map((lost) => ({ kind: 'lost' as const, ...lost })));
  links.onDetach((workerId, incarnation) => {
    links.absent(workerId, incarnation);
    tell();
  });
  const streams = Array.from({ length: WORKERS }, (_, i) => {
    const stream = { send: () => undefined, end: () => undefined };
    links.attach(hello(`w${i}`), stream);
    return stream;
  });
  for (const [i, stream] of streams.entries()) links.detach(`w${i}`, stream);
  tell();
  assert.equal(submitted.length, WORKERS);
  assert.equal(new Set(submitted.map(({ workerId }) => workerId)).size, WORKERS);
  // One that was decided without taking effect is told again: nobody is forgotten.
  for (const resolve of settle) resolve();
  await Promise.resolve();
  tell();
  assert.equal(submitted.length, 2 * WORKERS);
  links.close();
});

test('a verdict that is refused is told again, and another one on the same worker is not held up', async () => {
  const submitted: Verdict[] = [];
  const verdicts = createVerdicts((verdict) => {
    submitted.push(verdict);
    return Promise.reject(new Error('the journal is being read'));
  });
  const lost: Verdict = { kind: 'lost', workerId: 'w', incarnation: 'a', cause: 'silent', reason: 'r' };
  verdicts.submitNew([lost, lost, { ...lost, kind: 'leaving' }, { ...lost, incarnation: 'b' }]);
  assert.equal(submitted.length, 3);
  await Promise.resolve();
  verdicts.submitNew([lost]);
  assert.equal(submitted.length, 4);
});
