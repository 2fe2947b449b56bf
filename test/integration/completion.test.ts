// Completion in real shells. bash is everywhere; zsh and fish are tried where they are installed.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { completionScript, SHELLS, type Shell } from '../../coordinator/cli/commands/completion-scripts.ts';
import { nodesOf } from '../../coordinator/cli/commands/completion-tree.ts';
import { createProgram } from '../../coordinator/cli/program.ts';
import { pocketfleet } from '../support/cli.ts';
import { until } from '../support/processes.ts';
import { plan, run, sweep, trial } from '../unit/cli/messages.ts';
import { startScriptedFleet } from '../unit/cli/scripted-fleet.ts';

const dir = mkdtempSync(join(tmpdir(), 'pf-completion-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const nodes = nodesOf(await createProgram());
for (const shell of SHELLS) writeFileSync(join(dir, `pf.${shell}`), completionScript(shell, nodes));
writeFileSync(join(dir, 'strategy.yaml'), '');
// In place of the command line: notes what it was asked, and answers.
writeFileSync(
  join(dir, 'pocketfleet'),
  '#!/bin/sh\necho "$@" >> asked\nprintf "run-1\\nrun-17\\nplan-1\\n"\n',
  {
    mode: 0o755,
  },
);

/** Types these words in a new shell and presses tab; what is offered. */
const TYPED: Readonly<Record<Shell, (words: readonly string[]) => readonly string[]>> = {
  bash: (words) => [
    '--norc',
    '-c',
    `source ./pf.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pocketfleet; printf "%s\\n" "\${COMPREPLY[@]}"`,
    'bash',
    ...words,
  ],
  // zsh offers in its editor alone: the two functions that hand words to it print them here.
  zsh: (words) => [
    '-f',
    '-c',
    `source ./pf.zsh; words=("$@"); CURRENT=$#; compadd() { shift; print -l -- \${(M)@:#\${words[CURRENT]}*} }; _files() { print -l -- *(N) }; _pocketfleet`,
    'zsh',
    ...words,
  ],
  fish: (words) => ['--no-config', '-c', 'source ./pf.fish; complete -C "$argv"', ...words],
};

async function offered(shell: Shell, ...words: string[]): Promise<string[]> {
  const typed = TYPED[shell](['pocketfleet', ...words]);
  const PATH = `${dir}:${process.env.PATH}`;
  const { stdout } = await promisify(execFile)(shell, [...typed], {
    cwd: dir,
    env: { ...process.env, PATH },
  });
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : [line.split('\t')[0]!]));
}

for (const shell of SHELLS)
  test(`${shell} completes commands, options, choices, files and ids`, async (t) => {
    const isThere = await promisify(execFile)(shell, ['--version']).then(
      () => true,
      () => false,
    );
    if (!isThere) return t.skip(`${shell} is not installed`);
    assert.deepEqual(await offered(shell, 'sub'), ['submit']);
    assert.deepEqual(
      (await offered(shell, 'journal', '')).sort(),
      ['check', 'export', 'help', 'import', 'truncate'].filter((w) =>
        nodes.find(({ path }) => path === 'journal')!.commands.includes(w),
      ),
    );
    assert.deepEqual(await offered(shell, 'submit', '--dr'), ['--dry-run']);
    assert.deepEqual(await offered(shell, 'export', '--format', 'onnx-'), ['onnx-uint8']);
    assert.ok((await offered(shell, 'submit', '--set', 'a=1', 'strat')).includes('strategy.yaml'));
    assert.deepEqual(await offered(shell, '--dir', 'fleet', 'watch', 'run-1'), ['run-1', 'run-17']);
    const asked = await promisify(execFile)('cat', ['asked'], { cwd: dir });
    assert.equal(asked.stdout, 'completion-ids plan sweep trial run worker --dir fleet\n');
    rmSync(join(dir, 'asked'));
    return undefined;
  });

test('ids and names come from the fleet, and where nobody answers, nothing comes', async () => {
  const fleet = await startScriptedFleet({
    ...{ plans: [plan()], runs: [run()] },
    ...{ sweeps: [sweep()], trials: [trial(), trial({ id: 'trial-29', number: 2 })] },
  });
  try {
    const where = ['--coordinator', fleet.address, '--token', fleet.token];
    // The command waits a second for a fleet, which a machine that is busy may need.
    const idsOf = (...nouns: string[]) =>
      until(
        `ids of ${nouns.join(', ')}`,
        async () => {
          const { code, out, err } = await pocketfleet(['completion-ids', ...nouns, ...where], dir);
          assert.deepEqual([code, err], [0, '']);
          return out === '' ? undefined : out;
        },
        60_000,
      );
    const answered = await idsOf('plan', 'run');
    assert.deepEqual(answered.trim().split('\n').slice(0, 2), [plan().id, plan().name]);
    assert.ok(answered.includes(`${run().id}\n`));
    assert.equal(await idsOf('trial'), 'trial-1\ntrial-29\n');
    const listed = fleet.asked.filter(({ method }) => method === 'listTrials');
    for (const { request } of listed) assert.equal((request as { sweepId: string }).sweepId, sweep().id);
  } finally {
    fleet.close();
  }
  const silent = await pocketfleet(['completion-ids', 'run', '--coordinator', fleet.address], dir);
  assert.deepEqual([silent.code, silent.out, silent.err], [0, '', '']);
});
