// The command line as a user meets it: a real process, a real gRPC server with written-down answers, exit codes, and
// which of its words are data and which are talk.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { problemsError } from '../../core/text/text-problems.ts';
import type { SubmitRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { CLI, pocketfleet } from '../support/cli.ts';
import { evaluation, plan, run, snapshot, sweep, trial, worker } from '../unit/cli/messages.ts';
import { type Script, startScriptedFleet } from '../unit/cli/scripted-fleet.ts';

async function fleet(t: { after(f: () => void): void }, script: Script) {
  const scripted = await startScriptedFleet(script);
  const dir = mkdtempSync(join(tmpdir(), 'pf-cli-'));
  t.after(() => {
    scripted.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const where = ['--coordinator', scripted.address, '--token', scripted.token];
  return { scripted, dir, ask: (...args: string[]) => pocketfleet([...args, ...where], dir) };
}

const done = run({ state: 'done', step: 100, endedAtMs: 1_050_000, evaluation: evaluation() });
const finished = {
  plans: [plan({ state: 'done', reason: 'all done', winnerRunId: 'run-1', endedAtMs: 1_060_000 })],
  sweeps: [sweep({ state: 'done', trialsDone: 2, trialsTotal: 2, endedAtMs: 1_030_000 })],
  trials: [trial(), trial({ id: 'trial-2', number: 2, objective: 0.765 })],
  runs: [done],
  workers: [worker()],
};

test('lists are tables for people and JSON for scripts', async (t) => {
  const { ask } = await fleet(t, finished);
  const [asTable, asJson] = await Promise.all([ask('runs'), ask('runs', '--json')]);
  assert.equal(asTable.code, 0);
  assert.match(asTable.out, /^RUN +NAME +KIND +STATE/);
  assert.match(asTable.out, /run-1 +teacher +teacher +done +100\/100/);
  assert.equal(asJson.code, 0);
  assert.equal(JSON.parse(asJson.out)[0].evaluation.accuracy, 0.9);
  assert.equal(asJson.err, '');
});

test('top --once and pareto print text for people and JSON for scripts', async (t) => {
  const { ask } = await fleet(t, { ...finished, snapshots: [snapshot({ workers: [worker()] })] });
  const [top, front, asJson] = await Promise.all([
    ask('top', '--once'),
    ask('pareto', 'sweep-1'),
    ask('pareto', 'sweep-1', '--objectives', 'accuracy,mflops', '--json'),
  ]);
  assert.deepEqual([top.code, front.code, asJson.code], [0, 0, 0], top.err + front.err + asJson.err);
  assert.match(top.out, /^fleet at .*\n0\.0 images a second in all\n\nWORKER /);
  assert.match(front.out, /hypervolume \S+ from accuracy [\d.]+ %, parameters/);
  assert.deepEqual(JSON.parse(asJson.out).objectives, [
    { name: 'accuracy', direction: 'maximise' },
    { name: 'mflops', direction: 'minimise' },
  ]);
});

test('submit sends the text, its folder and the overrides, and prints ids alone on stdout', async (t) => {
  const { ask, dir, scripted } = await fleet(t, finished);
  writeFileSync(join(dir, 'my.yaml'), 'kind: plan\n');
  const { code, out } = await ask(
    'submit',
    'my.yaml',
    '--set',
    'data.path=faces',
    '--set',
    'search.strategy.trials=9',
  );
  assert.equal(code, 0);
  assert.equal(out, 'plan-1\n');
  const { request } = scripted.asked.find(({ method }) => method === 'submit') as { request: SubmitRequest };
  assert.equal(request.yaml, 'kind: plan\n');
  assert.equal(request.baseDir, dir);
  // A path on the command line is meant from where the command is given.
  assert.deepEqual(request.overrides, { 'data.path': join(dir, 'faces'), 'search.strategy.trials': '9' });
});

test('a refused submit says the file and the reason and exits with 1', async (t) => {
  const { ask, dir } = await fleet(t, { refusal: 'training.batch: batch 30 is not divisible by 8 shards' });
  writeFileSync(join(dir, 'bad.yaml'), 'kind: plan\n');
  const { code, out, err } = await ask('submit', 'bad.yaml');
  assert.equal(code, 1);
  assert.equal(out, '');
  assert.equal(err, 'pocketfleet: bad.yaml: training.batch: batch 30 is not divisible by 8 shards\n');
});

test('a refused text is told as file:line:column with its line and a mark, and as JSON for scripts', async (t) => {
  const { ask, dir } = await fleet(t, {
    refusal: problemsError([{ path: 'kind', reason: 'no', line: 2, column: 7 }], { name: 'yaml' }),
  });
  writeFileSync(join(dir, 'bad.yaml'), '# a sweep\nkind: swep\n');
  const { code, out, err } = await ask('submit', 'bad.yaml', '--json');
  assert.equal(code, 1);
  assert.equal(err, 'bad.yaml:2:7: kind: no\n  kind: swep\n        ^\n');
  assert.deepEqual(JSON.parse(out), {
    problems: [{ file: 'bad.yaml', path: 'kind', reason: 'no', line: 2, column: 7 }],
    more: 0,
  });
});

test('submit --wait shows progress on stderr and results on stdout', async (t) => {
  const { ask, dir } = await fleet(t, {
    ...finished,
    snapshots: [
      snapshot({ plans: [plan()], sweeps: [sweep()], runs: [run()] }),
      snapshot({ plans: finished.plans, sweeps: finished.sweeps, runs: finished.runs }),
    ],
  });
  writeFileSync(join(dir, 'my.yaml'), 'kind: plan\n');
  const { code, out, err } = await ask('submit', 'my.yaml', '--wait');
  assert.equal(code, 0);
  assert.match(err, /search demo-search +100 % +2\/2 candidates/);
  assert.match(err, /teacher teacher +100 % +100 steps, verified 90.0 %/);
  assert.match(out, /Candidates, best first/);
  assert.match(out, /2 +76.5 % +50,000 +8.25 +best/);
  assert.match(out, /teacher +teacher +done +100,000 +90.0 % +2.0 % +60.0 % +0.950/);
});

test('submit --wait exits with 1 and the reason when the plan failed', async (t) => {
  const failed = plan({ state: 'failed', reason: 'its teacher diverged at step 3' });
  const { ask, dir } = await fleet(t, {
    plans: [failed],
    sweeps: [sweep()],
    runs: [run()],
    snapshots: [snapshot({ plans: [failed] })],
  });
  writeFileSync(join(dir, 'my.yaml'), 'kind: plan\n');
  const { code, err } = await ask('submit', 'my.yaml', '--wait');
  assert.equal(code, 1);
  assert.match(err, /pocketfleet: plan demo failed: its teacher diverged at step 3\n$/);
});

test('export writes a file that was checked, and nothing when it arrived damaged', async (t) => {
  const bytes = Buffer.from('a network');
  const digest = createHash('sha256').update(bytes).digest('hex');
  const chunks = (sent: string) => [
    { data: bytes.subarray(0, 4), totalBytes: 9, digest: '' },
    { data: bytes.subarray(4), totalBytes: 9, digest: sent },
  ];
  const good = await fleet(t, { ...finished, exported: chunks(digest) });
  const written = await good.ask('export', 'teacher', '-o', 'out/net.safetensors');
  assert.equal(written.code, 0, written.err);
  assert.deepEqual(readFileSync(join(good.dir, 'out/net.safetensors')), bytes);
  const streamed = await good.ask('export', 'teacher', '-o', '-', '--format', 'onnx');
  assert.equal(streamed.out, 'a network');
  assert.match(streamed.err, /^stdout: \(9 B, SHA-256 /);
  assert.equal(existsSync(join(good.dir, '-')), false);
  const contradiction = await good.ask('export', 'teacher', '-o', 'net.onnx', '--format', 'safetensors');
  assert.equal(contradiction.code, 1);
  assert.match(contradiction.err, /^pocketfleet: -o net\.onnx and --format safetensors contradict/);
  const refusedFormat = await good.ask('export', 'teacher', '-o', 'net.x', '--format', 'caffe');
  assert.equal(refusedFormat.code, 2);
  assert.match(refusedFormat.err, /safetensors, onnx, onnx-uint8, tfjs/);
  const bad = await fleet(t, { ...finished, exported: chunks('0'.repeat(64)) });
  const refused = await bad.ask('export', 'teacher', '-o', 'net.safetensors');
  assert.equal(refused.code, 1);
  assert.match(refused.err, /arrived damaged or cut off/);
  assert.equal(existsSync(join(bad.dir, 'net.safetensors')), false);
});

test('verify of a run takes several sets, and writes the curves where it is told to', async (t) => {
  const report = {
    evaluation: evaluation(),
    rocFpr: [0, 0.5, 1],
    rocTpr: [0, 0.9, 1],
    examples: [],
    judged: undefined,
  };
  const { ask, dir } = await fleet(t, { ...finished, evaluation: report });
  const ended = await ask(
    'verify',
    'teacher',
    '--set',
    'lfw=/sets/a.bin',
    '--set',
    '/sets/agedb_30.bin',
    '-o',
    'v/roc',
  );
  assert.equal(ended.code, 0, ended.err);
  assert.match(ended.out, /^SET +ACCURACY.*\nlfw .*\nagedb_30 /s);
  assert.deepEqual(
    JSON.parse(readFileSync(join(dir, 'v/roc.json'), 'utf8')).sets.map((set: { name: string }) => set.name),
    ['lfw', 'agedb_30'],
  );
  assert.match(readFileSync(join(dir, 'v/roc.svg'), 'utf8'), />agedb_30</);
});

test('why, logs, verify and cancel answer with what the coordinator says', async (t) => {
  const report = {
    evaluation: evaluation({ accuracy: 0.8125 }),
    rocFpr: [0, 1],
    rocTpr: [0.5, 1],
    examples: [],
    judged: undefined,
  };
  const logs = [
    {
      atMs: 1,
      workerId: 'worker-1',
      runId: 'run-1',
      level: 'info',
      text: 'step graph compiled',
      sequence: 1,
    },
  ];
  const { ask } = await fleet(t, { ...finished, evaluation: report, logs });
  const [why, lines, verified, cancelled] = await Promise.all([
    ask('why', 'run-1'),
    ask('logs', 'teacher'),
    ask('verify', 'teacher', '--json'),
    ask('cancel', 'demo', '--json'),
  ]);
  assert.match(why.out, /run\.assigned +two workers were idle/);
  assert.match(lines.out, /info +worker-1 run-1 +step graph compiled/);
  assert.equal(JSON.parse(verified.out).evaluation.accuracy, 0.8125);
  assert.deepEqual(JSON.parse(cancelled.out), { cancelledIds: ['plan-1'] });
});

test('a wrong token, an absent coordinator and an unknown name are each one sentence and exit code 1', async (t) => {
  const { scripted, dir, ask } = await fleet(t, finished);
  const [token, absent, unknown] = await Promise.all([
    pocketfleet(['runs', '--coordinator', scripted.address, '--token', 'no'], dir),
    pocketfleet(['runs', '--coordinator', '127.0.0.1:9', '--token', 'no'], dir),
    ask('checkpoints', 'nobody'),
  ]);
  assert.match(token.err, /^pocketfleet: the coordinator at \S+ refused the token .*--token\n$/);
  assert.match(absent.err, /^pocketfleet: no coordinator answers at 127\.0\.0\.1:9; is the fleet up\?.*\n$/);
  assert.match(unknown.err, /^pocketfleet: no run is called nobody; .*\n$/);
  assert.deepEqual([token.code, absent.code, unknown.code], [1, 1, 1]);
});

test('a stage that no run has, and a token that no call can carry, are one sentence, and nothing is asked', async (t) => {
  const { scripted, ask } = await fleet(t, finished);
  const stages = await Promise.all([
    ask('artefacts', '--delete', 'run-1/0'),
    ask('artefacts', '--delete', 'run-1/99999999999999999999'),
    ask('checkpoints', 'keep', 'run-1', '0'),
  ]);
  assert.deepEqual(
    stages.map(({ code, err }) => [code, err.split('\n')[0]]),
    [
      [
        1,
        'pocketfleet: --delete needs a run, or a stage of it from 1 on: artefacts --delete RUN/STAGE, found "run-1/0"',
      ],
      [
        1,
        'pocketfleet: --delete needs a run, or a stage of it from 1 on: artefacts --delete RUN/STAGE, found "run-1/99999999999999999999"',
      ],
      [
        2,
        "error: command-argument value '0' is invalid for argument 'stage'. 0 is not a whole number from 1 to 100000.",
      ],
    ],
  );
  for (const token of ['two\nlines', 'grün']) {
    const { code, err } = await pocketfleet(['runs', '--coordinator', scripted.address, '--token', token]);
    assert.equal(code, 1);
    assert.match(err, /^pocketfleet: --token: expected one token and nothing else, found .*\n$/);
  }
  assert.deepEqual(scripted.asked, []);
});

test('of several addresses those where another program answers are passed over', async (t) => {
  const { scripted, dir } = await fleet(t, finished);
  const other = createHttp2Server();
  other.on('stream', (stream) => {
    stream.respond({ ':status': 404 });
    stream.end();
  });
  await new Promise<void>((done) => other.listen(0, '127.0.0.1', done));
  t.after(() => other.close());
  const { port } = other.address() as AddressInfo;
  const at = (addresses: string) =>
    pocketfleet(['runs', '--json', '--coordinator', addresses, '--token', scripted.token], dir);
  const both = await at(`127.0.0.1:${port},${scripted.address}`);
  assert.equal(both.code, 0, both.err);
  const alone = await at(`127.0.0.1:${port}`);
  assert.match(alone.err, /^pocketfleet: the coordinator at 127\.0\.0\.1:\d+ does not offer this .*\n$/);
});

test('a reader that closes the pipe early ends the command without a complaint', async (t) => {
  // More than a pipe holds, so that the command is still writing when its reader leaves.
  const { scripted, dir } = await fleet(t, {
    snapshots: Array(300).fill(snapshot({ runs: Array(20).fill(run()) })),
  });
  const command = `"${[process.execPath, ...CLI].join('" "')}" watch --json --coordinator ${scripted.address} --token ${scripted.token} | head -c 20`;
  const child = spawn('bash', ['-c', `set -o pipefail; ${command}`], { cwd: dir });
  let err = '';
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(err, '');
  assert.equal(code, 0);
});

test('what is not understood exits with 2', async () => {
  const [option, command, value] = await Promise.all([
    pocketfleet(['runs', '--nonsense']),
    pocketfleet(['nonsense']),
    pocketfleet(['up', '--workers', 'many']),
  ]);
  assert.deepEqual([option.code, command.code, value.code], [2, 2, 2]);
  assert.match(value.err, /many is not a whole number/);
});

test('model describe counts PocketNetS-128 as published', async () => {
  const { code, out } = await pocketfleet(['model', 'describe', 'pocketnet-s128', '--json']);
  assert.equal(code, 0);
  const described = JSON.parse(out);
  // Published: 0.92 M parameters, 587.11 MFLOPs.
  assert.equal(described.parameters, 925_632);
  assert.equal(described.mflops.toFixed(2), '587.11');
});
