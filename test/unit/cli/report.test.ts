// The report is one page that needs nothing else; these tests look for what a reader must find in it, and for what must
// not be there: requests, scripts, and markup that came from a user's file.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportHtml } from '../../../coordinator/cli/report-html.ts';
import { reportData } from './report-data.ts';

test('the report shows candidates, losses, verification, pairs and the timeline', () => {
  const page = reportHtml(reportData());
  for (const heading of [
    'Candidates',
    'Training',
    'Verification',
    'Example pairs',
    'Who worked when',
    'The plan',
  ])
    assert.match(page, new RegExp(`<h2>${heading}</h2>`));
  // One dot for each finished candidate; the failed one has a row and no dot.
  assert.equal(page.match(/<circle /g)?.length, 6);
  assert.match(page, /student-distilled <span class="badge">winner<\/span>/);
  assert.match(page, /90\.2 % ± 2\.0/);
  assert.match(page, /<b>90\.2 %<\/b>/);
  assert.equal(page.match(/class="pair"/g)?.length, 4);
});

test('nothing is requested from anywhere and nothing is executed', () => {
  const page = reportHtml(reportData());
  assert.doesNotMatch(page, /<script|<link|@import|url\(|https?:/i);
  for (const [, source] of page.matchAll(/src="([^"]*)"/g)) assert.match(source!, /^data:image\/png;base64,/);
});

test('no coordinate is NaN, also where a curve has gaps or a single point', () => {
  const data = reportData();
  const [teacher] = data.runs;
  const page = reportHtml({
    ...data,
    runs: [{ ...teacher!, history: teacher!.history.slice(0, 2) }],
    trials: data.trials.slice(0, 1),
  });
  for (const text of [reportHtml(data), page]) assert.doesNotMatch(text, /NaN|Infinity|undefined/);
});

test('names from a file cannot bring markup with them', () => {
  const data = reportData();
  const name = '<img src=x onerror=alert(1)>';
  const page = reportHtml({ ...data, plan: { ...data.plan, name, yaml: `name: ${name}` } });
  assert.doesNotMatch(page, /<img src=x/);
  assert.match(page, /&#60;img src=x onerror=alert\(1\)&#62;/);
});

test('a plan that failed early still has a report, which says why', () => {
  const data = reportData();
  const page = reportHtml({
    ...data,
    plan: { ...data.plan, state: 'failed', reason: 'no data', winnerRunId: '' },
    sweep: undefined,
    trials: [],
    candidateRuns: [],
    runs: [],
  });
  assert.match(page, /failed: no data/);
  assert.doesNotMatch(page, /<svg/);
});
