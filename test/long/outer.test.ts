// `sync: outer` on a real fleet: whoever trains, the final weights are the same bytes, a kill -9 between two round ends
// included; a round costs the bytes of a step; ledger, replay and bisect hold for rounds as they do for steps. The command line
// is the real one.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { unary } from '../../core/net/grpc-client.ts';
import type { Run } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { runIn, startFleet } from '../support/fleet.ts';
import { startTypeScript } from '../support/processes.ts';

const CLI = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));
const OUTER = '{ kind: outer, every: 4 }';

/** 5 training identities x 16 images = 80 images; 8 a step: 10 steps an epoch, in rounds of 4, 4 and 2; 30 steps. Two workers have a shard each. */
const spec = (
  name: string,
  change: { sync?: string; workers?: string; compression?: string; teacher?: string } = {},
) => `
kind: ${change.teacher === undefined ? 'teacher' : 'student'}
name: ${name}
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 8, images: 16, holdout: 3, seed: 5 }
training:
  epochs: 3
  batch: 8
  shards: 2
  seed: 7
  sync: ${change.sync ?? OUTER}
  compression: ${change.compression ?? 'none'}
  optimizer: { learningRate: 0.05, milestones: [2] }
verification: { pairs: 40 }
workers: { ${change.workers ?? 'min: 1, max: 1'} }
# Students follow one after the other.
checkpoints: { keep: all }
${change.teacher === undefined ? '' : `distillation: { teacher: ${change.teacher} }`}
`;
const PAIR = 'min: 2, max: 2';

const fleet = await startFleet({ workers: ['w1', 'w2'] });
after(() => fleet.stop());

async function submitted(yaml: string): Promise<string> {
  const { runIds } = await fleet.submit(yaml);
  assert.equal(runIds.length, 1);
  return runIds[0]!;
}

const train = async (yaml: string): Promise<Run> => fleet.finished(await submitted(yaml));

async function pocketfleet(...args: string[]): Promise<{ code: number | null; output: string }> {
  const program = startTypeScript(CLI, [...args, '--coordinator', fleet.endpoint, '--token', fleet.token]);
  const { code } = await program.ended;
  return { code, output: program.output() };
}

/** Counters of one run on one worker; all but `again` grow at the end of a step or round. */
interface Wire {
  readonly bytesSent: number;
  readonly samples: number;
  readonly rounds: number;
  /** Messages that it has asked for or sent again, and gangs that it has formed. */
  readonly again: number;
}

/** What a worker says of a run, for as long as it holds it. */
async function wireOf(worker: string, run: string): Promise<Wire | undefined> {
  const response = await fetch(`http://${fleet.workerMetricsEndpoint(worker)}/metrics`);
  const text = await response.text();
  const read = (name: string, more = '') =>
    Number(new RegExp(`^pocketfleet_${name}\\{run="${run}"${more}\\} (\\S+)`, 'm').exec(text)?.[1]);
  const rounds = read('allreduce_rounds_total');
  if (!(rounds > 0)) return undefined;
  return {
    rounds,
    bytesSent: read('allreduce_bytes_total', ',direction="sent"'),
    samples: read('train_samples_total'),
    again: ['asked', 'sent'].reduce(
      (sum, kind) => sum + (read('allreduce_retransmits_total', `,kind="${kind}"`) || 0),
      read('allreduce_reformations_total') || 0,
    ),
  };
}

/** Trains on both workers and watches what one of them sends. */
async function trainWatched(yaml: string) {
  const id = await submitted(yaml);
  let open = true;
  const ended = fleet.finished(id).finally(() => {
    open = false;
  });
  const seen: Wire[] = [];
  while (open) {
    const wire = await wireOf('w1', id);
    if (wire !== undefined && wire.rounds !== seen.at(-1)?.rounds) seen.push(wire);
  }
  const run = await ended;
  assert.ok(seen.length > 3, `the wire of ${id} was seen`);
  const samplesPerRound = (seen.at(-1)!.samples - seen[0]!.samples) / (seen.at(-1)!.rounds - seen[0]!.rounds);
  return { run, samplesPerRound, bytesOfRounds: undisturbedBytes(seen) };
}

/**
 * Bytes of each round in which nothing was sent twice: on a busy machine a member that is merely slow is asked again. A
 * message that goes again just after a round was counted is of the next one, so the round after one with such is left out too.
 */
function undisturbedBytes(seen: readonly Wire[]): number[] {
  const each = seen.slice(1).map((after, i) => ({
    bytes: (after.bytesSent - seen[i]!.bytesSent) / (after.rounds - seen[i]!.rounds),
    isQuiet: after.again === seen[Math.max(0, i - 1)]!.again,
  }));
  return each.filter(({ isQuiet }) => isQuiet).map(({ bytes }) => bytes);
}

/** Trains until one run has had undisturbed rounds, at most three times. */
async function undisturbed(name: string, change: Parameters<typeof spec>[1]) {
  for (const attempt of [1, 2, 3]) {
    const watched = await trainWatched(spec(attempt === 1 ? name : `${name}-${attempt}`, change));
    if (watched.bytesOfRounds.length > 0) return watched;
  }
  return assert.fail(`no run of ${name} had a round in which nothing was sent twice`);
}

const alone = await train(spec('alone'));

test('two workers end with the bytes of one, and a round costs them the bytes of a step', async () => {
  const rounds = await undisturbed('together', { workers: PAIR });
  assert.equal(rounds.run.weightsDigest, alone.weightsDigest);
  const steps = await undisturbed('every-step', { sync: '{ kind: every-step }', workers: PAIR });
  assert.notEqual(steps.run.weightsDigest, alone.weightsDigest);
  // A worker has one of two shards: half of the 8 images of each step, of which a round has 4, 4 or 2.
  assert.equal(steps.samplesPerRound, 4);
  assert.ok(rounds.samplesPerRound >= 2 * 4);
  const [step] = steps.bytesOfRounds;
  for (const round of rounds.bytesOfRounds) {
    const ratio = round / step!;
    assert.ok(Math.abs(ratio - 1) < 0.01, `a round sends ${ratio.toFixed(3)} times the bytes of a step`);
  }
});

test('a worker that is killed while rounds are trained changes nothing but the generation', async () => {
  const id = await submitted(spec('disturbed', { workers: 'min: 1, max: 2' }));
  const before = runIn(
    await fleet.until(
      (s) => (runIn(s, id)?.step ?? 0) >= 4 && runIn(s, id)?.workerIds.length === 2,
      'a round with two workers',
    ),
    id,
  )!;
  await fleet.killWorker('w2');
  const shrunk = runIn(
    await fleet.until(
      (s) => runIn(s, id)?.workerIds.length === 1 && runIn(s, id)!.step > before.step,
      'a round with one worker',
    ),
    id,
  )!;
  assert.ok(shrunk.generation > before.generation);
  assert.ok(shrunk.step < shrunk.stepsTotal, 'the worker was lost while the run was open');
  await fleet.startWorker('w2');
  assert.equal((await fleet.finished(id)).weightsDigest, alone.weightsDigest);
  const { checkpoints } = await unary(fleet.client, fleet.client.listCheckpoints, { runId: id });
  assert.deepEqual(
    checkpoints.map(({ stage, step }) => [stage, step]),
    [
      [1, 10],
      [2, 20],
      [3, 30],
    ],
  );
});

test('the ledger counts the steps of rounds, a replay gives the stored bytes, bisect names the end of the first round that differs', async () => {
  const ledger = await pocketfleet('ledger', 'verify', 'disturbed');
  assert.equal(ledger.code, 0, ledger.output);
  assert.match(ledger.output, /30 committed steps count 240 images: each of 3 epochs exactly once/);
  const replayed = await pocketfleet('replay', 'disturbed', '--from', '2');
  assert.equal(replayed.code, 0, replayed.output);
  assert.match(replayed.output, new RegExp(`stage 3, step 30: equal, .* weights ${alone.weightsDigest}`));
  await train(spec('slower', { sync: '{ kind: outer, every: 4, learningRate: 0.5 }' }));
  const parted = await pocketfleet('bisect', 'alone', 'slower', '--json');
  assert.equal(parted.code, 1, parted.output);
  const found = JSON.parse(parted.output.slice(parted.output.indexOf('{')));
  assert.deepEqual(found.specs, [{ field: 'training.sync.learningRate', a: 0.7, b: 0.5 }]);
  assert.deepEqual([found.parting.kind, found.parting.step], ['step', 4]);
});

test('with int8 and for a student of a teacher, the bytes do not depend on who trains either', async () => {
  const change = { compression: 'int8', teacher: alone.id };
  const one = await train(spec('student-alone', change));
  const two = await train(spec('student-together', { ...change, workers: PAIR }));
  assert.equal(two.weightsDigest, one.weightsDigest);
  assert.notEqual(two.weightsDigest, alone.weightsDigest);
});

test('within a round the fleet shows how far it has got, and counts none of it as committed', async () => {
  const id = await submitted(spec('seen', { sync: '{ kind: outer, every: 10 }' }));
  const inside = runIn(
    await fleet.until((s) => (runIn(s, id)?.openRoundSteps ?? 0) > 0, 'a step within a round'),
    id,
  )!;
  assert.equal(inside.step % 10, 0, 'rounds end with the epochs');
  assert.ok(inside.openRoundSteps <= 10);
  const done = await fleet.finished(id);
  assert.deepEqual([done.step, done.openRoundSteps], [30, 0]);
});
