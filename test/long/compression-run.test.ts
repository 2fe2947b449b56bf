// A whole run with int8 on a real fleet: the same bytes from one worker and from two, and with a member killed in the middle still
// equal replicas (the exchange stops a run whose members differ) and a ledger that holds. Its bytes may then be others.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { proveLedger } from '../../coordinator/cli/proof/ledger-proof.ts';
import { unary } from '../../core/net/grpc-client.ts';
import type { Run } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet, type TestFleet } from '../support/fleet.ts';

/** 120 images, 16 a step: 38 steps, a checkpoint each 8 or so. */
const spec = (name: string, workers: number) => `
kind: teacher
name: ${name}
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 8, images: 24, holdout: 3, seed: 5 }
training: { epochs: 5, batch: 16, shards: 8, seed: 7, compression: int8, optimizer: { learningRate: 0.05 } }
verification: { pairs: 40 }
workers: { min: ${workers}, max: ${workers} }
`;
const WAIT_MS = 120_000;

let fleet: TestFleet;
before(async () => {
  fleet = await startFleet({ workers: ['w1', 'w2'] });
});
after(() => fleet.stop());

async function submit(name: string, workers: number): Promise<string> {
  return (await fleet.submit(spec(name, workers))).runIds[0]!;
}

async function runUntil(id: string, holds: (run: Run) => boolean, what: string): Promise<Run> {
  const found = await fleet.until(
    ({ runs }) => runs.some((run) => run.id === id && holds(run)),
    what,
    WAIT_MS,
  );
  return found.runs.find((run) => run.id === id)!;
}

async function finish(id: string): Promise<Run> {
  const run = await runUntil(id, ({ state }) => state === 'done' || state === 'failed', `${id} ends`);
  assert.equal(run.state, 'done', run.reason);
  const ledger = await unary(fleet.client, fleet.client.getLedger, { runId: id }, { deadlineMs: 10_000 });
  assert.equal((await proveLedger(ledger)).steps, run.stepsTotal);
  return run;
}

/**
 * A run whose gang nothing has disturbed. On a busy machine a worker may be silent for so long that it is taken for lost,
 * which takes with it what int8 had left over: such a run may have other bytes, so another one is trained.
 */
async function undisturbed(name: string, workers: number): Promise<Run> {
  const gangs: number[] = [];
  while (gangs.length < 3) {
    const run = await finish(await submit(`${name}-${gangs.length + 1}`, workers));
    if (run.generation === 1) return run;
    gangs.push(run.generation);
  }
  throw new Error(`no run with ${workers} workers had one gang, but ${gangs.join(', ')}`);
}

test('with int8 one worker and two end with the same bytes', async () => {
  const [alone, together] = [await undisturbed('alone', 1), await undisturbed('together', 2)];
  assert.equal(together.weightsDigest, alone.weightsDigest);
});

test('with int8 a run whose member is killed in the middle of a stage ends with a ledger that holds', async () => {
  const id = await submit('disturbed', 2);
  const { workerIds } = await runUntil(id, ({ step }) => step >= 11, 'it is in the middle of a stage');
  await fleet.killWorker(workerIds[1]!, 'SIGKILL');
  await fleet.startWorker(workerIds[1]!);
  await finish(id);
});
