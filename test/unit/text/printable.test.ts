import assert from 'node:assert/strict';
import { test } from 'node:test';
import { logText } from '../../../coordinator/cli/log-lines.ts';
import { toJson } from '../../../coordinator/cli/screen/output.ts';
import { table } from '../../../coordinator/cli/screen/table.ts';
import { escapeText } from '../../../core/report/charts.ts';
import { excerpt, foundText, printable, printableLines } from '../../../core/text/printable.ts';

/** What terminals obey, what reorders or hides text, and half a character. */
const HOSTILE = '\u001b[31m\u0007\r\n\t\u009b2J\u007f\u202e\u2066\u200b\u2028\ufeff\u{e0041}\ud800end';

test('whatever a stranger writes is one line of visible characters, and what people write stays', () => {
  const shown = printable(HOSTILE);
  assert.doesNotMatch(shown, /[\p{C}\p{Zl}\p{Zp}]/u);
  assert.equal(
    shown,
    '\\u001b[31m\\u0007\\r\\n\\t\\u009b2J\\u007f\\u202e\\u2066\\u200b\\u2028\\ufeff\\udb40\\udc41\\ud800end',
  );
  for (const text of ['Zürich 東京 🙂 é ±3.5 %', 'a\\b "c"', '']) assert.equal(printable(text), text);
  assert.equal(printableLines('a\nb\u001b'), 'a\nb\\u001b');
});

test('every door shows it so: tables, logs, reports; JSON stays JSON and means the same', () => {
  const rows = table([{ text: HOSTILE }], [{ head: 'TEXT', cell: (row) => row.text }]);
  assert.equal(rows.split('\n').length, 2);
  const line = { atMs: 0, level: 'info', workerId: 'w', runId: 'r', text: HOSTILE, sequence: 1 };
  for (const text of [rows.replace('\n', ''), logText(line), escapeText(HOSTILE).replace('\n', '')])
    assert.doesNotMatch(text, /[\p{C}\p{Zl}\p{Zp}]/u);
  const json = printableLines(toJson({ text: HOSTILE }, 2));
  assert.doesNotMatch(json.replaceAll('\n', ''), /[\p{C}\p{Zl}\p{Zp}]/u);
  assert.deepEqual(JSON.parse(json), { text: HOSTILE });
});

test('an excerpt is short whatever it is of', () => {
  assert.equal(excerpt('x'.repeat(1_000_000), 10), 'xxxxxxxxx…');
  assert.equal(foundText('a"b\n'), '"a\\"b\\n"');
  assert.equal(foundText('x'.repeat(100)), `"${'x'.repeat(59)}…"`);
  assert.deepEqual(
    [foundText([1]), foundText({}), foundText(null), foundText(Number.NaN)],
    ['a list of 1', 'a mapping', 'nothing', 'NaN'],
  );
});
