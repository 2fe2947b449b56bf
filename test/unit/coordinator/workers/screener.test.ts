// Scores of candidates over real links: which worker is asked, and who after one that is lost or refuses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pino } from 'pino';
import { step } from '../../../../coordinator/decisions/decide.ts';
import type { Input } from '../../../../coordinator/decisions/inputs.ts';
import { initialState, type State, sweepOf, trialOf } from '../../../../coordinator/model/state.ts';
import { createLinks, type RequestCommand } from '../../../../coordinator/workers/links.ts';
import { createRequests } from '../../../../coordinator/workers/requests.ts';
import { startScreener } from '../../../../coordinator/workers/screener.ts';
import { systemClock } from '../../../../core/clock.ts';
import { sweep } from '../../../sim/specs.ts';
import { FACTS, LIMITS } from '../../../sim/world.ts';
import { until } from '../../../support/processes.ts';

type ScoreCommand = Extract<RequestCommand, { kind: 'score' }>;
type Answering = (command: ScoreCommand, workerId: string) => 'dies' | 'refuses' | 'scores';

/** Runs the screening of one group of 4 on two workers to its end, by what each does with a request. */
async function screened(answering: Answering) {
  const log = pino({ level: 'silent' });
  const links = createLinks({ clock: systemClock, log, limits: LIMITS });
  let state: State = initialState;
  let now = 0;
  const give = (input: Input) => {
    const decision = step(state, input, { now: ++now, connected: links.connected });
    state = decision.state;
    for (const effect of decision.effects)
      if (effect.kind === 'send') links.send(effect.workerId, effect.command);
  };
  // Time passes at once.
  const clock = {
    ...systemClock,
    sleep: async (_ms: number, signal?: AbortSignal) => nextTurn(undefined, { signal }),
  };
  const requests = createRequests({
    ...{ links, clock, state: () => state, redirect: () => undefined },
    onChange: () => () => undefined,
  });
  const asked: string[] = [];
  for (const workerId of ['w1', 'w2']) {
    const hello = {
      ...{ workerId, incarnation: 'i', version: '', host: '', pid: 1, deviceKind: 'cpu' },
      ...{ deviceName: 'cpu', deviceClass: 'c', slots: 4, leases: [], metricsEndpoint: '', podUid: '' },
    };
    const stream = {
      end: () => undefined,
      send(command: unknown) {
        const request = command as RequestCommand;
        if (request.kind !== 'score') return;
        asked.push(workerId);
        setImmediate(() => {
          const does = answering(request, workerId);
          if (does === 'dies') links.detach(workerId, stream);
          const networks = request.networksJson.map((_, place) => ({ place, values: [place], reason: '' }));
          if (does === 'refuses')
            screener.answered(request.requestId, { networks: [], ended: true, error: `${workerId} cannot` });
          if (does === 'scores') screener.answered(request.requestId, { networks, ended: true, error: '' });
        });
      },
    };
    links.attach(hello, stream);
    give({ kind: 'attached', hello });
  }
  const screening = { score: 'synflow', keep: 0.25, of: 4 };
  give({
    kind: 'submit',
    documents: [{ kind: 'sweep', spec: sweep({ strategy: { trials: 1 }, screening }), facts: FACTS }],
  });
  const screener = startScreener({
    ...{ requests, state: () => state, leads: () => true, clock, log },
    onScored: async (scored) => give(scored),
  });
  const groupOf = () => sweepOf(state, 'sweep-1').screening?.group;
  await until('all have scores, or a reason', () => groupOf() === undefined, 10_000);
  await screener.stop();
  links.close();
  return { asked, state };
}

test('candidates of a worker that dies over them, or refuses them, are scored by another', async () => {
  for (const fails of ['dies', 'refuses'] as const) {
    const { asked, state } = await screened((_command, workerId) => (workerId === 'w1' ? fails : 'scores'));
    assert.deepEqual(asked, ['w1', 'w2'], fails);
    assert.equal(trialOf(state, 'trial-1').screened?.scores.length, 1, fails);
  }
});

test('candidates that every worker refuses go without scores, and the search goes on', async () => {
  const { asked, state } = await screened(() => 'refuses');
  assert.deepEqual(asked, ['w1', 'w2', 'w1']);
  assert.match(trialOf(state, 'trial-1').screened?.reason ?? '', /cannot/);
});
