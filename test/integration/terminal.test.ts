// Commands on a terminal: what `watch` draws fits, does not scroll, and leaves the terminal as it was, whatever ends it; lists show
// their newest rows and no line that wraps; a terminal that takes no escapes gets none.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { plainOutputWanted } from '../../core/config.ts';
import { assertNothingLeft } from '../support/processes.ts';
import { onTerminal, type Terminal } from '../support/terminal.ts';
import { run, snapshot, worker } from '../unit/cli/messages.ts';
import { startScriptedFleet } from '../unit/cli/scripted-fleet.ts';

const ENTER = '\u001b[?1049h';
const LEAVE = '\u001b[?1049l';
const SHOW_CURSOR = '\u001b[?25h';

const many = Array.from({ length: 120 }, (_, i) => run({ id: `run-${i + 1}`, reason: 'r'.repeat(50) }));
const scripted = await startScriptedFleet({
  runs: many,
  snapshots: Array.from({ length: 40 }, (_, i) =>
    snapshot({ runs: many, workers: [worker()], atMs: 1_060_000 + 1000 * i }),
  ),
  watchStaysOpen: true,
});
test.after(() => scripted.close());
const where = ['--coordinator', scripted.address, '--token', scripted.token];

/** What is drawn between entering and leaving, and what is on the screen that stays. */
function parts(terminal: Terminal): { drawn: string; after: string } {
  const output = terminal.output();
  assert.equal(output.split(ENTER).length, 2, 'the screen is entered once');
  assert.equal(output.split(LEAVE).length, 2, 'and left once');
  const [, rest = ''] = output.split(ENTER);
  const [drawn = '', after = ''] = rest.split(LEAVE);
  assert.ok(drawn.endsWith(SHOW_CURSOR), 'the cursor is back');
  return { drawn, after };
}

async function ended(terminal: Terminal): Promise<number | null> {
  const code = await terminal.ended;
  await assertNothingLeft([terminal.pid()], []);
  return code;
}

test('watch draws pictures that fit and do not scroll; after Ctrl-C the last one stays', async () => {
  const terminal = onTerminal(['watch', ...where], { rows: 20, columns: 70 });
  await terminal.untilOutput(/and 1\d\d more|run-5 /);
  terminal.type('\u0003');
  assert.equal(await ended(terminal), 130);
  const { drawn, after } = parts(terminal);
  const pictures = drawn.split('\u001b[H').slice(1);
  assert.ok(pictures.length > 0);
  for (const picture of pictures)
    assert.ok(picture.split('\n').length <= 20, 'a picture has no more lines than rows');
  assert.match(after, /^\r?\n?fleet at .*\r\n\r\nWORK\r\n {2}run-1 teacher/);
  assert.ok(after.trimEnd().split('\n').length <= 20);
  assert.ok(!after.includes('\u001b'));
});

test('watch leaves the terminal as it was when SIGTERM ends it, and when it crashes', async () => {
  const stopped = onTerminal(['watch', ...where]);
  await stopped.untilOutput(/WORK/);
  stopped.signal('SIGTERM');
  const crashed = onTerminal([], {
    program: fileURLToPath(new URL('../support/broken-screen.ts', import.meta.url)),
  });
  assert.equal(await ended(stopped), 143);
  parts(stopped);
  assert.equal(await ended(crashed), 1);
  assert.match(parts(crashed).after, /nobody catches this/, 'the report is on the screen that stays');
});

test('a terminal that takes no escapes gets none', async () => {
  const terminal = onTerminal(['watch', ...where], { env: { TERM: 'dumb' } });
  await terminal.untilOutput(/run-120 /);
  terminal.type('\u0003');
  assert.equal(await ended(terminal), 130);
  assert.ok(!terminal.output().includes('\u001b'));
  assert.equal(terminal.output().match(/run-7 /g)?.length, 1, 'and no line twice');
  for (const env of [{}, { TERM: 'dumb' }, { TERM: 'xterm', NO_COLOR: '1' }, { TERM: 'xterm', CI: 'true' }])
    assert.equal(plainOutputWanted(env), true, JSON.stringify(env));
  for (const env of [{ TERM: 'xterm' }, { TERM: 'xterm', NO_COLOR: '', CI: 'false' }])
    assert.equal(plainOutputWanted(env), false, JSON.stringify(env));
});

test('a list on a terminal has the newest 50 rows, says how many there are, and wraps no line', async () => {
  const terminal = onTerminal(['runs', ...where], { columns: 80 });
  assert.equal(await ended(terminal), 0);
  const lines = terminal.output().trimEnd().split('\r\n');
  assert.equal(lines.length, 52);
  assert.match(lines[1]!, /^run-71 /);
  assert.match(lines[50]!, /^run-120 /);
  assert.equal(lines[51], 'the newest 50 of 120; --all shows all, --limit N the newest N');
  assert.ok(lines.every((line) => line.length <= 80));
});
