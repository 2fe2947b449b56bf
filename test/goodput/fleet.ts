// `npm run test:goodput`: where the time of real workers went, against the clock of this test. Workers and the
// coordinator are killed with SIGKILL while they train; the seconds that the fleet accounts for are those for
// which its processes were there.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Snapshot } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { runIn, startFleet } from '../support/fleet.ts';
import { startTypeScript } from '../support/processes.ts';

const CLI = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));
/** What may be unknown. */
const SHARE_MAX = 0.005;
/** A heartbeat interval, and what a busy machine adds, seconds. */
const UNREPORTED_MAX = 1.5;
const DEADLINE_MS = 240_000;

const spec = (name: string, workers: string, epochs: number) => `
kind: teacher
name: ${name}
network: { kind: pocketnet, channels: 8, layers: 4, embedding: 16, genotype: casia }
data: { kind: synthetic, identities: 16, images: 32, holdout: 3, seed: 5 }
training: { epochs: ${epochs}, batch: 16, shards: 2, seed: 7, optimizer: { learningRate: 0.05 } }
verification: { pairs: 40 }
workers: { ${workers} }
`;

/** When each process was started, and when it was known to be gone. */
const lives: { readonly id: string; readonly bornMs: number; goneMs?: number }[] = [];
const fleet = await startFleet({ workers: [] });
after(() => fleet.stop());

async function startWorker(id: string): Promise<void> {
  lives.push({ id, bornMs: Date.now() });
  await fleet.startWorker(id);
}

async function stopWorker(id: string, signal: NodeJS.Signals): Promise<void> {
  const life = lives.findLast((one) => one.id === id)!;
  await fleet.killWorker(id, signal, DEADLINE_MS);
  life.goneMs = Date.now();
  await fleet.until(
    (seen) => seen.workers.find((one) => one.id === id)?.state === 'lost',
    `${id} is lost`,
    DEADLINE_MS,
  );
}

const livedSeconds = (id?: string) =>
  lives
    .filter((life) => id === undefined || life.id === id)
    .reduce((sum, life) => sum + ((life.goneMs ?? Date.now()) - life.bornMs) / 1000, 0);

interface Told {
  readonly totalSeconds: number;
  readonly wallSeconds?: number;
  readonly seconds: Readonly<Record<string, number>>;
}

async function goodput(id?: string): Promise<Told> {
  const words = ['goodput', ...(id === undefined ? [] : [id]), '--json'];
  const program = startTypeScript(CLI, [...words, '--coordinator', fleet.endpoint, '--token', fleet.token]);
  const { code } = await program.ended;
  assert.equal(code, 0, program.output());
  return JSON.parse(program.output()) as Told;
}

/** Seconds of all phases as Prometheus sees them. */
async function counted(): Promise<number> {
  const text = await (await fetch(`http://${fleet.metricsEndpoint}/metrics`)).text();
  const all = [...text.matchAll(/^pocketfleet_worker_seconds_total\{phase="[a-z_]+"\} (\S+)$/gm)];
  assert.equal(all.length, 11, 'one series a phase');
  return all.reduce((sum, [, seconds]) => sum + Number(seconds), 0);
}

test('every second is in one phase through kill -9 of workers and of the coordinator', async (t) => {
  for (const id of ['w1', 'w2', 'w3']) await startWorker(id);
  const single = (await fleet.submit(spec('single', 'min: 1, max: 1', 16))).runIds[0]!;
  const pair = (await fleet.submit(spec('pair', 'min: 2, max: 2', 16))).runIds[0]!;
  const stages = (seen: Snapshot, id: string, count: number) => (runIn(seen, id)?.checkpoints ?? 0) >= count;
  const seen = await fleet.until(
    (s) => stages(s, single, 2) && stages(s, pair, 2),
    'both train',
    DEADLINE_MS,
  );
  const [holder] = runIn(seen, single)!.workerIds;
  const [member] = runIn(seen, pair)!.workerIds;

  // The only worker of a run: what it computed since its last checkpoint is in vain.
  await stopWorker(holder!, 'SIGKILL');
  await startWorker(holder!);
  await fleet.until((s) => stages(s, single, 5), 'it goes on', DEADLINE_MS);
  // A member, whose gang goes on; the coordinator dies with it, and comes back seconds later.
  await fleet.killCoordinator('SIGKILL');
  await fleet.startCoordinator();
  // Before its first word to the new coordinator a worker is awaited for a while, dead or not.
  const back = (seen: Snapshot) => seen.workers.filter(({ connected }) => connected).length === 3;
  await fleet.until(back, 'all are back', DEADLINE_MS);
  await stopWorker(member!, 'SIGKILL');
  await startWorker(member!);
  await fleet.killCoordinator('SIGKILL');
  await fleet.startCoordinator();
  for (const id of [single, pair]) await fleet.finished(id, DEADLINE_MS);

  // Living workers: all but what they have not reported yet, a heartbeat of each at most.
  const least = livedSeconds() - UNREPORTED_MAX * lives.filter(({ goneMs }) => goneMs === undefined).length;
  const living = (await goodput()).totalSeconds;
  const lived = livedSeconds();
  assert.ok(living > least && living < (1 + SHARE_MAX) * lived, `${living} s of ${lived} s`);
  const before = await counted();
  assert.ok(before > 0 && before <= lived, 'what was counted since this coordinator leads');

  for (const id of ['w1', 'w2', 'w3']) await stopWorker(id, 'SIGTERM');
  const whole = await goodput();
  const seconds = livedSeconds();
  const off = (a: number, b: number) => Math.abs(a - b) / b;
  t.diagnostic(JSON.stringify(whole));
  t.diagnostic(`lived ${seconds.toFixed(3)} s, accounted for ${whole.totalSeconds.toFixed(3)} s`);
  assert.ok(off(whole.totalSeconds, seconds) < SHARE_MAX, `${whole.totalSeconds} s of ${seconds} s`);
  assert.ok(
    off(whole.wallSeconds!, seconds) < SHARE_MAX,
    `${whole.wallSeconds} s by the coordinator's clock`,
  );
  let sum = 0;
  for (const id of ['w1', 'w2', 'w3']) {
    const own = await goodput(id);
    sum += own.totalSeconds;
    assert.ok(off(own.totalSeconds, livedSeconds(id)) < 2 * SHARE_MAX, `${id}: ${own.totalSeconds} s`);
  }
  assert.ok(off(sum, whole.totalSeconds) < 1e-6);
  const ofSingle = await goodput(single);
  const ofPair = await goodput(pair);
  t.diagnostic(`single ${JSON.stringify(ofSingle.seconds)}`);
  t.diagnostic(`pair ${JSON.stringify(ofPair.seconds)}`);
  assert.ok(ofSingle.seconds.lost! > 0, 'steps after the newest checkpoint were computed again');
  assert.ok(ofSingle.seconds.compute! > 0 && ofSingle.seconds.evaluate! > 0);
  assert.ok(ofPair.seconds.compute! > 0 && ofPair.seconds.reduce_wait! > 0);
  assert.ok(whole.seconds.idle! > 0 && whole.seconds.prepare! > 0);
});
