// The front that a sweep keeps, against one that is made of all results at once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  frontTrialsWith,
  hasFront,
  isKeptTrial,
  keptTrials,
} from '../../../../coordinator/model/kept-trials.ts';
import type { TrialState } from '../../../../coordinator/model/state.ts';
import { frontOf } from '../../../../core/search/pareto.ts';
import { FRONT_MAX } from '../../../../core/spec/retention.ts';
import { sweep } from '../../../sim/specs.ts';

const spec = sweep({ objectives: [{ name: 'accuracy' }, { name: 'mflops', direction: 'minimise' }] });

/** A trial that is done, with an accuracy in thousandths and a cost. */
const trial = (number: number, [accuracy, mflops]: readonly [number, number], more: object = {}) =>
  ({
    ...{ id: `trial-${number}`, number, state: 'done', objectives: { accuracy: accuracy / 1000 } },
    ...{ costs: { parameters: 1, mflops }, ...more },
  }) as unknown as TrialState;

/** The front after all of these, one after the other. */
function frontAfter(trials: readonly TrialState[]): readonly string[] {
  const trialOf = (id: string) => trials.find((one) => one.id === id)!;
  return trials.reduce<readonly string[]>(
    (frontTrialIds, one) => frontTrialsWith({ spec, frontTrialIds }, one, trialOf),
    [],
  );
}

const points = fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 20 })), {
  maxLength: 80,
});

test('one result after the other gives the front of all of them, of equal ones the first', () => {
  fc.assert(
    fc.property(points, (all) => {
      const front = frontOf(all.map(([accuracy, mflops]) => [accuracy, -mflops]));
      const first = front.filter((at, place) =>
        front.slice(0, place).every((other) => String(all[other]) !== String(all[at])),
      );
      assert.deepEqual(
        frontAfter(all.map((point, i) => trial(i + 1, point))),
        first.map((at) => `trial-${at + 1}`),
      );
    }),
  );
});

test('a front is no larger than its bound, and keeps its ends', () => {
  const all = Array.from({ length: 3 * FRONT_MAX }, (_, i) => trial(i + 1, [i * i, i * i * i]));
  const front = frontAfter(all);
  assert.equal(front.length, FRONT_MAX);
  assert.deepEqual([front[0], front.at(-1)], ['trial-1', `trial-${all.length}`]);
});

test('a result of a rung, and one that failed, are on no front; a search for one thing has none', () => {
  const rung = { fidelity: { kind: 'epochs', epochs: 1 } };
  assert.deepEqual(frontAfter([trial(1, [5, 5], rung), trial(2, [4, 4], { state: 'failed' })]), []);
  assert.equal(hasFront({ spec }), true);
  assert.equal(hasFront({ spec: sweep() }), false);
  assert.deepEqual(
    [...keptTrials({ bestTrialId: 'trial-1', frontTrialIds: ['trial-2', 'trial-1'] })],
    ['trial-1', 'trial-2'],
  );
  assert.equal(isKeptTrial({ bestTrialId: 'trial-1', frontTrialIds: ['trial-2'] }, 'trial-2'), true);
  assert.equal(isKeptTrial({ bestTrialId: 'trial-1' }, 'trial-2'), false);
});
