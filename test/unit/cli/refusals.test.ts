// What commands refuse, and in which words: each sentence names what, where, and what to do. Every command that talks
// to a fleet is called here while nobody listens, a new one too.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Command, CommanderError } from 'commander';
import { createProgram } from '../../../coordinator/cli/program.ts';
import { reordered } from '../../../coordinator/cli/words.ts';
import { FleetError } from '../../../core/errors.ts';
import { SCHEMA_KINDS } from '../../../core/spec/json-schema.ts';
import { CLI } from '../../support/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'pf-refusals-'));
const at = (name: string) => join(folder, name);
writeFileSync(at('text.yaml'), 'kind: plan\n');
writeFileSync(at('junk.bin'), Buffer.from([0xf0, 0x9f, 1, 2, 3]));
after(() => rmSync(folder, { recursive: true }));

/** An address of this machine at which nobody listens. */
let nobody = '';
before(async () => {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  nobody = `127.0.0.1:${port}`;
});

/** The sentence with which a command line is refused. */
async function refusal(...argv: string[]): Promise<string> {
  const words = reordered(argv);
  const program = await createProgram(words);
  let printed = '';
  for (const every = [program]; every.length > 0; ) {
    const command = every.pop()!;
    every.push(...command.commands);
    command.configureOutput({ writeErr: (text) => (printed += text), writeOut: (text) => (printed += text) });
  }
  const fault = await program.parseAsync(words, { from: 'user' }).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (fault instanceof CommanderError) return printed;
  if (fault instanceof FleetError) return fault.message;
  throw fault ?? new Error(`${argv.join(' ')} is not refused`);
}

/** What stands for an argument of a command, by its name. */
const WORDS: Readonly<Record<string, string>> = {
  ...{ stage: '1', number: '5', 'id-or-queue-or-gang': 'run-1', file: at('text.yaml') },
};
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  export: ['-o', at('net.safetensors')],
  report: ['-o', at('report.html')],
  'journal export': ['-o', at('journal.jsonl')],
  'journal truncate': ['--after', '3'],
};

function commandsOfFleets(parent: Command, above: readonly string[] = []): [Command, string[]][] {
  return parent.commands.flatMap((command) => {
    const path = [...above, command.name()];
    const isOne = command.options.some(({ long }) => long === '--coordinator');
    return [...(isOne ? [[command, path] as [Command, string[]]] : []), ...commandsOfFleets(command, path)];
  });
}

test('every command that asks a fleet names the address at which nobody answers, and how a fleet is found', async () => {
  const commands = commandsOfFleets(await createProgram()).filter(([, path]) => path[0] !== 'completion-ids');
  assert.ok(commands.length > 35, `${commands.length} commands`);
  for (const [command, path] of commands) {
    const wanted = command.registeredArguments.filter(({ required }) => required);
    const words = wanted.flatMap((argument) => {
      const one = WORDS[argument.name()] ?? 'run-1';
      return argument.variadic ? [one, 'run-2'] : [one];
    });
    // Without an argument `verify` has nothing to ask for, and an import reads its file before anything else.
    if (path.join(' ') === 'verify') words.push('run-1');
    if (path.join(' ') === 'journal import') writeFileSync(at('text.yaml'), '');
    const options = OPTIONS[path.join(' ')] ?? [];
    const sentence = await refusal(...path, ...words, ...options, '--coordinator', nobody, '--token', 't');
    assert.equal(
      sentence,
      `no coordinator answers at ${nobody}; is the fleet up? \`pocketfleet up\` starts one, --dir or --coordinator names another`,
      path.join(' '),
    );
  }
  assert.ok(!existsSync(at('net.safetensors')) && !existsSync(at('report.html')));
});

test('each file that is not there is named, with what it should have been', async () => {
  const missing = at('missing');
  const fleet = ['--coordinator', nobody, '--token', 't'];
  const cases: readonly [argv: string[], advice: RegExp][] = [
    [['runs', '--dir', missing], /start one with `pocketfleet up`, or name one with --dir/],
    [['runs', '--coordinator', nobody, '--token-file', missing], /`pocketfleet token create`/],
    [['runs', ...fleet, '--tls-ca-file', missing], /`pocketfleet keys generate`/],
    [['submit', missing, ...fleet], /name a YAML file, e\.g\. examples\/demo\.yaml$/],
    [['plan', missing, ...fleet], /name a YAML file, e\.g\. examples\/demo\.yaml$/],
    [['artefacts', '--dry-run', '-f', missing], /name a YAML file, e\.g\. examples\/demo\.yaml$/],
    [['genotype', `${missing}.yaml`, ...fleet], /name another file, a preset \(.*\) or a genotype/],
    [['model', 'describe', `${missing}.pth`], /name another file, a preset \(.*\) or a genotype/],
    [['model', 'import', missing], /^model: /],
    [['verify', '--model', missing, '--set', `lfw=${at('junk.bin')}`], /^model: /],
    [['journal', 'import', missing, ...fleet], /name a file that `journal export` has written$/],
    [['token', 'revoke', 'x', '--file', missing], /name another --file or --dir$/],
    [['keys', 'show', missing], /pocketfleet keys generate --out DIR makes some/],
    [['join', missing], /`pocketfleet up --listen ADDRESS` writes a join\.json/],
    [
      ['data', 'check', missing],
      /a folder of people, a folder with train\.rec and train\.idx, or a \.bin file is expected$/,
    ],
    [['data', 'sheet', '-o', at('x.png'), '--kind', 'folder', '--path', missing], /^--path: /],
    [['demo', '--data', missing], /one folder of images for each person/],
  ];
  for (const [argv, advice] of cases) {
    const sentence = await refusal(...argv);
    assert.ok(sentence.includes(missing), `${argv.join(' ')}: ${sentence}`);
    assert.match(sentence, advice, argv.join(' '));
  }
});

test('what a command line lacks is said before a fleet is asked', async () => {
  const fleet = ['--coordinator', nobody, '--token', 't'];
  const cases: readonly [argv: string[], sentence: RegExp][] = [
    [['tau', 'sweep-1'], /^tau compares two sweeps or more/],
    [['compare', 'run-1'], /^compare takes two ids or more/],
    [['artefacts', '--dry-run'], /^--dry-run goes with --delete, .* or with -f FILE/],
    [['verify'], /^verify takes either a run or --model FILE/],
    [['export', 'run-1', '-o', at('x.unknown')], /\.unknown names no format; use \.safetensors/],
  ];
  for (const [argv, sentence] of cases) assert.match(await refusal(...argv, ...fleet), sentence);
});

test('commands work for a user without a name, as in a container that runs as a number', () => {
  // What Node does where no list of users has the number of the process.
  const nameless =
    'data:text/javascript,import os from "node:os"; import { syncBuiltinESMExports } from "node:module";' +
    'os.userInfo = () => { throw new Error("uv_os_get_passwd returned ENOENT"); }; syncBuiltinESMExports();';
  const { stderr, status } = spawnSync(
    process.execPath,
    ['--import', nameless, ...CLI, 'submit', at('text.yaml'), '--dir', at('elsewhere')],
    { encoding: 'utf8' },
  );
  assert.equal(status, 1, stderr);
  assert.match(stderr, /^pocketfleet: no fleet in /);
});

test('a current folder that was removed, a folder for a file and an address of another machine are named', async () => {
  const gone = mkdtempSync(join(tmpdir(), 'pf-gone-'));
  const { stderr } = spawnSync(
    '/bin/sh',
    ['-c', 'rmdir "$PWD" && exec "$@"', 'sh', process.execPath, ...CLI, 'runs'],
    { encoding: 'utf8', cwd: gone },
  );
  assert.equal(stderr, 'pocketfleet: the current folder was removed; change to one that is there (ENOENT)\n');
  assert.equal(
    await refusal('token', 'list', '--file', folder),
    `${folder}: it is a folder, a file is expected (EISDIR)`,
  );
  // 192.0.2.0/24 is for documentation (RFC 5737), so no machine has it.
  assert.match(
    await refusal('up', '--dir', at('far'), '--listen', '192.0.2.1'),
    /^192\.0\.2\.1 is no address or name of this machine: this machine has no such address \(EADDRNOTAVAIL\); give/,
  );
});

test('options behind a command of a command are its own, and `schema` has every kind of document', async () => {
  assert.match(
    await refusal('checkpoints', 'keep', 'run-1', '2', '--dir', at('elsewhere')),
    new RegExp(`^no fleet in ${at('elsewhere')}: `),
  );
  const schema = (await createProgram(['schema'])).commands.find((one) => one.name() === 'schema')!;
  assert.deepEqual(schema.registeredArguments[0]!.argChoices, [...SCHEMA_KINDS]);
});
