// `npm run test:search`: a plan on real photographs, from a search by gradient to a model file: the cells that the search
// finds train as a student of a teacher and without one, both are verified, and the better one is exported. Once undisturbed
// on one worker, and once on two while a worker is killed in the search and another in the training of a student, and the
// coordinator between a round and the next. The cells, the weights and the file are the same.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sha256Hex } from '../../core/digest.ts';
import { readSafetensors } from '../../core/model/safetensors.ts';
import { unary } from '../../core/net/grpc-client.ts';
import type { Run, Snapshot } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet, type TestFleet } from '../support/fleet.ts';
import { photographs, withoutPhotographs } from '../support/photographs.ts';
import { startTypeScript } from '../support/processes.ts';

const CLI = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));
const EPOCHS = 2;
/** Ten people to train on, so that each half has 50 photographs: 3 steps of 16 an epoch. */
const plan = (name: string) => `
kind: plan
name: ${name}
data: { kind: folder, path: ${JSON.stringify(photographs())}, holdout: 30 }
search:
  kind: search
  supernet: { channels: 4, layers: 4 }
  search: { order: first, epochs: ${EPOCHS}, batch: 16, shards: 2, seed: 7 }
  workers: { min: 1, max: 2 }
  checkpoints: { keep: all }
teacher:
  name: teacher
  network: { kind: iresnet, blocks: [1, 1, 1, 1], widths: [8, 8, 16, 16], stem: 8, embedding: 16 }
  training: &short { epochs: 2, batch: 16, shards: 2, optimizer: { learningRate: 0.05 }, loss: { scale: 32, margin: 0.3 } }
  verification: &pairs { pairs: 400 }
  workers: { min: 1, max: 2 }
students:
  - name: taught
    network: &found { kind: pocketnet, channels: 4, layers: 4, embedding: 16, genotype: best }
    distillation: { schedule: multi-step }
    training: *short
    verification: *pairs
    workers: { min: 1, max: 2 }
  - name: early
    network: { kind: pocketnet, channels: 4, layers: 4, embedding: 16, genotype: best@1 }
    training: *short
    verification: *pairs
    workers: { min: 1, max: 2 }
export: {}
`;

/** What a plan has come to, without the names of its parts. */
interface Outcome {
  readonly genotypes: readonly string[];
  readonly students: readonly string[];
  readonly runs: readonly string[];
  readonly winner: string;
  readonly file: string;
}

/** One thing after the other may be done to the fleet once a run of the plan is so far. */
type Disturb = (fleet: TestFleet, reaches: (kind: string, step: number) => Promise<Run>) => Promise<void>;

async function outcomeOf(name: string, workers: readonly string[], disturb?: Disturb): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-plan-'));
  const fleet = await startFleet({ workers: [] });
  try {
    for (const id of workers) await fleet.startWorker(id, 300_000);
    const planId = (await fleet.submit(plan(name))).planIds[0]!;
    const find = (seen: Snapshot, kind: string, step: number) =>
      seen.runs.find(
        (run) => run.planId === planId && run.kind === kind && run.step >= step && run.workerIds.length > 0,
      );
    await disturb?.(fleet, async (kind, step) => {
      const what = `a ${kind} in training has ${step} steps behind it`;
      const seen = await fleet.until((now) => find(now, kind, step) !== undefined, what, 900_000);
      return find(seen, kind, step)!;
    });
    const ofPlan = (seen: Snapshot) => seen.plans.find(({ id }) => id === planId)!;
    const end = await fleet.until((seen) => ofPlan(seen).state !== 'running', `plan ${name} ends`, 1_500_000);
    assert.equal(ofPlan(end).state, 'done', ofPlan(end).reason);
    const { runs } = await unary(fleet.client, fleet.client.listRuns, { planId, sweepId: '' });
    assert.deepEqual(runs.map(({ kind, state }) => `${kind} ${state}`).sort(), [
      'search done',
      'student done',
      'student done',
      'teacher done',
    ]);
    // Those of an undisturbed search are proved in faults.ts.
    for (const run of disturb === undefined ? [] : runs) {
      const epochs = run.kind === 'search' ? /each of 2 epochs of both halves exactly once/ : /exactly once/;
      assert.match(await pocketfleet(fleet, 'ledger', 'verify', run.id), epochs);
      assert.match(await pocketfleet(fleet, 'replay', run.id), /equal/);
    }
    const search = runs.find(({ kind }) => kind === 'search')!;
    const { checkpoints } = await unary(fleet.client, fleet.client.listCheckpoints, { runId: search.id });
    assert.equal(checkpoints.length, EPOCHS);
    const genotypes = checkpoints.sort((a, b) => a.stage - b.stage).map(({ found }) => found!.genotypeJson);
    const students = runs.filter(({ kind }) => kind === 'student');
    const winner = runs.find(({ id }) => id === ofPlan(end).winnerRunId)!;
    const file = join(folder, 'winner.safetensors');
    await pocketfleet(fleet, 'export', winner.id, '--output', file);
    if (disturb !== undefined) await isShown(fleet, planId, folder);
    return {
      genotypes,
      students: await Promise.all(students.map(async (run) => `${run.name} ${await genotypeOf(fleet, run)}`)),
      runs: runs
        .map(
          (run) =>
            `${run.name.replace(name, '')} ${run.step} ${run.weightsDigest} ${run.evaluation?.accuracy} ${run.evaluation?.pairs}`,
        )
        .sort(),
      winner: winner.name,
      file: tensorsOf(file),
    };
  } finally {
    await fleet.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The report of the plan and the drawing of its search have the epochs, with the shares of all operations. */
async function isShown(fleet: TestFleet, planId: string, folder: string): Promise<void> {
  const [page, drawing] = [join(folder, 'plan.html'), join(folder, 'cells.svg')];
  await pocketfleet(fleet, 'report', planId, '--output', page);
  const html = readFileSync(page, 'utf8');
  assert.match(html, /<h2>Search<\/h2>/);
  assert.match(html, /<summary>after epochs? [^<]*2<\/summary><svg/);
  assert.match(html, /<h3>Shares of the operations, reduction cell<\/h3>/);
  await pocketfleet(fleet, 'genotype', 'killed-search', '--output', drawing);
  const svg = readFileSync(drawing, 'utf8');
  assert.match(svg, /cells after epochs? [^<]*2</);
  assert.match(svg, /aria-label="reduction cell"/);
}

async function genotypeOf({ client }: TestFleet, { id }: Run): Promise<string> {
  const { specJson } = await unary(client, client.getRun, { id });
  return JSON.stringify((JSON.parse(specJson) as { network: { genotype: unknown } }).network.genotype);
}

async function pocketfleet(fleet: TestFleet, ...args: string[]): Promise<string> {
  const program = startTypeScript(CLI, [...args, '--coordinator', fleet.endpoint, '--token', fleet.token]);
  const { code } = await program.ended;
  assert.equal(code, 0, program.output());
  return program.output();
}

/** The digest of all tensors of a file with their names. */
function tensorsOf(file: string): string {
  const { tensors } = readSafetensors(readFileSync(file));
  return sha256Hex(
    JSON.stringify([...tensors].map(([name, { shape, data }]) => [name, shape, [...data].map(String)])),
  );
}

const skip = withoutPhotographs();

test('a plan on photographs is killed on the way, and finds, trains and exports what an undisturbed one does', {
  skip,
}, async () => {
  const quiet = await outcomeOf('quiet', ['w1']);
  const cells = (at: number) => JSON.stringify(JSON.parse(quiet.genotypes[at]!));
  assert.deepEqual([...quiet.students].sort(), [`early ${cells(0)}`, `taught ${cells(1)}`]);
  const killed = await outcomeOf('killed', ['w1', 'w2'], async (fleet, reaches) => {
    const victim = async ({ workerIds }: Run) => {
      await fleet.killWorker(workerIds[0]!, 'SIGKILL');
      return workerIds[0]!;
    };
    const searched = await victim(await reaches('search', 2));
    await reaches('search', 4);
    await fleet.killCoordinator('SIGKILL');
    await fleet.startCoordinator();
    await fleet.startWorker(searched, 300_000);
    const trained = await victim(await reaches('student', 2));
    await fleet.startWorker(trained, 300_000);
  });
  assert.deepEqual(killed, quiet);
});
