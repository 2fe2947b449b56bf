import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frontOfTrials, frontSvg, frontText } from '../../../../coordinator/cli/screen/pareto-view.ts';
import { trial } from '../messages.ts';

const candidate = (number: number, objective: number, parameters: number, some = {}) =>
  trial({ id: `trial-${number}`, number, objective, parameters, mflops: number, ...some });
const TRIALS = [
  candidate(1, 0.8, 300),
  candidate(2, 0.9, 400),
  // Dominated by the first.
  candidate(3, 0.7, 350),
  candidate(4, 0.6, 100),
  candidate(5, Number.NaN, 50, { state: 'running' }),
];

test('the front is what no other beats, with the volume above the worst that was measured', () => {
  const found = frontOfTrials(TRIALS, ['accuracy', 'parameters']);
  assert.deepEqual(
    found.front.map(({ number }) => number),
    [2, 1, 4],
  );
  assert.equal(found.measured.length, 4);
  assert.deepEqual(found.reference, [0.6, 400]);
  // Above (0.6, 400): candidate 1 alone is better in both, by 0.2 and 100.
  assert.ok(Math.abs(found.hypervolume - 20) < 1e-9, String(found.hypervolume));
  // Above (0.5, 500): 0.4 * 100 + 0.3 * 100 + 0.1 * 200.
  const named = frontOfTrials(TRIALS, ['accuracy', 'parameters'], [0.5, 500]);
  assert.ok(Math.abs(named.hypervolume - 90) < 1e-9, String(named.hypervolume));
});

test('the front is a plot and a table with the reference point, and an SVG file', () => {
  const found = frontOfTrials(TRIALS, ['accuracy', 'parameters']);
  const text = frontText(found);
  const plot = text.split('\n').slice(1, 13);
  assert.equal(plot.join('').match(/●/g)?.length, 3);
  assert.equal(plot.join('').match(/·/g)?.length, 1);
  assert.match(plot[0]!, /^90\.00 % │ +●$/);
  assert.match(plot[11]!, /^60\.00 % │●$/);
  assert.match(
    text,
    /3 of 4 finished candidates are on the front; hypervolume 20\.00 from accuracy 60\.00 %, parameters 400$/,
  );
  const svg = frontSvg(found, 'Front of <s>');
  assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" .*Front of &#60;s&#62;.*<\/svg>\n$/s);
  assert.equal(svg.match(/<circle/g)?.length, 4);
  assert.equal(frontText(frontOfTrials([], ['accuracy', 'mflops'])), 'no candidate is done yet');
});
