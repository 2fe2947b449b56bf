import assert from 'node:assert/strict';
import test from 'node:test';
import type { Answer, Cursor } from '../../../../coordinator/strategies/search.ts';
import { compareStandings } from '../../../../coordinator/strategies/standing.ts';
import { searchOf } from '../../../../coordinator/strategies/strategies.ts';
import { cellCosts } from '../../../../core/nn/cell-costs.ts';
import { genotypeOfKey, keyOfCode } from '../../../../core/nn/genotype-code.ts';
import { smallSpace } from '../../../../core/nn/small-space.ts';
import { candidateNetwork, costsOf } from '../../../../core/nn/space.ts';
import type { SweepSpec } from '../../../../core/spec/sweep.ts';
import { sweep } from '../../../sim/specs.ts';

/** Asks until `count` candidates came, the search is exhausted, or `answersMax` answers brought none. */
function search(spec: SweepSpec, count: number, { draws = 100, answersMax = 200 } = {}) {
  const asked = searchOf(spec);
  const trials = new Map<string, number>();
  const moves: Extract<Answer, { kind: 'move' }>[] = [];
  let state = asked.begin(1);
  let last: Answer | undefined;
  for (let without = 0; moves.length < count && without < answersMax; ) {
    // The state goes through the journal as JSON.
    const stored = JSON.parse(JSON.stringify(state)) as typeof state;
    last = asked.ask(stored, question({ draws, known: (key) => trials.get(key) }));
    if (last.kind === 'done' || last.kind === 'wait') break;
    without += 1;
    state = { ...stored, cursor: last.cursor };
    if (last.kind === 'later') continue;
    without = 0;
    moves.push(last);
    trials.set(last.move.key, moves.length);
    state = asked.made(stored, { ...last.move, cursor: last.cursor });
  }
  const candidates = moves.map(({ move }) => ({ key: move.key, costs: costs(move) }));
  return { moves, last, state, candidates, keys: candidates.map(({ key }) => key) };
}

const question = (part: { draws: number; known: (key: string) => number | undefined }) => ({
  ...part,
  mayBegin: true,
  keyOf: () => '',
});

function costs(move: Extract<Answer, { kind: 'move' }>['move']) {
  assert.ok(move.kind === 'evaluate');
  return move.costs;
}

const drawsOf = ({ draws, walked = 0 }: Cursor) => draws + walked;

/** A space of one op, which has 6241 networks; a factorised reduction makes those with strides larger. */
const tiny = (change: Record<string, unknown> = {}) =>
  sweep({ space: { channels: 2, layers: 4, embedding: 16, ops: ['skip_connect'] }, ...change });

test('the same seed proposes the same candidates, another seed others, none twice, with their costs', () => {
  const spec = sweep();
  const { keys, candidates } = search(spec, 30);
  assert.deepEqual(search(spec, 30, { draws: 1 }).keys, keys);
  assert.notDeepEqual(search(sweep({ strategy: { trials: 6, seed: 2 } }), 30).keys, keys);
  assert.equal(new Set(keys).size, 30);
  for (const candidate of candidates)
    assert.deepEqual(candidate.costs, costsOf(candidateNetwork(spec, genotypeOfKey(candidate.key))));
});

test('a draw above a constraint is passed over: their count, and the numbers of the first', () => {
  const sizes = search(sweep(), 30).candidates.map((candidate) => candidate.costs.parameters);
  const parametersMax = [...sizes].sort((a, b) => a - b)[5]!;
  const { moves, candidates, state } = search(sweep({ constraints: { parametersMax } }), 10);
  assert.ok(candidates.every((candidate) => candidate.costs.parameters <= parametersMax));
  const skipped = moves.map((move) => move.skipped).filter(({ count }) => count > 0);
  assert.ok(skipped.length > 0);
  for (const { firstReason } of skipped)
    assert.match(firstReason, new RegExp(`^\\d+ parameters, at most ${parametersMax} allowed$`));
  const count = moves.reduce((sum, move) => sum + move.skipped.count, 0);
  assert.equal(drawsOf(state.cursor), state.trials + count);
});

test('the slices in which a search is asked change nothing', () => {
  const sizes = search(sweep(), 100).candidates.map((candidate) => candidate.costs.parameters);
  const parametersMax = [...sizes].sort((a, b) => a - b)[3]!;
  const spec = sweep({ constraints: { parametersMax } });
  const whole = search(spec, 8, { draws: 100_000 });
  const sliced = search(spec, 8, { draws: 7 });
  assert.equal(whole.keys.length, 8);
  assert.deepEqual(sliced.moves, whole.moves);
});

test('a small space is tried whole, each network once, and only then is it exhausted', () => {
  const sizes = search(tiny(), 200).candidates.map((candidate) => candidate.costs.parameters);
  const parametersMax = [...sizes].sort((a, b) => a - b)[4]!;
  const spec = tiny({ constraints: { parametersMax } });
  const { keys, last } = search(spec, Number.POSITIVE_INFINITY, { draws: 500 });
  assert.ok(last?.kind === 'done');
  assert.match(last.reason, new RegExp(`^each of the \\d+ networks .* ${keys.length} became trials`));
  const space = smallSpace(tiny());
  assert.ok(space !== undefined);
  const within = Array.from({ length: space.size }, (_, index) => space.at(index)).filter(
    (code) => cellCosts(spec.space).of(code).parameters <= parametersMax,
  );
  assert.deepEqual([...keys].sort(), within.map(keyOfCode).sort());
});

test('a small space whose networks are all known says the twin of the first draw', () => {
  const spec = tiny();
  const answer = searchOf(spec).ask(searchOf(spec).begin(1), question({ known: () => 7, draws: 3 }));
  assert.equal(answer.kind, 'later');
  const skipped = { count: 3, firstReason: 'isomorphic to trial 7' };
  assert.deepEqual(answer.skipped, skipped);
  assert.deepEqual(answer.cursor, { draws: 3, skipped });
});

test('constraints that no network meets end the search with the smallest network', () => {
  const spec = sweep({ constraints: { parametersMax: 1 } });
  const { last, moves } = search(spec, 1, { draws: 1000 });
  assert.deepEqual(moves, []);
  assert.ok(last?.kind === 'done');
  assert.match(last.reason, /^no network .* the smallest has \d+ parameters, at most 1 allowed$/);
});

test('a large space with rare candidates is never called exhausted; the acceptance is said', () => {
  const sizes = search(sweep(), 2000).candidates.map((candidate) => candidate.costs.parameters);
  // Among 2000 draws one has this size; the space is far too large to be listed.
  const parametersMax = [...sizes].sort((a, b) => a - b)[0]!;
  const spec = sweep({ constraints: { parametersMax } });
  const { moves, state } = search(spec, 3, { draws: 500 });
  assert.equal(moves.length, 3);
  assert.ok(
    moves.some(({ skipped }) => skipped.count > 500),
    'a gap that ended sweeps of earlier releases',
  );
  assert.equal(state.trials, 3);
});

test('the leaderboard has the better accuracy first, then the smaller network, then the earlier trial', () => {
  const compare = compareStandings(sweep());
  const trial = (number: number, parameters: number, accuracy?: number) => ({
    number,
    amount: Number.POSITIVE_INFINITY,
    costs: { parameters, mflops: 0 },
    objectives: accuracy === undefined ? {} : { accuracy },
  });
  const trials = [trial(1, 5), trial(2, 9, 0.5), trial(3, 8, 0.9), trial(4, 7, 0.9), trial(5, 7, 0.9)];
  assert.deepEqual(
    [...trials].sort(compare).map(({ number }) => number),
    [4, 5, 3, 2, 1],
  );
});
