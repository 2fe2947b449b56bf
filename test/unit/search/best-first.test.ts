// One order of "best first": the sweep's winner, the leaderboard, the tables and the plan's winner agree,
// ties included.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { check, constantFrom, integer, property, record, uniqueArray } from 'fast-check';
import { resultLines } from '../../../coordinator/cli/screen/results.ts';
import type { Decided, Event } from '../../../coordinator/model/events.ts';
import { sweepOf } from '../../../coordinator/model/state.ts';
import { reportHtml } from '../../../core/report/plan-report.ts';
import { bestFirst, type Ranked, rankedRun } from '../../../core/search/best-first.ts';
import { sweep } from '../../sim/specs.ts';
import { FACTS } from '../../sim/world.ts';
import { drawn, folded, recorded } from '../../support/state.ts';
import { trial } from '../cli/messages.ts';
import { reportData } from '../report/report-data.ts';

const done = (objective: number, parameters: number, number: number): Ranked => ({
  objective,
  parameters,
  number,
});

test('the higher objective, then the smaller network, then the earlier one; without a result last', () => {
  const failed = { objective: undefined, parameters: 1, number: 1 };
  const running = { objective: Number.NaN, parameters: 2, number: 2 };
  const unmeasured = { objective: undefined, parameters: 3, number: 3 };
  const worst = done(0, 10, 4);
  const large = done(0.9, 20, 5);
  const late = done(0.9, 10, 7);
  const early = done(0.9, 10, 6);
  const mixed = [late, unmeasured, running, large, failed, worst, early];
  deepEqual(
    mixed.sort(bestFirst).map(({ number }) => number),
    [6, 7, 5, 4, 1, 2, 3],
  );
});

test('it is a total order', () => {
  const one = record({
    objective: constantFrom(undefined, Number.NaN, 0, 0.5, 1),
    parameters: integer({ min: 1, max: 3 }),
    number: integer({ min: 1, max: 50 }),
  });
  const several = uniqueArray(one, { selector: ({ number }) => number, minLength: 3, maxLength: 3 });
  const outcome = check(
    property(several, ([a, b, c]) => {
      ok(bestFirst(a!, b!) !== 0);
      equal(Math.sign(bestFirst(a!, b!)), -Math.sign(bestFirst(b!, a!)));
      if (bestFirst(a!, b!) < 0 && bestFirst(b!, c!) < 0) ok(bestFirst(a!, c!) < 0);
    }),
    { numRuns: 500 },
  );
  ok(!outcome.failed, JSON.stringify(outcome.counterexample));
});

test('a run is ranked by the accuracy of its verification', () => {
  const verified = rankedRun({ evaluation: { accuracy: 0.8 }, parameters: 5 }, 0);
  const unverified = rankedRun({ parameters: 4 }, 1);
  ok(bestFirst(verified, unverified) < 0);
  equal(verified.objective, 0.8);
});

test('of equal candidates the fold, the table and the report put the same one first', () => {
  const parameters = [30, 10, 20, 10];
  const trials = parameters.map((each, i) =>
    trial({ id: `trial-${i + 1}`, number: i + 1, objective: 0.7, parameters: each }),
  );
  const events = trials.flatMap(({ id: trialId, number, objective, parameters }): Decided[] => {
    const proposed = { genotype: `g${number}`, cursor: drawn(number) };
    const costs = { parameters, mflops: 1, multiplyAdds: 1 };
    return [
      { kind: 'trial.proposed', trialId, sweepId: 'sweep-1', number, costs, ...proposed },
      {
        kind: 'trial.ended',
        trialId,
        state: 'done',
        reason: 'accuracy',
        objectives: { accuracy: objective },
      },
    ];
  });
  const { event, digest } = recorded(sweep({}));
  const submitted: Decided = { kind: 'sweep.submitted', sweepId: 'sweep-1', spec: digest, facts: FACTS };
  const state = folded([event, submitted, ...events].map((one) => ({ ...one, atMs: 1 }) as Event));
  equal(sweepOf(state, 'sweep-1').bestTrialId, 'trial-2');
  const lines = resultLines({ plan: undefined, sweeps: [], trials, runs: [], evaluations: new Map() }).join(
    '\n',
  );
  const numbers = [...lines.matchAll(/^ *(\d) +70\.0/gm)].map(([, number]) => number);
  deepEqual(numbers, ['2', '4', '3', '1']);
  const page = reportHtml({ ...reportData(), trials });
  deepEqual(
    [...page.matchAll(/<td>#(\d)<\/td>/g)].slice(0, 4).map(([, number]) => number),
    ['2', '4', '3', '1'],
  );
});
