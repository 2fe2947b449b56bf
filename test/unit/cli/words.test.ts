// Words on the command line that name nothing of ours, options that stand before the command, and what programs say of
// themselves.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Command, CommanderError } from 'commander';
import { createProgram } from '../../../coordinator/cli/program.ts';
import { SUMMARIES } from '../../../coordinator/cli/summaries.ts';
import { summariesOf } from '../../../coordinator/cli/summary.ts';
import { reordered, unknownText } from '../../../coordinator/cli/words.ts';
import {
  camelToEnv,
  camelToFlag,
  coordinatorConfigSchema,
  keysConfigSchema,
  workerConfigSchema,
} from '../../../core/config.ts';
import { programAnswer } from '../../../core/system/program-help.ts';

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));

/** Runs a command line in this process; what commander prints, and its exit code. */
async function parsed(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const said = { out: '', err: '' };
  const program = await createProgram(reordered(argv));
  const every = [program];
  for (const command of every) {
    every.push(...command.commands);
    command.configureOutput({
      writeOut: (text) => {
        said.out += text;
      },
      writeErr: (text) => {
        said.err += text;
      },
    });
  }
  const code = await program.parseAsync(reordered(argv), { from: 'user' }).then(
    () => 0,
    (caught: unknown) => {
      if (caught instanceof CommanderError) return caught.exitCode;
      throw caught;
    },
  );
  return { code, ...said };
}

test('the version is the one of package.json, under every name for it', async () => {
  for (const argv of [['--version'], ['-V'], ['runs', '-V']])
    assert.deepEqual(await parsed(...argv), { code: 0, out: `${version}\n`, err: '' });
  for (const [program, schema] of Object.entries({
    coordinator: coordinatorConfigSchema,
    worker: workerConfigSchema,
  }))
    for (const word of ['--version', '-V'])
      assert.equal(programAnswer([word], { program, schema }), `${version}\n`);
});

test('the help of a program has each of its settings, with flag, variable, meaning and default', () => {
  for (const [program, schema] of Object.entries({
    coordinator: coordinatorConfigSchema,
    worker: workerConfigSchema,
    keys: keysConfigSchema,
  })) {
    assert.equal(programAnswer([], { program, schema }), undefined);
    const help = programAnswer(['--help'], { program, schema })!;
    for (const key of Object.keys(schema.shape)) {
      const entry = help.slice(help.indexOf(`\n  --${camelToFlag(key)}\n`));
      const [, , meaning = '', variable] = entry.split('\n');
      assert.equal(variable?.trim(), camelToEnv(key), `${program} ${key}`);
      assert.match(meaning, /^ {6}\S.{8,}/, `${program} ${key} is described`);
      assert.match(meaning, /; (default .+|required)$/, `${program} ${key} has a default or is required`);
      if (/Ms$/.test(key)) assert.match(meaning, /milliseconds/, `${program} ${key} has its unit`);
    }
  }
});

test('options that many commands take may stand before the command', () => {
  assert.deepEqual(reordered(['--json', 'runs']), ['runs', '--json']);
  assert.deepEqual(reordered(['--dir', 'x', '--json', 'trials', 's', '--', '-s']), [
    ...['trials', 's', '--dir', 'x', '--json', '--', '-s'],
  ]);
  assert.deepEqual(reordered(['--token=t', 'ledger', 'verify', 'r']), ['ledger', 'verify', 'r', '--token=t']);
  assert.deepEqual(reordered(['runs', '--json']), ['runs', '--json']);
  assert.deepEqual(reordered(['-h', 'runs']), ['help', 'runs']);
  assert.deepEqual(reordered(['--help']), ['--help']);
});

test('help answers for every command, also for those of groups', async () => {
  const walk = (commands: Command['commands'], above: string[]): string[][] =>
    commands.flatMap((command) => {
      const path = [...above, command.name()];
      return [path, ...walk(command.commands, path)];
    });
  const paths = walk((await createProgram()).commands, []);
  assert.ok(paths.length > 25);
  for (const path of paths) {
    const { code, out } = await parsed('help', ...path);
    assert.equal(code, 0);
    assert.ok(out.startsWith(`Usage: pocketfleet ${path.join(' ')}`), path.join(' '));
  }
});

test('a command is found whether its group alone is loaded or all are', async () => {
  const { commands } = await createProgram();
  for (const command of commands) {
    const program = await createProgram([command.name()]);
    const alone = program.commands.find((one) => one.name() === command.name());
    assert.equal(alone?.helpInformation(), command.helpInformation());
    if (command.name() !== 'help') assert.ok(program.commands.length < commands.length, command.name());
  }
});

test('an unknown word is answered with the nearest command, or with all of them, and exits with 2', async () => {
  const cases: [string[], RegExp][] = [
    [['status'], /no command "status"; did you mean `pocketfleet watch`/],
    [['rnus'], /did you mean `pocketfleet runs`/],
    [['verison'], /did you mean `pocketfleet version`/],
    [['ledger', 'run-1'], /did you mean `pocketfleet ledger verify run-1`\?/],
    [['model', 'exprot'], /did you mean `pocketfleet model export`/],
    [['model', 'list'], /its commands are describe, import, export/],
    [['help', 'xyzzy'], /no command "xyzzy"; its commands are demo, up,/],
  ];
  for (const [argv, expected] of cases) {
    const { code, err } = await parsed(...argv);
    assert.equal(code, 2, argv.join(' '));
    assert.match(err, expected);
  }
});

test('every habit leads to a command that there is', async () => {
  const program = await createProgram();
  for (const word of ['status', 'top', 'ls', 'describe', 'kill', 'train', 'nodes', 'download', 'info'])
    assert.match(unknownText(program, word), /did you mean `pocketfleet [a-z]+` \(.+\)\?$/, word);
});

test('an option with an empty value is refused before anything is done, whichever it is', async () => {
  for (const words of [
    ['up', '--dir', ''],
    ['runs', '--dir='],
    ['export', 'run-1', '-o', ''],
    ['report', 'plan-1', '-o', ''],
    ['runs', '--coordinator', ''],
  ])
    await assert.rejects(quiet(await createProgram(words)).parseAsync(words, { from: 'user' }), {
      code: 'pocketfleet.emptyValue',
      exitCode: 2,
      message: /^error: option '.*' has an empty value/,
    });
});

test('a variable that is set to nothing is one that is not set', async (t) => {
  const before = { ...process.env };
  t.after(() => {
    process.env = before;
  });
  Object.assign(process.env, { POCKETFLEET_COORDINATOR: '', POCKETFLEET_DIR: '/nowhere/to-be-found' });
  await assert.rejects(
    quiet(await createProgram(['runs'])).parseAsync(['runs'], { from: 'user' }),
    /no fleet in \/nowhere\/to-be-found/,
  );
});

/** The program without its output. */
function quiet(program: Command) {
  for (const command of [program, ...program.commands]) command.configureOutput({ writeErr: () => {} });
  return program;
}

test('the help of the whole program is made from summaries, and they are what the commands say', async () => {
  assert.deepEqual(SUMMARIES, summariesOf(await createProgram()), 'run `npm run generate:help`');
  const whole = (await createProgram()).helpInformation();
  for (const words of [[], ['help'], ['--help']]) {
    const program = await createProgram(words);
    assert.equal(program.helpInformation(), whole);
  }
});
