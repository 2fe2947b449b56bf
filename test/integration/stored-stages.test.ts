// What a real fleet keeps of its runs: stages go as teacher and student get on, a damaged one is computed again,
// a replay proves what is not stored any more, and what is removed leaves nothing in the store.

import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { jetstream } from '@nats-io/jetstream';
import { openFleet } from '../../coordinator/cli/client.ts';
import { submitFile } from '../../coordinator/cli/commands/submitting.ts';
import { artefactOfKey } from '../../core/checkpoint/artefact-names.ts';
import { createArtefactStore } from '../../core/checkpoint/store.ts';
import { sha256Hex } from '../../core/digest.ts';
import { streamed, unary } from '../../core/net/grpc-client.ts';
import { headersOfLast } from '../../core/net/jetstream.ts';
import { connectNats } from '../../core/net/nats.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { startFleet } from '../support/fleet.ts';
import { namesOn } from '../support/names.ts';
import { startTypeScript, until } from '../support/processes.ts';

const CLI = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));

/** 5 training identities x 6 images: two steps an epoch. */
const common = `
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 8, images: 6, holdout: 3, seed: 5 }
training: { epochs: 4, batch: 16, shards: 4, optimizer: { learningRate: 0.05, milestones: [] } }
verification: { pairs: 20 }
`;
const student = (name: string, schedule: string, teacher: string) =>
  `kind: student\nname: ${name}\ndistillation: { teacher: ${teacher}, schedule: ${schedule} }${common}`;

const fleet = await startFleet({ workers: ['w1'] });
const connection = await connectNats({ ...fleet.nats.access, name: 'test' });
const names = await namesOn(connection, 'test');
const store = createArtefactStore({ connection, names });
after(async () => {
  await store.close();
  await connection.close();
  await fleet.stop();
});

const stagesOf = async (runId: string): Promise<number[]> =>
  (await store.listKeys(names.checkpointKey(runId, '*')))
    .map((key) => artefactOfKey(key)!.stage!)
    .sort((a, b) => a - b);

const storedOf = (runId: string, stages: readonly number[]) =>
  until(
    `${runId} has stages ${stages.join(', ')}`,
    async () => (await stagesOf(runId)).join() === stages.join(),
    30_000,
  );

async function pocketfleet(...args: string[]): Promise<{ code: number | null; output: string }> {
  const program = startTypeScript(CLI, [...args, '--coordinator', fleet.endpoint, '--token', fleet.token]);
  const { code } = await program.ended;
  return { code, output: program.output() };
}

async function sentences(id: string): Promise<string> {
  const { decisions } = await unary(fleet.client, fleet.client.why, { id, pageSize: 1_000, pageToken: '' });
  return decisions.map(({ text }) => text).join('\n');
}

test('a teacher keeps its last two stages once its student has passed, and a replay still proves the others', async () => {
  const { runIds } = await fleet.submit(
    `kind: teacher\nname: teacher${common}---\n${student('student', 'multi-step', 'teacher')}`,
  );
  for (const id of runIds) await fleet.finished(id);
  for (const id of runIds) await storedOf(id, [3, 4]);
  assert.match(
    await sentences('run-1'),
    /stage 1 of run-1 is not kept any more: every student has passed it \(run-2\)/,
  );
  const teacher = (await store.getManifest(names.checkpointKey('run-1', 4)))!;
  const learned = (await store.getManifest(names.checkpointKey('run-2', 4)))!;
  assert.equal(
    learned.metadata.teacher_digest,
    teacher.digest,
    'the student says from which bytes it learned',
  );
  const replayed = await pocketfleet('replay', 'teacher');
  assert.equal(replayed.code, 0, replayed.output);
  assert.match(replayed.output, /run-1: 4 stages computed again, all equal to the last bit/);
  const refused = await pocketfleet('replay', 'teacher', '--from', '1');
  assert.match(
    refused.output,
    /run-1 cannot be computed from stage 1, of which not everything is stored; a replay can start from its seed \(--from 0\) and from stage 3$/m,
  );
  const untaught = await pocketfleet('replay', 'run-2');
  assert.match(
    untaught.output,
    /run-2 cannot be computed from stage 0: stages 1, 2 of run-1 are not kept any more .*; a replay can start from stage 3$/m,
  );
  const { runs } = await unary(fleet.client, fleet.client.listArtefacts, { id: 'run-1' });
  assert.deepEqual(
    runs[0]!.stages.map(({ stage, heldBy, parts }) => [stage, heldBy, parts.map(({ name }) => name)]),
    [3, 4].map((stage) => [stage, 'one of the last two stages', ['backbone', 'optimizer', 'head']]),
  );
});

test('a student that meets a changed bit waits until a worker has computed that stage again', async () => {
  const key = names.checkpointKey('run-1', 4);
  const manifest = (await store.getManifest(key))!;
  const right = await store.getPart(manifest, 'backbone');
  const changed = Uint8Array.from(right);
  changed[100]! ^= 1;
  const chunk = manifest.parts.find(({ name }) => name === 'backbone')!.chunks![0]!;
  await jetstream(connection).publish(names.chunkSubject('run-1', chunk), changed);
  // A worker that has loaded the network before would not read it again.
  await fleet.killWorker('w1');
  await fleet.startWorker('w1');
  const { runIds } = await fleet.submit(student('late', 'single-step', 'run-1'));
  await fleet.finished(runIds[0]!);
  assert.ok(Buffer.compare(await store.getPart(manifest, 'backbone'), right) === 0);
  const why = await sentences('run-1');
  assert.match(
    why,
    /w1 could not read stage 4 of run-1, which is computed again: .*chunk 0 of part backbone of run-1's stage 4 is damaged/,
  );
  assert.match(why, /stage 4 of run-1 is whole again: it was computed again from stage 3 to the same digest/);
  assert.match(
    await sentences(runIds[0]!),
    /went back to the queue after generation 1: waits until stage 4 of run-1 is computed again/,
  );
});

test('a student of files gets the bits of a student of the run that they come from, and equal files are stored once', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-teacher-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const stage of [3, 4]) {
    const chunks = fleet.client.export({ runId: 'run-1', stage, format: 'safetensors' });
    const parts: Buffer[] = [];
    for await (const { data } of streamed(chunks)) parts.push(data);
    writeFileSync(join(folder, `${stage * 100}backbone.safetensors`), Buffer.concat(parts));
  }
  const text = (name: string, distillation: string) =>
    `kind: student\nname: ${name}\ndistillation: ${distillation}${common.replace('epochs: 4', 'epochs: 2')}`;
  const files = '{ import: "*backbone.safetensors", stages: by-number }';
  const submitted = async (name: string, text: string, dryRun = false) => {
    const file = join(folder, `${name}.yaml`);
    writeFileSync(file, text);
    const client = openFleet({ coordinator: fleet.endpoint, token: fleet.token });
    try {
      return (await submitFile(client, { file, overrides: {}, dryRun, fresh: true })).runIds;
    } finally {
      client.close();
    }
  };
  const ofFiles = text('of-files', `{ teacher: ${files}, schedule: [1, 2] }`);
  // Stages 1 and 2 are not there, though their numbers would be 100 and 200.
  await assert.rejects(
    submitted('gap', ofFiles),
    /gap\.yaml:\d+:\d+: distillation\.teacher: .*100backbone\.safetensors, 200backbone\.safetensors are missing in the series/,
  );
  for (const stage of [3, 4])
    renameSync(
      join(folder, `${stage * 100}backbone.safetensors`),
      join(folder, `${(stage - 2) * 100}backbone.safetensors`),
    );
  // A check alone holds a text against files that are not stored, and stores nothing.
  assert.deepEqual(await submitted('dry', ofFiles, true), []);
  await assert.rejects(
    submitted('dry-wider', ofFiles.replace('embedding: 8', 'embedding: 12'), true),
    /dry-wider\.yaml:\d+:\d+: network\.embedding: 12 differs from the 8 of teacher run-4/,
  );
  await assert.rejects(
    submitted('dry-short', text('dry', `{ teacher: ${files}, schedule: [1, 3] }`), true),
    /distillation\.schedule\.1: stage 3 of a teacher that has 2 stages/,
  );
  // The teacher of a plan may be files; its students name their run.
  const [, network = '', data = '', training = ''] = common.replace('epochs: 4', 'epochs: 2').split('\n');
  const ofPlan = (teacher: string) =>
    `kind: plan\nname: files\n${data}\nteacher: ${teacher}\nstudents: [{ name: small, ${network}, ${training}, verification: { pairs: 20 }, distillation: { schedule: [1, 2] } }]\n`;
  assert.deepEqual(await submitted('plan', ofPlan(files), true), []);
  await assert.rejects(
    submitted('plan-start', ofPlan('{ import: "*backbone.safetensors", start: at-once }'), true),
    /plan-start\.yaml:\d+:\d+: teacher\.start: unknown key/,
  );
  // A text that is refused leaves no teacher behind, nor does one that is no text for a run.
  const short = text('short', `{ teacher: ${files}, schedule: [1, 3] }`);
  await assert.rejects(submitted('short', short), /stage 3 of a teacher that has 2 stages/);
  await assert.rejects(submitted('named', ofFiles.replace('of-files', 'Of files')), /name: lower-case/);
  await assert.rejects(fleet.submit(ofPlan(files)), /teacher: files of a teacher are read where the text is/);
  assert.deepEqual(
    (await unary(fleet.client, fleet.client.listRuns, { planId: '', sweepId: '' })).runs.length,
    3,
    'nothing was made',
  );
  const [student] = await submitted('files', ofFiles);
  const wider = (distillation: string) =>
    text('again', distillation).replace('embedding: 8', 'embedding: 12');
  await assert.rejects(
    submitted('wider', wider(`{ teacher: ${files} }`)),
    /network\.embedding: 12 differs from the 8 of teacher run-4; .* or through distillation\.adapter: linear/,
  );
  const [again] = await submitted(
    'again',
    wider(`{ teacher: ${files}, schedule: single-step, adapter: linear }`),
  );
  const [same] = await submitted('same', text('same', '{ teacher: run-1, schedule: [3, 4] }'));
  const learned = await fleet.finished(student!);
  assert.equal(learned.weightsDigest, (await fleet.finished(same!)).weightsDigest);
  await fleet.finished(again!);
  const { parts } = (await store.getManifest(names.checkpointKey(again!, 2)))!;
  assert.equal(
    parts.find(({ name }) => name === 'head')!.bytes,
    (12 * 8 + 12 * 5) * 4,
    'the adapter goes on with the run, beside the head of five classes',
  );
  const teacher = await fleet.finished(learned.teacherRunId);
  assert.deepEqual(
    [teacher.kind, teacher.checkpoints, teacher.workerIds, teacher.generation],
    ['teacher', 2, [], 0],
  );
  assert.equal((await fleet.run(again!)).teacherRunId, teacher.id, 'equal files are one teacher');
  const ledger = { runId: teacher.id, pageSize: 1, pageToken: '' };
  await assert.rejects(
    unary(fleet.client, fleet.client.getLedger, ledger),
    /run-4 comes from files \(\*backbone\.safetensors\) and was not trained here: there is nothing to prove/,
  );
  await assert.rejects(
    fleet.submit(text('raw', `{ teacher: ${files} }`)),
    /distillation\.teacher: files of a teacher are read where the text is submitted/,
  );
});

test('two who store the same stage at once do not undo each other', async () => {
  const network = { kind: 'pocketnet', channels: 2, layers: 4, embedding: 8, genotype: 'casia' } as const;
  const { backboneCount, runningCount } = layoutOf(buildNetwork(network));
  const bytes = Buffer.from(new Float32Array(backboneCount + runningCount).fill(0.5).buffer);
  const { runId } = await unary(fleet.client, fleet.client.importTeacher, {
    ...{ from: 'both', networkJson: JSON.stringify(network), dryRun: false },
    stages: [{ file: '1.pth', digest: sha256Hex(bytes) }],
  });
  const stored = async (offset: number, end: number) => {
    const data = bytes.subarray(offset, end);
    return (await unary(fleet.client, fleet.client.importStage, { runId, stage: 1, offset, data })).stored;
  };
  const [first, half] = [1_000, 100_000];
  assert.deepEqual([await stored(0, first), await stored(first, half)], [false, false]);
  assert.equal(await stored(0, first), false, 'the other begins');
  assert.equal(await stored(half, bytes.length), true, 'the first goes on');
  assert.equal(await stored(first, half), true, 'and has done it for both');
});

test('what is removed leaves the lists and the store', async () => {
  const refused = await pocketfleet('rm', 'run-1', '--yes');
  assert.equal(refused.code, 1);
  assert.match(refused.output, /run-2, run-3, run-7 learned from run-1; remove them first/);
  const pruned = await pocketfleet('prune', '--yes', '--json');
  assert.equal(pruned.code, 0, pruned.output);
  assert.match(pruned.output, /"id": "run-5".*"id": "run-4".*"id": "run-3".*"id": "run-2".*"id": "run-1"/s);
  await until(
    'nothing is stored',
    async () => {
      for (const id of ['run-1', 'run-2', 'run-3', 'run-4', 'run-5'])
        if ((await stagesOf(id)).length > 0) return false;
      for await (const { bytes } of headersOfLast(connection, names.artefactStream, names.chunkSubjects))
        if (bytes > 0) return false;
      return true;
    },
    30_000,
  );
  const { runs } = await unary(fleet.client, fleet.client.listRuns, {
    ...{ planId: '', sweepId: '', pageSize: 10, pageToken: '', newestFirst: false },
  });
  assert.deepEqual(runs, []);
});
