// A whole plan (search, teacher, two students while the teacher trains, verification) twice: left alone, and with a
// worker and the coordinator killed with -9 on the way and started again. Nothing is lost, nothing is done twice: every
// candidate's accuracy and every network's weights are the same, and each trial has finished exactly once. Submitted
// again it is done with these results, and nothing is computed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unary } from '../../core/net/grpc-client.ts';
import type { Snapshot } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet, type TestFleet } from '../support/fleet.ts';

const plan = (name: string) => `
kind: plan
name: ${name}
data: { kind: synthetic, identities: 10, images: 6, holdout: 4, seed: 3 }
search:
  space: { channels: 2, layers: 4, embedding: 8 }
  strategy: { kind: random, trials: 3, seed: 1 }
  evaluation:
    training: &short { epochs: 2, batch: 8, shards: 2, optimizer: { learningRate: 0.02 }, loss: { scale: 16, margin: 0.2 } }
    verification: &few { pairs: 60 }
teacher:
  name: teacher
  network: { kind: iresnet, blocks: [1, 1, 1, 1], widths: [4, 4, 8, 8], stem: 4, embedding: 8 }
  training: &long { epochs: 4, batch: 8, shards: 2, optimizer: { learningRate: 0.02 }, loss: { scale: 16, margin: 0.2 } }
  verification: *few
  workers: { min: 1, max: 2 }
students:
  - { name: distilled, network: best, distillation: { schedule: multi-step }, training: *long, verification: *few, workers: { min: 1, max: 2 } }
  - { name: alone, network: best, training: *long, verification: *few, workers: { min: 1, max: 2 } }
export: {}
`;

interface Outcome {
  readonly trials: readonly string[];
  readonly runs: readonly string[];
  readonly winner: string;
}

async function outcomeOf(fleet: TestFleet, planId: string, sweepId: string): Promise<Outcome> {
  const { plans } = await unary(fleet.client, fleet.client.listPlans, {});
  const { trials } = await unary(fleet.client, fleet.client.listTrials, { sweepId });
  const { runs } = await unary(fleet.client, fleet.client.listRuns, { planId, sweepId: '' });
  const named = runs.filter((run) => run.kind !== 'candidate');
  const winnerId = plans.find((p) => p.id === planId)?.winnerRunId;
  return {
    trials: trials.map(
      (t) => `${t.number} ${t.state} ${t.genotypeJson} ${t.objective} attempts ${t.attempts}`,
    ),
    runs: named.map((r) => `${r.name} ${r.state} ${r.weightsDigest} ${JSON.stringify(r.evaluation)}`).sort(),
    winner: runs.find((run) => run.id === winnerId)?.name ?? 'none',
  };
}

async function runPlan(
  fleet: TestFleet,
  name: string,
  faults: (planId: string) => Promise<void>,
  mayReuse = false,
): Promise<Outcome> {
  const { planIds } = await fleet.submit(plan(name), { mayReuse });
  const planId = planIds[0]!;
  await faults(planId);
  const end = await fleet.until(
    (s) => s.plans.some((p) => p.id === planId && p.state !== 'running'),
    `plan ${name} ends`,
    120_000,
  );
  const ended = end.plans.find((p) => p.id === planId)!;
  assert.equal(ended.state, 'done', ended.reason);
  return outcomeOf(fleet, planId, ended.sweepId);
}

const untouched = async () => {};

/** How many step points are stored of a run, and the accuracy of its report. */
async function storedOf({ client }: TestFleet, runId: string) {
  let points = 0;
  for await (const _point of client.history({ runId })) points += 1;
  const { evaluation } = await unary(client, client.getEvaluation, { runId });
  return { points, evaluation: evaluation?.accuracy };
}

test('a plan with a worker and the coordinator killed on the way ends like one left alone', async () => {
  const fleet = await startFleet({ workers: ['w1', 'w2'] });
  try {
    const alone = await runPlan(fleet, 'quiet', untouched);
    assert.equal(alone.trials.length, 3);
    assert.equal(alone.runs.length, 3);
    const disturbed = await runPlan(fleet, 'disturbed', async (planId) => {
      const ofPlan = (s: Snapshot) => s.runs.filter((run) => run.planId === planId);
      const busy = (s: Snapshot) =>
        ofPlan(s).some((r) => r.kind === 'candidate' && r.workerIds.includes('w2'));
      await fleet.until(busy, 'a candidate on w2');
      await fleet.killWorker('w2');
      await fleet.until(
        (s) => ofPlan(s).some((r) => r.kind === 'teacher' && r.step > 2),
        'the teacher trains',
      );
      await fleet.killCoordinator();
      await fleet.startCoordinator();
      await fleet.startWorker('w2');
    });
    assert.deepEqual(disturbed, alone);
    assert.deepEqual(await runPlan(fleet, 'again', untouched, true), alone);
    const { runs } = await unary(fleet.client, fleet.client.listRuns, { planId: 'plan-3', sweepId: '' });
    assert.ok(runs.length > 5 && runs.every((run) => run.generation === 0 && run.reusedFrom !== ''));
    const [winner] = runs.filter(({ kind }) => kind === 'student');
    const { points, evaluation } = await storedOf(fleet, winner!.id);
    assert.deepEqual([points > 0, evaluation], [true, winner!.evaluation?.accuracy]);
  } finally {
    await fleet.stop();
  }
});
