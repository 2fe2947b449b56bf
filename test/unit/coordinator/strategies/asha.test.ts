import assert from 'node:assert/strict';
import test from 'node:test';
import { asha } from '../../../../coordinator/strategies/asha.ts';
import { ashaFront, marginsOf } from '../../../../coordinator/strategies/asha-front.ts';
import { hyperband } from '../../../../coordinator/strategies/hyperband.ts';
import { rungsOf } from '../../../../coordinator/strategies/rungs.ts';
import {
  countBefore,
  type Scored,
  type SortedList,
  sizeOf,
  withoutScored,
  withScored,
} from '../../../../coordinator/strategies/sorted-list.ts';
import { randomStream } from '../../../../core/rng.ts';
import { dominates } from '../../../../core/search/pareto.ts';
import { type AshaSpec, type HyperbandSpec, strategySchema } from '../../../../core/spec/strategy.ts';
import { simulated } from '../../../support/simulated-search.ts';
import { tableSpace } from '../../../support/table-space.ts';

const space = tableSpace([6, 6, 6, 6, 6, 6]);
/** Less noise with more epochs. */
const evaluate = (key: string, epochs = 27) => {
  const genes = key.split('.').map(Number);
  const noise = randomStream({ seed: 1, purpose: key, at: [epochs, 0] }).uniform(-10, 10) / epochs;
  return [noise - genes.reduce((sum, value) => sum + value, 0)];
};

test('the rungs of a search are eta times one another, below the full evaluation', () => {
  assert.deepEqual(rungsOf({ first: 1, eta: 3, epochs: 27 }), [1, 3, 9, 27]);
  assert.deepEqual(rungsOf({ first: 2, eta: 2, epochs: 9 }), [2, 4, 8, 9]);
  assert.deepEqual(rungsOf({ first: 5, eta: 4, epochs: 5 }), [5]);
});

test('a sorted list is what sorting gives, however long', () => {
  const random = randomStream({ seed: 2, purpose: 'sorted' });
  let list: SortedList = [];
  let plain: Scored[] = [];
  for (let trial = 1; trial <= 1_000; trial++) {
    // Few scores, so that ties come up.
    const entry: Scored = [random.integer(40), trial];
    list = withScored(list, entry);
    plain.push(entry);
    if (trial % 3 === 0) {
      const gone = plain[random.integer(plain.length)]!;
      list = withoutScored(list, gone);
      plain = plain.filter((one) => one !== gone);
    }
  }
  plain.sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  assert.deepEqual(list.flat(), plain);
  assert.equal(sizeOf(list), plain.length);
  assert.ok(list.length > 1 && list.every((chunk) => chunk.length > 0 && chunk.length <= 256));
  for (const place of [0, 1, 17, 300, plain.length - 1])
    assert.equal(countBefore(list, plain[place]!), place);
});

test('ASHA promotes the best of a rung that has not gone on, among the best 1/eta, and no other', () => {
  const spec = strategySchema.parse({ kind: 'asha', trials: 120, seed: 1 }) as AshaSpec;
  const lag = 6;
  const found = simulated({ strategy: asha(spec, space, 27), space, seed: 1, trials: 120, lag, evaluate });
  // A plain second one: all results that a move sees, sorted anew for each rung.
  let promotions = 0;
  const rungs = [1, 3, 9];
  found.moves.forEach((move, at) => {
    const seen = found.evaluated.filter((one) => one.move <= at + 1 - lag);
    const goneOn = (rung: number) =>
      new Set(
        found.moves
          .slice(0, at)
          .flatMap((one) =>
            one.kind === 'promote' && (one.fidelity?.epochs ?? 27) > rung ? [one.trial] : [],
          ),
      );
    const wanted = rungs.toReversed().flatMap((rung) => {
      const results = seen
        .filter(({ epochs }) => epochs === rung)
        .sort((a, b) => b.scores![0]! - a.scores![0]! || a.trial - b.trial);
      const gone = goneOn(rung);
      const best = results.slice(0, Math.floor(results.length / 3)).find(({ trial }) => !gone.has(trial));
      return best === undefined ? [] : [{ trial: best.trial, epochs: 3 * rung }];
    })[0];
    // Once all have begun, a strategy that waits sees more than its lag.
    if (found.moves.slice(0, at).filter(({ kind }) => kind === 'evaluate').length === 120) return;
    if (move.kind === 'promote') promotions += 1;
    const made =
      move.kind === 'promote' ? { trial: move.trial, epochs: move.fidelity?.epochs ?? 27 } : undefined;
    assert.deepEqual(made, wanted, `move ${at + 1}`);
  });
  assert.ok(promotions > 20, `${promotions} promotions`);
});

test('ASHA decides by the results near the cut of a rung as it would by all of them', () => {
  for (const mode of ['promote', 'stop'] as const) {
    const spec = { ...(strategySchema.parse({ kind: 'asha', trials: 500 }) as AshaSpec), mode };
    const searched = (keptMax: number) =>
      simulated({
        ...{ strategy: asha(spec, space, 9, keptMax), space, seed: 1, trials: 500, lag: 6, evaluate },
      });
    const [few, all] = [searched(50), searched(10_000)];
    const kept = few.state.strategy.rungs[0]!;
    assert.ok(sizeOf(kept.waiting) <= 50 && kept.worse > 100 && kept.better > 50, mode);
    // The rank of one that is better than all that are kept is known as a bound alone.
    const made = ({ moves }: typeof few) => moves.map(({ reason: _r, ...move }) => move);
    assert.deepEqual(made(few), made(all), mode);
  }
});

test('ASHA spends a fraction of the epochs that full evaluations take', () => {
  const spec = strategySchema.parse({ kind: 'asha', trials: 200, seed: 1 }) as AshaSpec;
  for (const mode of ['promote', 'stop'] as const) {
    const { evaluated } = simulated({
      ...{ strategy: asha({ ...spec, mode }, space, 27), space, seed: 1, trials: 200, lag: 6, evaluate },
    });
    // Each evaluation begins again: that is counted.
    const epochs = evaluated.reduce((sum, one) => sum + (one.epochs ?? 27), 0);
    assert.ok(epochs < 0.35 * 200 * 27, `${mode}: ${epochs} epochs`);
    assert.ok(evaluated.some((one) => one.epochs === undefined));
  }
});

/** Accuracy with noise, and a cost that has none. */
const twofold = (key: string, epochs = 27) => {
  const cost = key.split('.').reduce((sum, value, gene) => sum + (gene % 2 === 0 ? Number(value) : 0), 0);
  return [...evaluate(key, epochs), -cost];
};

test('ASHA with several objectives stops a trial only where one of its rung dominates it by the noise of the rung', () => {
  const spec = strategySchema.parse({ kind: 'asha', trials: 120, seed: 1, mode: 'stop' }) as AshaSpec;
  const lag = 6;
  const strategy = ashaFront(spec, space, 27);
  const found = simulated({ strategy, space, seed: 1, trials: 120, lag, evaluate: twofold });
  // A plain second one looks at all results again for each move; those of a move count in the order of moves.
  const counts = { stop: 0, promote: 0 };
  const below = new Map([
    [3, 1],
    [9, 3],
    [27, 9],
  ]);
  found.moves.forEach((move, at) => {
    if (move.kind === 'evaluate') return;
    const results = found.evaluated.filter((one) => one.trial === move.trial && one.move <= at);
    const own = results.at(-1)!;
    const seen = found.evaluated.filter((one) => one.move <= own.move);
    const scoresAt = (trial: number, epochs: number) =>
      seen.find((one) => one.trial === trial && (one.epochs ?? 27) === epochs)?.scores;
    const epochs = own.epochs ?? 27;
    const next = [...below].find(([, of]) => of === epochs)![0];
    const both = seen.flatMap((one) => {
      const [here, later] = [scoresAt(one.trial, epochs), one.scores];
      return (one.epochs ?? 27) === next && here && later ? [[here, later] as const] : [];
    });
    // The table is small enough that nothing is forgotten but pairs.
    const kept = both.slice(-32);
    const margins = own.scores!.map((_, objective) => {
      const gaps = kept.flatMap(([a, laterA], i) =>
        kept.slice(i + 1).flatMap(([b, laterB]) => {
          const gap = a[objective]! - b[objective]!;
          return Math.sign(gap) * Math.sign(laterA[objective]! - laterB[objective]!) < 0
            ? [Math.abs(gap)]
            : [];
        }),
      );
      return gaps.sort((a, b) => a - b)[Math.ceil(0.9 * gaps.length) - 1] ?? 0;
    });
    const needed = own.scores!.map((score, objective) => score + margins[objective]!);
    const isBeaten =
      kept.length >= 2 &&
      seen.some(
        ({ epochs: of = 27, scores }) =>
          of === epochs &&
          dominates(scores!, own.scores!) &&
          scores!.every((score, objective) => score >= needed[objective]!),
      );
    assert.equal(move.kind, isBeaten ? 'stop' : 'promote', `move ${at + 1}: ${move.reason}`);
    counts[move.kind] += 1;
  });
  assert.ok(counts.stop > 20 && counts.promote > 20, JSON.stringify(counts));
});

test('the noise of a rung is how far those were apart that changed places, and costs have none', () => {
  assert.equal(
    marginsOf([
      [
        [1, 5],
        [2, 5],
      ],
    ]),
    undefined,
  );
  const order = [
    [
      [1, 5],
      [2, 5],
    ],
    [
      [1.5, 4],
      [1, 4],
    ],
    [
      [3, 3],
      [4, 3],
    ],
  ] as const;
  assert.deepEqual(marginsOf(order), [0.5, 0]);
});

test('ASHA with several objectives lets the first fronts of a rung go on, and no more than 1/eta', () => {
  const spec = strategySchema.parse({ kind: 'asha', trials: 90, seed: 1 }) as AshaSpec;
  const strategy = ashaFront(spec, space, 27);
  const { evaluated } = simulated({ strategy, space, seed: 1, trials: 90, lag: 6, evaluate: twofold });
  const at = (epochs: number | undefined) => evaluated.filter((one) => one.epochs === epochs);
  const [first, second] = [at(1), at(3)];
  assert.equal(first.length, 90);
  // A third, and what was among the best third when it came.
  assert.ok(second.length >= 30 && second.length <= 40, `${second.length} went on`);
  const isGone = (trial: number) => second.some((one) => one.trial === trial);
  const front = first.filter(({ scores }) => !first.some((other) => dominates(other.scores!, scores!)));
  assert.ok(
    front.every(({ trial }) => isGone(trial)),
    'the whole front goes on',
  );
});

test('Hyperband: brackets have the sizes of the paper, and each rung lets its best go on', () => {
  const spec = strategySchema.parse({ kind: 'hyperband', trials: 200, seed: 1 }) as HyperbandSpec;
  const { evaluated } = simulated({
    ...{ strategy: hyperband(spec, space, 27), space, seed: 1, trials: 49, lag: 4, evaluate },
  });
  const count = (epochs: number | undefined, trials: (trial: number) => boolean) =>
    evaluated.filter((one) => one.epochs === epochs && trials(one.trial)).length;
  // With R = 27 and eta = 3 (table 1 of the paper has R = 81): 27, 12, 6 and 4 candidates.
  const first = (trial: number) => trial <= 27;
  const second = (trial: number) => trial > 27 && trial <= 39;
  const third = (trial: number) => trial > 39 && trial <= 45;
  const last = (trial: number) => trial > 45;
  assert.deepEqual(
    [1, 3, 9, undefined].map((epochs) => count(epochs, first)),
    [27, 9, 3, 1],
  );
  assert.deepEqual(
    [3, 9, undefined].map((epochs) => count(epochs, second)),
    [12, 4, 1],
  );
  assert.deepEqual(
    [9, undefined].map((epochs) => count(epochs, third)),
    [6, 2],
  );
  assert.equal(count(undefined, last), 4);
  const ofFirst = (epochs: number) =>
    evaluated
      .filter((one) => first(one.trial) && one.epochs === epochs)
      .sort((a, b) => b.scores![0]! - a.scores![0]!);
  const best = ofFirst(1)
    .slice(0, 9)
    .map(({ trial }) => trial);
  assert.deepEqual(
    ofFirst(3)
      .map(({ trial }) => trial)
      .sort(),
    best.sort(),
  );
});
