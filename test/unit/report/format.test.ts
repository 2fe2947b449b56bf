import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toJson } from '../../../coordinator/cli/screen/output.ts';
import {
  clip,
  formatBytes,
  formatCount,
  formatPercent,
  formatSeconds,
  formatSteps,
} from '../../../core/report/format.ts';
import { cellText } from '../../../core/report/runs.ts';
import { trial } from '../cli/messages.ts';

test('counts, shares, times and sizes read as people write them', () => {
  assert.equal(formatCount(925632), '925,632');
  assert.equal(formatPercent(0.8765), '87.6 %');
  assert.equal(formatSeconds(9.4), '9 s');
  assert.equal(formatSeconds(185), '3 min 05 s');
  assert.equal(formatSeconds(7620), '2 h 07 min');
  assert.equal(formatSteps({ step: 480, openRoundSteps: 0, stepsTotal: 2000 }), '480/2,000');
  assert.equal(formatSteps({ step: 480, openRoundSteps: 37, stepsTotal: 2000 }), '480+37/2,000');
  assert.equal(formatBytes(1536), '1.5 KiB');
  assert.equal(formatBytes(12), '12 B');
});

test('what is not known is a dash, not a number', () => {
  for (const text of [formatCount(Number.NaN), formatPercent(Number.NaN), formatSeconds(Number.NaN)])
    assert.equal(text, '–');
});

test('a clipped text keeps its width', () => {
  assert.equal(clip('abcdef', 4), 'abc…');
  assert.equal(clip('abcd', 4), 'abcd');
});

test('a cell is written short, and a text that is no genotype is left out', () => {
  assert.equal(cellText(trial().genotypeJson), 'dw3 max · skip avg · dw7 dw1 · dw5 skip');
  assert.equal(cellText('{}'), '');
});

test('JSON has bytes as base64 and unknown numbers as null', () => {
  assert.equal(
    toJson({ png: new Uint8Array([1, 2]), buffer: Buffer.from('a'), x: Number.NaN }),
    '{"png":"AQI=","buffer":"YQ==","x":null}',
  );
});
