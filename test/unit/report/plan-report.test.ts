// The report is one page that needs nothing else; these tests look for what a reader must find in it, and for what must
// not be there: requests, scripts, and markup that came from a user's file.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportHtml } from '../../../core/report/plan-report.ts';
import { REPORT_STYLE } from '../../../core/report/style.ts';
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
  assert.match(page, /student-distilled <span class="badge">exported<\/span>/);
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

test('runs and candidates whose results were taken are named with where they come from', () => {
  const data = reportData();
  assert.doesNotMatch(reportHtml(data), /reused|were there already/);
  const page = reportHtml({
    ...data,
    trials: data.trials.map((trial, i) => ({ ...trial, reusedFrom: i === 0 ? 'run-7' : '' })),
    runs: data.runs.map((one, i) => ({ ...one, run: { ...one.run, reusedFrom: i === 0 ? 'run-8' : '' } })),
  });
  assert.match(page, /The results of 1 of \d+ were there already and were taken/);
  for (const origin of ['run-7', 'run-8']) assert.match(page, new RegExp(`<td[^>]*>reused ${origin}</td>`));
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
    seedSearches: [],
    runs: [],
  });
  assert.match(page, /failed: no data/);
  assert.doesNotMatch(page, /<svg/);
});

test('ten thousand candidates make a page of bounded length, which says how many it leaves out', () => {
  const data = reportData();
  const trials = Array.from({ length: 10_000 }, (_, i) => ({
    ...data.trials[0]!,
    id: `trial-${i + 1}`,
    number: i + 1,
    objective: 0.5 + i / 30_000,
  }));
  const candidateRuns = Array.from({ length: 10_000 }, (_, i) => ({
    ...data.candidateRuns[0]!,
    id: `run-${i + 1000}`,
  }));
  const page = reportHtml({ ...data, trials, candidateRuns });
  assert.match(page, /Shown are 100 of 10,000 candidates, the best of them\./);
  assert.match(page, /Shown are 100 of 10,000 candidates, the first of them\./);
  assert.match(page, /<td>#10000<\/td>/);
  for (const [, height] of page.matchAll(/viewBox="0 0 \d+ ([\d.]+)"/g)) assert.ok(Number(height) < 4000);
});

test('what may scroll can be reached by the keyboard and has a name, and every picture has a text', () => {
  const page = reportHtml(reportData());
  for (const [tag] of page.matchAll(/<div class="card"[^>]*>(?=(<h3>[^<]*<\/h3>)?<(svg|table))/g))
    assert.match(tag, /tabindex="0" role="region" aria-label="[^"]+"/);
  for (const [tag] of page.matchAll(/<pre[^>]*>/g)) assert.match(tag, /tabindex="0"/);
  assert.doesNotMatch(page, /<th[^>]*><\/th>/);
  const pictures = [...page.matchAll(/<img [^>]*>/g)];
  assert.equal(pictures.length, 8);
  for (const [tag] of pictures) assert.match(tag, /alt="[^"]+"/);
});

/** Contrast of two colours #rrggbb by WCAG 2.2: (lighter + 0.05) / (darker + 0.05) of their relative luminances. */
function contrast(a: string, b: string): number {
  const luminance = (colour: string) => {
    const [red, green, blue] = [1, 3, 5].map((at) => {
      const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
  };
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light! + 0.05) / (dark! + 0.05);
}

test('text has a contrast of 4.5 and lines one of 3 on page and card, in light and in dark', () => {
  const schemes = [...REPORT_STYLE.matchAll(/:root \{([^}]*)\}/g)].map(
    ([, body]) =>
      new Map([...body!.matchAll(/(--\w+): (#[0-9a-f]{6})/g)].map(([, name, value]) => [name!, value!])),
  );
  assert.equal(schemes.length, 2);
  assert.ok(Math.abs(contrast('#000000', '#ffffff') - 21) < 1e-9);
  for (const colours of schemes)
    for (const ground of ['--page', '--card']) {
      for (const text of ['--ink', '--soft', '--good', '--bad'])
        assert.ok(contrast(colours.get(text)!, colours.get(ground)!) >= 4.5, `${text} on ${ground}`);
      for (let i = 0; i < 8; i++)
        assert.ok(contrast(colours.get(`--c${i}`)!, colours.get(ground)!) >= 3, `--c${i} on ${ground}`);
    }
});
