import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { collectOverrides, submitFile } from '../../coordinator/cli/commands/submitting.ts';
import { shapedYaml } from '../../coordinator/cli/yaml-file.ts';
import {
  camelToFlag,
  coordinatorConfigSchema,
  dataRoots,
  loadConfig,
  workerConfigSchema,
} from '../../core/config.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { networkSchema } from '../../core/spec/network.ts';
import { programAnswer } from '../../core/system/program-help.ts';

const dir = mkdtempSync(join(tmpdir(), 'pocketfleet-config-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const file = (name: string, text: string | Uint8Array): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (caught) {
    assert.ok(caught instanceof FleetError, String(caught));
    return caught.message;
  }
  return assert.fail('it was taken');
}
const config = (argv: string[], env: Record<string, string> = {}) =>
  refusal(() => loadConfig(coordinatorConfigSchema, argv, env));

test('a setting that is wrong is named with what it should be, what it is, and where it was set', () => {
  assert.equal(
    config(['--heartbeat-interval-ms', 'soon']),
    'configuration: heartbeatIntervalMs: expected a number, found "soon" (--heartbeat-interval-ms)',
  );
  assert.equal(
    config([], { POCKETFLEET_HEARTBEATS_MISSED_MAX: '1' }),
    'configuration: heartbeatsMissedMax: expected at least 2, found "1" (POCKETFLEET_HEARTBEATS_MISSED_MAX)',
  );
  assert.equal(
    config(['--config', '/dev/zero']),
    'configuration file /dev/zero: it has more than 262144 bytes, the most that are taken',
  );
  const path = file('c.yaml', 'fleet: local\nheartbeatIntervalMS: 5\n');
  assert.equal(
    config(['--config', path]),
    `configuration: ${path}:2:1: heartbeatIntervalMS: unknown key; did you mean heartbeatIntervalMs?`,
  );
  assert.match(
    refusal(() => loadConfig(workerConfigSchema, [], {})),
    /^configuration: id: is missing \(text\) \(--id or POCKETFLEET_ID\)$/,
  );
  assert.match(
    config(['--lisen', 'x']),
    /^unknown option "--lisen"; did you mean --listen\?; known: --fleet /,
  );
  assert.match(config(['--config', join(dir, 'none')]), /none: there is no such file or folder \(ENOENT\)$/);
  assert.match(config(['--config', dir]), /: it is a folder, a file is expected \(EISDIR\)$/);
  assert.match(config(['--config', file('l.yaml', '- 1')]), /expected a mapping, found a list of 1$/);
  assert.match(config(['--config', file('t.yaml', 'a:\n\tb')]), /not YAML: a tab where spaces/);
  const secret = config(['--config', file('s.yaml', 'token: [hunter2]')]);
  assert.match(secret, /^configuration: \S+s\.yaml:1:8: token: expected text, found another value/);
  assert.deepEqual(dataRoots(loadConfig(workerConfigSchema, ['--id', 'w', '--data-roots', '/a:/b c'], {})), [
    '/a',
    '/b c',
  ]);
});

test('a flag takes its value behind a space or an equals sign, and what is no flag is refused with a sentence', () => {
  const read = (...argv: string[]) => loadConfig(coordinatorConfigSchema, argv, {});
  assert.equal(read('--listen=127.0.0.1:1').listen, '127.0.0.1:1');
  assert.equal(read('--listen', '127.0.0.1:1', '--listen=127.0.0.1:2').listen, '127.0.0.1:2', 'the last one');
  assert.equal(read('--token=a=b', '--nats-token', '--x').token, 'a=b');
  assert.equal(read('--nats-token', '--x').natsToken, '--x', 'a value may begin with dashes');
  assert.equal(read(`--config=${file('e.yaml', 'fleet: other')}`).fleet, 'other');
  assert.match(config(['--listen=x']), /^configuration: listen: "x" is not host:port.* \(--listen\)$/);
  assert.equal(config(['--listen']), '--listen needs a value');
  assert.equal(config(['--config']), '--config needs a value');
  assert.match(config(['--lisen=x']), /^unknown option "--lisen"; did you mean --listen\?; known: /);
  assert.match(config(['-x']), /^unknown option "-x"; known: /);
  assert.equal(
    config(['start']),
    'unexpected argument "start"; settings are given as --flag VALUE, see --help',
  );
});

test('a program that is asked for help or its version answers with it, and a value that looks like it is a value', () => {
  const answer = (...argv: string[]) =>
    programAnswer(argv, { program: 'coordinator', schema: coordinatorConfigSchema });
  for (const word of ['--help', '-h']) {
    const help = answer('--listen=x', word)!;
    assert.match(help, /^Usage: coordinator /);
    for (const key of Object.keys(coordinatorConfigSchema.shape))
      assert.ok(help.includes(`\n  --${camelToFlag(key)}\n`), `${key} is in the help`);
    assert.match(help, /--nats-url VALUE or --nats-url=VALUE/);
  }
  for (const word of ['--version', '-V']) assert.match(answer(word)!, /^\d+\.\d+\.\d+\n$/);
  assert.equal(answer('--token', '--help'), undefined);
});

test('files of the command line are refused in one sentence, with the line, and never read without end', async () => {
  const hint = (path: string) =>
    shapedYaml(path, { key: 'network', noun: 'network', schemaOf: () => networkSchema }).then(
      () => assert.fail('it was taken'),
      (caught: unknown) => toFleetError(caught).message,
    );
  assert.equal(
    await hint(file('n.yaml', 'network:\n  kind: pocketnet\n  layer: 3\n')),
    `${join(dir, 'n.yaml')}:3:3: network.layer: unknown key; did you mean layers?\n    layer: 3\n    ^`,
  );
  assert.match(await hint('/dev/zero'), /has more than 262144 bytes/);
  assert.match(await hint(dir), /it is a folder, a file is expected \(EISDIR\)$/);
  assert.match(await hint(file('b.yaml', new Uint8Array([0xff, 0xfe, 0]))), /b\.yaml is not UTF-8 text$/);
});

test('a text beyond the limit is refused before it is sent, and the example of --set is of an example', async () => {
  const client = { ask: () => assert.fail('it was sent') } as never;
  const submit = (path: string, overrides = {}) =>
    submitFile(client, { file: path, overrides, dryRun: true }).then(
      () => assert.fail('it was taken'),
      (caught: unknown) => toFleetError(caught).message,
    );
  assert.match(await submit(file('big.yaml', '#'.repeat(300_000))), /big\.yaml has more than 262144 bytes/);
  assert.match(
    await submit(file('small.yaml', 'kind: plan'), { x: '['.repeat(262_144) }),
    /^the text and its overrides have 262155 bytes, at most 262144 are taken$/,
  );
  assert.match(await submit(dir), /: it is a folder, a file is expected \(EISDIR\); name a YAML file/);
  assert.throws(
    () => collectOverrides('epochs', {}),
    /epochs is not PATH=VALUE, e\.g\. teacher\.training\.epochs=5\./,
  );
});
