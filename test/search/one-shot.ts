// `npm run test:search`: ranking by inherited weights on a real fleet. A search network is trained with random paths, a
// sweep evaluates candidates with its weights on one worker, and another sweep does so on two of which one is killed:
// the same candidates, accuracies, trainings and tau. What cannot be inherited is refused.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { unary } from '../../core/net/grpc-client.ts';
import { runIn, startFleet, type TestFleet } from '../support/fleet.ts';
import { startTypeScript } from '../support/processes.ts';

const CLI = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));
const TRIALS = 8;
const DATA = '{ kind: synthetic, identities: 8, images: 8, holdout: 2, seed: 5 }';
let fleet: TestFleet;

const supernet = (name: string, search = '', data = DATA) => `
kind: search
name: ${name}
supernet: { channels: 4, layers: 4 }
data: ${data}
search: { strategy: uniform, epochs: 2, batch: 8, shards: 4, seed: 7${search} }
workers: { min: 1, max: 2 }
`;

const sweep = (name: string, strategy = 'supernet: paths', more = '', data = DATA) => `
kind: sweep
name: ${name}
space: { channels: 2, layers: 4, embedding: 8 }
strategy: { kind: one-shot, trials: ${TRIALS}, seed: 3, lag: 4, population: 4, sample: 2, calibration: 3, train: 2, tauSample: 5, ${strategy} }
data: ${data}
evaluation: { training: { epochs: 1, batch: 16, shards: 2 }, verification: { pairs: 40 } }
${more}
`;

before(async () => {
  fleet = await startFleet({ workers: [] });
  await fleet.startWorker('w1', 120_000);
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

/** The end of a sweep, with all that it has found. */
async function ended(id: string) {
  await fleet.until(
    ({ sweeps }) =>
      ['done', 'failed', 'cancelled'].includes(sweeps.find((one) => one.id === id)?.state ?? ''),
    `${id} ends`,
    900_000,
  );
  const { state, reason } = await unary(fleet.client, fleet.client.getSweep, { id });
  assert.equal(state, 'done', reason);
  const { trials } = await unary(fleet.client, fleet.client.listTrials, { sweepId: id, pageSize: 100 });
  const { runs } = await unary(fleet.client, fleet.client.listRuns, { planId: '', sweepId: id });
  const found = [];
  for (const trial of [...trials].sort((a, b) => a.number - b.number))
    found.push({
      genotype: trial.genotypeJson,
      objective: trial.objective,
      // The inherited accuracy, then that of the training, where there is one.
      runs: runs
        .filter(({ name }) => name.endsWith(`-${trial.number}`))
        .map(({ weightsDigest, evaluation }) => [weightsDigest, evaluation?.accuracy]),
    });
  return { found, agreement: /Kendall's tau.*/.exec(reason)?.[0], runs };
}

let alone: Awaited<ReturnType<typeof ended>>;

test('a search with random paths has no genotype, and its weights rank candidates, of which some are trained', async () => {
  const [id] = (await fleet.submit(supernet('paths'))).runIds;
  const trained = await fleet.finished(id!, 600_000);
  assert.equal(trained.found, undefined);
  const { sweepIds } = await fleet.submit(sweep('alone'));
  alone = await ended(sweepIds[0]!);
  assert.equal(alone.found.length, TRIALS);
  // Ranks 0, 1, 2, 4, 5, 7: the best two and five in equal steps.
  assert.equal(alone.found.filter(({ runs }) => runs.length === 2).length, 6);
  assert.ok(alone.found.every(({ runs }) => runs[0]![0] === trained.weightsDigest));
  assert.match(
    alone.agreement ?? '',
    /^Kendall's tau .* of the 5 candidates of the sample that were trained is /,
  );
  const why = await pocketfleet('why', 'alone');
  assert.match(why, /Kendall's tau/);
  const trial = await pocketfleet('why', 'trial-1');
  assert.match(trial, /with inherited weights/);
});

test('two workers, of which one is killed in an evaluation, give the same candidates, accuracies and tau', async () => {
  await fleet.startWorker('w2', 120_000);
  const { sweepIds } = await fleet.submit(sweep('killed'));
  const id = sweepIds[0]!;
  await fleet.until(
    ({ runs }) =>
      runs.some((run) => run.sweepId === id && run.state === 'running' && run.workerIds.includes('w2')),
    'w2 evaluates',
    300_000,
  );
  await fleet.killWorker('w2', 'SIGKILL');
  await fleet.startWorker('w2', 120_000);
  const killed = await ended(id);
  assert.ok(
    killed.runs.some(({ generation }) => generation > 1),
    'a run was lost with its worker',
  );
  assert.deepEqual(killed.found, alone.found);
  assert.equal(killed.agreement, alone.agreement);
});

test('a sweep of the same candidates takes their results, inherited ones and those of trainings', async () => {
  const { sweepIds } = await fleet.submit(sweep('again'), { mayReuse: true });
  const again = await ended(sweepIds[0]!);
  assert.deepEqual(
    again.found.map(({ genotype, objective }) => ({ genotype, objective })),
    alone.found.map(({ genotype, objective }) => ({ genotype, objective })),
  );
  const computed = again.runs.filter(({ reason }) => !/reused/.test(reason));
  assert.deepEqual(computed, []);
});

test('what cannot be inherited is refused with field and reason', async () => {
  const refused = (text: string, reason: RegExp) => assert.rejects(fleet.submit(text), reason);
  await refused(sweep('none', 'supernet: nobody'), /strategy\.supernet.*nobody is no search of this fleet/s);
  await refused(sweep('early', 'supernet: paths@9'), /strategy\.supernet.*has the epochs 1 to 2 of 2/s);
  const others = DATA.replace('holdout: 2', 'holdout: 3');
  await refused(
    sweep('people', 'supernet: paths', '', others),
    /strategy\.supernet.*holds out 2 people and this sweep 3/s,
  );
  const { runIds } = await fleet.submit(supernet('open'));
  await refused(sweep('fresh', 'supernet: open'), /strategy\.supernet.*(has no stage yet|goes on)/s);
  await pocketfleet('cancel', runIds[0]!);
  const network = 'network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: paths }';
  const run = `kind: candidate\nname: c\n${network}\ndata: ${DATA}\ntraining: { epochs: 1, batch: 16 }\n`;
  await refused(run, /network\.genotype.*decodes no genotype; a sweep of strategy one-shot/s);
  const { sweeps } = await fleet.until(() => true, 'a snapshot');
  assert.equal(sweeps.length, 3, 'nothing that was refused was begun');
  assert.equal(runIn(await fleet.until(() => true, 'a snapshot'), 'run-1')?.state, 'done');
});
