import assert from 'node:assert/strict';
import { test } from 'node:test';
import { objectivesFor } from '../../../../coordinator/cli/commands/pareto-command.ts';
import { frontOfTrials, frontSvg, frontText } from '../../../../coordinator/cli/screen/pareto-view.ts';
import { bestTrialFirst } from '../../../../core/report/objectives.ts';
import { trial } from '../messages.ts';

const candidate = (number: number, objective: number, parameters: number, some = {}) =>
  trial({ id: `trial-${number}`, number, objective, parameters, mflops: number, ...some });
const OBJECTIVES = [
  { name: 'accuracy', direction: 'maximise' },
  { name: 'parameters', direction: 'minimise' },
];
const TRIALS = [
  candidate(1, 0.8, 300),
  candidate(2, 0.9, 400),
  // Dominated by the first.
  candidate(3, 0.7, 350),
  candidate(4, 0.6, 100),
  candidate(5, Number.NaN, 50, { state: 'running' }),
];

test('the front is what no other beats, with the volume above the worst that was measured', () => {
  const found = frontOfTrials(TRIALS, OBJECTIVES);
  assert.deepEqual(
    found.front.map(({ number }) => number),
    [2, 1, 4],
  );
  assert.equal(found.measured.length, 4);
  assert.deepEqual(found.reference, [0.6, 400]);
  // Above (0.6, 400): candidate 1 alone is better in both, by 0.2 and 100.
  assert.ok(Math.abs(found.hypervolume - 20) < 1e-9, String(found.hypervolume));
  // Above (0.5, 500): 0.4 * 100 + 0.3 * 100 + 0.1 * 200.
  const named = frontOfTrials(TRIALS, OBJECTIVES, [0.5, 500]);
  assert.ok(Math.abs(named.hypervolume - 90) < 1e-9, String(named.hypervolume));
});

test('the front is a plot and a table with the reference point, and an SVG file', () => {
  const found = frontOfTrials(TRIALS, OBJECTIVES);
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
  assert.equal(frontText(frontOfTrials([], OBJECTIVES)), 'no candidate is done yet');
});

test('a front is over what the sweep looks for in its directions, whatever is measured; other names are refused', () => {
  const names = (all: readonly { name: string; direction: string }[]) =>
    all.map(({ name, direction }) => `${direction} ${name}`).join(', ');
  const searching = (...objectives: { name: string; direction: string }[]) => ({ id: 'sweep-1', objectives });
  const latency = { name: 'latency', direction: 'minimise' };
  const large = { name: 'parameters', direction: 'maximise' };
  assert.equal(names(objectivesFor(searching())), 'maximise accuracy, minimise parameters');
  assert.equal(names(objectivesFor(searching(large))), 'maximise parameters, maximise accuracy');
  assert.equal(
    names(objectivesFor(searching(large, latency), ['latency', 'mflops'])),
    'minimise latency, minimise mflops',
  );
  assert.throws(() => objectivesFor(searching(latency), ['latencie', 'accuracy']), {
    message: '--objectives: latencie is no objective of sweep-1; did you mean latency?',
  });
  const quick = [
    candidate(1, 0.8, 1, { measured: { latency: 5 } }),
    candidate(2, 0.9, 1, { measured: { latency: 9 } }),
  ];
  const found = frontOfTrials(
    [...quick, candidate(3, 0.7, 1, { measured: { latency: 6 } }), candidate(4, 0.99, 1)],
    [latency, { name: 'accuracy', direction: 'maximise' }],
  );
  assert.deepEqual(
    found.front.map(({ number }) => number),
    [1, 2],
    'a candidate without a value has no place in it',
  );
  assert.deepEqual(
    [...TRIALS].sort(bestTrialFirst(searching(large))).map(({ number }) => number),
    [2, 3, 1, 4, 5],
  );
});

test('a front over latencies of several device classes says that they do not compare', () => {
  const objectives = [OBJECTIVES[0]!, { name: 'latency', direction: 'minimise' }];
  const timed = (number: number, latency: number, measuredOn: string) =>
    candidate(number, number / 10, 1, { measured: { latency }, measuredOn });
  const [one, two] = [timed(7, 2, 'cpu/a'), timed(8, 3, 'cuda/b')];
  const found = frontOfTrials([one, two, timed(6, 4, 'cpu/a')], objectives);
  assert.deepEqual(
    found.front.map(({ number }) => number),
    [8, 7],
  );
  assert.match(
    frontText(found),
    / 3\.00 ms .*\nlatencies of 2 device classes do not compare: cpu\/a, cuda\/b/s,
  );
  assert.doesNotMatch(frontText(frontOfTrials([one], objectives)), /compare/);
});
