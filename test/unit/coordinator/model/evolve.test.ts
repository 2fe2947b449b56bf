import assert from 'node:assert/strict';
import test from 'node:test';
import type { Decided, Event } from '../../../../coordinator/model/events.ts';
import { evolve } from '../../../../coordinator/model/evolve.ts';
import { initialState, sweepOf } from '../../../../coordinator/model/state.ts';
import { sweep, teacher } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';

const costs = { parameters: 1, mflops: 1, multiplyAdds: 1 };
const genotype = {} as never;

function* longSweep(trials: number): Generator<Event> {
  const at = (event: Decided, atMs: number) => ({ ...event, atMs }) as Event;
  yield at({ kind: 'sweep.submitted', sweepId: 'sweep-1', spec: sweep(), facts: FACTS }, 0);
  for (let n = 1; n <= trials; n++) {
    const trialId = `trial-${n}`;
    const runId = `run-${n}`;
    const proposed = { number: n, genotype, genotypeJson: `g${n}`, costs, nextDraw: n, skipped: [] };
    yield at({ kind: 'trial.proposed', trialId, sweepId: 'sweep-1', ...proposed }, n);
    const spec = teacher({ kind: 'candidate' });
    const created = { spec, facts: FACTS, costs, reason: 'r', sweepId: 'sweep-1', trialId };
    yield at({ kind: 'run.created', runId, ...created }, n);
    const members = [{ workerId: 'w', shardFirst: 0, shardCount: 8 }];
    yield at({ kind: 'run.assigned', runId, generation: 1, members, deviceClass: 'c', reason: 'r' }, n);
    yield at({ kind: 'run.finished', runId, generation: 1, workerId: 'w', step: 8, weightsDigest: 'd' }, n);
    yield at({ kind: 'trial.ended', trialId, state: 'done', reason: 'r', objective: (n % 1000) / 1000 }, n);
  }
}

test('a journal of 100,000 events is replayed within seconds, each event costing the same', (t) => {
  const events = [...longSweep(20_000)];
  const before = process.cpuUsage();
  const state = events.reduce(evolve, initialState);
  const seconds = process.cpuUsage(before).user / 1e6;
  t.diagnostic(`${events.length} events in ${seconds.toFixed(2)} s of CPU`);
  assert.equal(state.events, 100_001);
  assert.equal(state.openRunIds.size, 0);
  const done = sweepOf(state, 'sweep-1');
  assert.equal(done.trialsDone, 20_000);
  // The first of the trials with the highest objective (999 of 1000).
  assert.equal(done.bestTrialId, 'trial-999');
  // About 1 s when measured (CPU time, since other programs run beside a test); a fold that copies tables
  // takes minutes.
  assert.ok(seconds < 10, `${seconds} s`);
});
