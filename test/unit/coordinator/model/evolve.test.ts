import assert from 'node:assert/strict';
import test from 'node:test';
import type { Decided, Event } from '../../../../coordinator/model/events.ts';
import { evolve } from '../../../../coordinator/model/evolve.ts';
import { initialState, sweepOf } from '../../../../coordinator/model/state.ts';
import { Edit } from '../../../../coordinator/model/table.ts';
import { sweep } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { drawn, recorded } from '../../../support/state.ts';

const costs = { parameters: 1, mflops: 1, multiplyAdds: 1 };

function* longSweep(trials: number): Generator<Event> {
  const at = (event: Decided, atMs: number) => ({ ...event, atMs }) as Event;
  const { event, digest } = recorded(sweep());
  yield at(event, 0);
  yield at({ kind: 'sweep.submitted', sweepId: 'sweep-1', spec: digest, facts: FACTS }, 0);
  for (let n = 1; n <= trials; n++) {
    const trialId = `trial-${n}`;
    const runId = `run-${n}`;
    const proposed = { number: n, genotype: `g${n}`, costs, cursor: drawn(n) };
    yield at({ kind: 'trial.proposed', trialId, sweepId: 'sweep-1', ...proposed }, n);
    yield at({ kind: 'trial.attempted', trialId, runId, attempt: 1, reason: 'r' }, n);
    const members = [{ workerId: 'w', shardFirst: 0, shardCount: 8 }];
    yield at({ kind: 'run.assigned', runId, generation: 1, members, deviceClass: 'c', reason: 'r' }, n);
    yield at({ kind: 'run.finished', runId, generation: 1, workerId: 'w', step: 8, weightsDigest: 'd' }, n);
    const objectives = { accuracy: (n % 1000) / 1000 };
    yield at({ kind: 'trial.ended', trialId, state: 'done', reason: 'r', objectives }, n);
  }
}

test('a journal of 100,000 events is replayed within seconds, each event costing the same', (t) => {
  const events = [...longSweep(20_000)];
  const before = process.cpuUsage();
  const edit = new Edit();
  const state = events.reduce((so, event) => evolve(so, event, edit), initialState);
  const seconds = process.cpuUsage(before).user / 1e6;
  t.diagnostic(`${events.length} events in ${seconds.toFixed(2)} s of CPU`);
  assert.equal(state.events, 100_002);
  assert.equal(state.openRuns.size, 0);
  const done = sweepOf(state, 'sweep-1');
  assert.equal(done.trialsDone, 20_000);
  // The first of the trials with the highest objective (999 of 1000).
  assert.equal(done.bestTrialId, 'trial-999');
  // About 0.3 s when measured (CPU time, since other programs run beside a test); a fold that copies tables
  // takes minutes.
  assert.ok(seconds < 10, `${seconds} s`);
});
