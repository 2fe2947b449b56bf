import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { createLeaderboards, placeAfter } from '../../../../coordinator/api/leaderboards.ts';
import { bestTrialFirst } from '../../../../coordinator/model/leaderboard.ts';
import { sweepOf, type TrialState } from '../../../../coordinator/model/state.ts';
import { inOrder } from '../../../support/state.ts';
import { createSweepFleet, type SweepFleet } from '../../../support/sweep-fleet.ts';

/** The order as a sort of all trials gives it. */
function sorted({ state }: SweepFleet): TrialState[] {
  const done = inOrder(state.trials).filter((trial) => trial.state === 'done');
  return done.sort(bestTrialFirst(sweepOf(state, 'sweep-1')));
}

const idsOf = (trials: readonly TrialState[]) => trials.map(({ id }) => id);

test('an order that is kept is what sorting all finished trials gives', async () => {
  const steps = fc.array(fc.record({ propose: fc.nat(3), finish: fc.nat(3), accuracy: fc.nat(4) }), {
    maxLength: 20,
  });
  await fc.assert(
    fc.asyncProperty(steps, async (taken) => {
      const fleet = createSweepFleet(1);
      const leaderboards = createLeaderboards();
      const open: number[] = [];
      for (const { propose, finish, accuracy } of taken) {
        for (let n = 0; n < propose; n++) open.push(fleet.propose());
        for (const number of open.splice(0, finish)) fleet.finish(number, accuracy / 4);
        assert.deepEqual(idsOf(await leaderboards.of(fleet.state, 'sweep-1')), idsOf(sorted(fleet)));
      }
    }),
    { numRuns: 15 },
  );
});

test('a long order is made in turns, by one sort for all who ask, and changed in place afterwards', async () => {
  const fleet = createSweepFleet(1);
  fleet.past(5_000);
  const leaderboards = createLeaderboards();
  const { state } = fleet;
  let turns = 0;
  let isWaiting = true;
  const count = () => {
    turns += 1;
    if (isWaiting) setImmediate(count);
  };
  setImmediate(count);
  const [one, other] = await Promise.all([1, 2].map(() => leaderboards.of(state, 'sweep-1')));
  isWaiting = false;
  assert.ok(turns >= 4, `${turns} turns`);
  assert.equal(one, other);
  assert.deepEqual(idsOf(one!), idsOf(sorted(fleet)));
  fleet.finish(fleet.propose(), 0.5005);
  assert.equal(await leaderboards.of(fleet.state, 'sweep-1'), one);
  assert.deepEqual(idsOf(one!), idsOf(sorted(fleet)));
  // More than is worth moving one by one.
  fleet.past(2_100);
  assert.deepEqual(idsOf(await leaderboards.of(fleet.state, 'sweep-1')), idsOf(sorted(fleet)));
});

test('a page begins behind a trial, whether it still stands there or not', () => {
  const fleet = createSweepFleet(1);
  for (const accuracy of [0.9, 0.5, 0.7, 0.7]) fleet.finish(fleet.propose(), accuracy);
  const trials = sorted(fleet);
  const compare = bestTrialFirst(sweepOf(fleet.state, 'sweep-1'));
  assert.deepEqual(idsOf(trials), ['trial-1', 'trial-3', 'trial-4', 'trial-2']);
  assert.equal(placeAfter(trials, trials[1]!, compare), 2);
  const [second] = trials.splice(1, 1);
  assert.equal(placeAfter(trials, second!, compare), 1);
});
