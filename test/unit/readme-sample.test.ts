// What the README shows is what the demo printed, for the plan that is there now. Whether a demo still prints lines of these
// shapes is checked against a real one, in test/integration/demo.test.ts.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { GATE_POINTS, sentenceOf } from '../../core/report/comparisons.ts';
import { PLAN, planDigest, readSample, skeletonOf, withSample } from '../support/readme-sample.ts';

test("the README's sample was made from examples/demo.yaml as it is", () => {
  assert.equal(readSample().plan, planDigest(), 'examples/demo.yaml changed: `npm run generate:sample`');
});

test('the sample shows each network of the plan, and as many candidates as it asks for', () => {
  const plan = parse(readFileSync(PLAN, 'utf8'));
  const { lines } = readSample();
  for (const { name } of [plan.teacher, ...plan.students])
    assert.ok(
      lines.some((line) => new RegExp(`^${name} .* done .* %`).test(line)),
      name,
    );
  assert.equal(lines.filter((line) => /^\d+ +[\d.]+ % .* · /.test(line)).length, plan.search.strategy.trials);
});

test('each comparison in the sample says what its interval allows, and the gate what the teacher is above its student', () => {
  const shape =
    /^(\S+) (?:is (?:better|worse) than|and) (\S+?):?(?: are too close to tell apart:)? ([+-][\d.]+) points \(95 % interval ([+-][\d.]+) to ([+-][\d.]+); ([\d,]+) pairs of (\d+) people\)$/;
  const found = readSample().lines.flatMap((line) => {
    const match = shape.exec(line);
    return match === null ? [] : [{ line, match }];
  });
  assert.equal(found.length, 3);
  for (const { line, match } of found) {
    const [, first, second, ...numbers] = match;
    const [difference, low, high, pairs, people] = numbers.map((text) => Number(text.replace(',', '')));
    const again = {
      difference: difference! / 100,
      low: low! / 100,
      high: high! / 100,
      pairs: pairs!,
      people: people!,
    };
    assert.equal(sentenceOf(first!, second!, again), line);
  }
  assert.deepEqual(
    found.map(({ match }) => match.slice(1, 3)),
    [
      ['student-distilled', 'student-alone'],
      ['teacher', 'student-distilled'],
      ['teacher', 'student-alone'],
    ],
  );
  const gate = readSample().lines.find((line) => line.startsWith(`the gate of ${GATE_POINTS} points`));
  const above = Number(found[2]!.match[3]);
  const [verdict, what] = above < GATE_POINTS ? ['not passed', 'are void'] : ['passed', 'may be read'];
  assert.equal(
    gate,
    `the gate of ${GATE_POINTS} points is ${verdict}: teacher is ${above.toFixed(1)} points above student-alone, so that the differences of its students ${what}`,
  );
});

test('a sample is read back as it was written', () => {
  const lines = ['a $& line', '', '  indented'];
  const readme = withSample(readFileSync(new URL('../../README.md', import.meta.url), 'utf8'), lines);
  assert.deepEqual(readSample(readme).lines, lines);
  assert.equal(skeletonOf('took 1 min 02 s'), skeletonOf('took 9 s'));
  assert.notEqual(skeletonOf('took 9 s'), skeletonOf('report   out/demo-report.html'));
});
