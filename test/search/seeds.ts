// `npm run test:search`: a sweep over seeds on a real fleet. Three searches by gradient find the cells that three documents of
// kind: search find, each is trained alike, and the winner is the best of them, though a worker and the coordinator are
// killed on the way.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { unary } from '../../core/net/grpc-client.ts';
import { startFleet, type TestFleet } from '../support/fleet.ts';
import { startTypeScript } from '../support/processes.ts';

const CLI = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));
const SEEDS = [1, 2, 3];
const DATA = '{ kind: synthetic, identities: 8, images: 8, holdout: 2, seed: 5 }';
const SEARCH = 'order: first, epochs: 2, batch: 8, shards: 4';
let fleet: TestFleet;

const sweep = `
kind: sweep
name: seeds
space: { channels: 2, layers: 4, embedding: 8 }
strategy:
  kind: darts
  seeds: [${SEEDS.join(', ')}]
  supernet: { channels: 4, layers: 4 }
  search: { ${SEARCH} }
data: ${DATA}
evaluation: { training: { epochs: 1, batch: 16, shards: 2 }, verification: { pairs: 40 } }
`;

const search = (seed: number) => `
kind: search
name: alone-${seed}
supernet: { channels: 4, layers: 4 }
data: ${DATA}
search: { ${SEARCH}, seed: ${seed} }
workers: { min: 1, max: 2 }
`;

before(async () => {
  fleet = await startFleet({ workers: [] });
  await fleet.startWorker('w1', 120_000);
  await fleet.startWorker('w2', 120_000);
});
after(async () => {
  await fleet?.stop();
});

async function pocketfleet(...args: string[]): Promise<string> {
  const program = startTypeScript(CLI, [...args, '--coordinator', fleet.endpoint, '--token', fleet.token]);
  const { code } = await program.ended;
  assert.equal(code, 0, program.output());
  return program.output();
}

test('three seeds, a worker and the coordinator killed: the cells of three searches alone, and the best evaluation wins', async () => {
  const { sweepIds } = await fleet.submit(sweep);
  const id = sweepIds[0]!;
  await fleet.until(
    ({ runs }) =>
      runs.some(
        (run) =>
          run.sweepId === id && run.kind === 'search' && run.checkpoints > 0 && run.workerIds.includes('w2'),
      ),
    'w2 has stored an epoch of a search',
    300_000,
  );
  await fleet.killWorker('w2', 'SIGKILL');
  await fleet.startWorker('w2', 120_000);
  await fleet.until(
    ({ runs }) => runs.some((run) => run.sweepId === id && run.kind === 'search' && run.state === 'done'),
    'a search has found its cells',
    300_000,
  );
  await fleet.killCoordinator('SIGKILL');
  await fleet.startCoordinator();
  await fleet.until(
    ({ sweeps }) =>
      ['done', 'failed', 'cancelled'].includes(sweeps.find((one) => one.id === id)?.state ?? ''),
    `${id} ends`,
    900_000,
  );
  const ended = await unary(fleet.client, fleet.client.getSweep, { id });
  assert.equal(ended.state, 'done', ended.reason);
  const { runs } = await unary(fleet.client, fleet.client.listRuns, { planId: '', sweepId: id });
  const searches = SEEDS.map((seed) => runs.find(({ name }) => name === `seeds-seed-${seed}`)!);
  assert.ok(
    searches.some(({ generation }) => generation > 1),
    'a search was lost with its worker',
  );
  const { trials } = await unary(fleet.client, fleet.client.listTrials, { sweepId: id, pageSize: 100 });
  const ranked = [...trials].sort((a, b) => a.number - b.number);
  assert.equal(ranked.length, SEEDS.length);
  const best = Math.max(...ranked.map(({ objective }) => objective));
  assert.equal(ended.bestObjective, best);
  assert.ok(ranked.every(({ state, objective }) => state === 'done' && Number.isFinite(objective)));
  for (const [at, seed] of SEEDS.entries()) {
    const { runIds } = await fleet.submit(search(seed));
    const alone = await fleet.finished(runIds[0]!, 600_000);
    assert.equal(searches[at]!.weightsDigest, alone.weightsDigest, `seed ${seed}`);
    assert.equal(searches[at]!.found?.genotypeJson, alone.found?.genotypeJson, `seed ${seed}`);
  }
  // Its search networks are searched and not inherited from, so that there is something to compare.
  const compared = await pocketfleet('compare', 'seeds', 'alone-1');
  assert.match(compared, /darts/);
  assert.doesNotMatch(compared, /inherit the weights/);
  assert.match(await pocketfleet('why', 'trial-1'), /a search from seed 1 finds.*has its cells/s);
});
