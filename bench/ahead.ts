// `npm run bench:ahead`: what each candidate of a search costs one worker in preparing: opening the data and getting the
// graphs of its step. The first candidate finds nothing prepared; the others were prepared while the one before them trained.
// The cache of recorded graphs is empty at the start.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startFleet } from '../coordinator/cli/local/up.ts';
import { systemClock } from '../core/clock.ts';
import { median, optionsOf, say, tell } from './goals.ts';

const { json, trials, epochs } = optionsOf({ trials: 5, epochs: 60 });
const POLL_MS = 200;

const text = `
kind: sweep
name: ahead
data: { kind: synthetic, identities: 12, images: 8, holdout: 4, seed: 5 }
space: { channels: 4, layers: 6, embedding: 16, ops: [skip_connect, dw_conv_3x3, dw_conv_5x5] }
strategy: { kind: random, trials: ${trials}, seed: 7 }
evaluation:
  training: { epochs: ${epochs}, batch: 16, shards: 1 }
  verification: { pairs: 40 }
parallelism: 1
`;

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
const dir = mkdtempSync(join(tmpdir(), 'pocketfleet-ahead-'));
process.env.POCKETFLEET_CACHE_DIR = join(dir, 'cache');
const fleet = await startFleet({ dir, workers: 1, signal: stopping.signal, say: () => undefined });
try {
  const submitted = { yaml: text, baseDir: dir, dryRun: false, overrides: {} };
  const { sweepIds } = await fleet.client.ask((service) => service.submit, submitted);
  for (;;) {
    const sweep = await fleet.client.ask((service) => service.getSweep, { id: sweepIds[0]! });
    if (sweep.state === 'done') break;
    if (sweep.state !== 'running') throw new Error(`the search is ${sweep.state}: ${sweep.reason}`);
    await systemClock.sleep(POLL_MS, stopping.signal);
  }
  const rows = [];
  for (let run = 1; run <= trials; run++) {
    const { seconds } = await fleet.client.ask((service) => service.getGoodput, { id: `run-${run}` });
    const { prepare = 0, compute = 0, evaluate = 0 } = seconds ?? {};
    rows.push({ run, prepare, compute, evaluate });
    say(
      `run-${run}: ${prepare.toFixed(2)} s of preparing, ${compute.toFixed(1)} s of computing, ${evaluate.toFixed(2)} s of verifying`,
    );
  }
  const [first, ...others] = rows.map(({ prepare }) => prepare);
  say(
    `preparing: ${first!.toFixed(2)} s for the first, median ${median(others).toFixed(2)} s for the others`,
  );
  tell([], rows, json);
} finally {
  await fleet.close();
  rmSync(dir, { recursive: true, force: true });
}
