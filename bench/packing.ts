// `npm run bench:packing`: how many small candidates a device trains a minute when 1, 2 and 4 workers share it
// (`up --per-device K`), and so whether sharing pays. Each K has a fleet, a cache and a search of its own; the searches
// are the same. The device is the first GPU of the machine, or its first core, to which the workers are then bound.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startFleet } from '../coordinator/cli/local/up.ts';
import { systemClock } from '../core/clock.ts';
import { listGpus } from '../core/system/gpus.ts';
import { atLeast, optionsOf, say, tell } from './goals.ts';

const { json, trials, epochs, most } = optionsOf({ trials: 12, epochs: 3, most: 4 });
const PACKED = [1, 2, 4].filter((perDevice) => perDevice <= most);
const POLL_MS = 200;
/** Of /proc, on every Linux that Node runs on. */
const TICKS_A_SECOND = 100;
/** Sharing becomes the default where it gives as much more as this. */
const GAIN = 1.1;

const text = (parallelism: number) => `
kind: sweep
name: packing
data: { kind: synthetic, identities: 64, images: 20, holdout: 16, seed: 5 }
space: { channels: 8, layers: 6, embedding: 64, ops: [skip_connect, dw_conv_3x3, dw_conv_5x5] }
strategy: { kind: random, trials: ${trials}, seed: 7 }
evaluation:
  training: { epochs: ${epochs}, batch: 64, shards: 1 }
  verification: { pairs: 200 }
parallelism: ${parallelism}
`;

interface Row {
  readonly perDevice: number;
  readonly seconds: number;
  readonly trialsAMinute: number;
  /** Processor time of the workers for one of them, also on a machine that others use; NaN where there is no /proc. */
  readonly processorSecondsATrial: number;
}

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());

const hasGpu = listGpus().length > 0;
const rows: Row[] = [];
for (const perDevice of PACKED) {
  const row = await measure(perDevice);
  rows.push(row);
  const processor = `${row.processorSecondsATrial.toFixed(1)} s of processor time a trial`;
  say(
    `${perDevice} a device: ${row.trialsAMinute.toFixed(2)} trials a minute (${row.seconds.toFixed(1)} s; ${processor})`,
  );
}
const [one, ...shared] = rows.map((row) => row.trialsAMinute);
tell(
  [
    atLeast(
      `trials a minute of a shared ${hasGpu ? 'GPU' : 'core'}`,
      Math.max(...shared) / one!,
      GAIN,
      'times',
    ),
  ],
  rows,
  json,
);

async function measure(perDevice: number): Promise<Row> {
  const dir = mkdtempSync(join(tmpdir(), 'pocketfleet-packing-'));
  process.env.POCKETFLEET_CACHE_DIR = join(dir, 'cache');
  const fleet = await startFleet({
    ...{ dir, workers: perDevice, perDevice, ...(hasGpu ? { devices: '0' } : {}) },
    ...{ signal: stopping.signal, say: () => undefined },
  });
  try {
    if (!hasGpu)
      for (const { name, pid } of fleet.children())
        if (name.startsWith('worker-')) execFileSync('taskset', ['-a', '-c', '-p', '0', String(pid)]);
    const pids = fleet.children().flatMap(({ name, pid }) => (name.startsWith('worker-') ? [pid] : []));
    const before = processorSeconds(pids);
    const submitted = { yaml: text(perDevice), baseDir: dir, dryRun: false, overrides: {} };
    const { sweepIds } = await fleet.client.ask((service) => service.submit, submitted);
    for (;;) {
      const sweep = await fleet.client.ask((service) => service.getSweep, { id: sweepIds[0]! });
      if (sweep.state === 'done') {
        const seconds = (sweep.endedAtMs - sweep.createdAtMs) / 1000;
        const processorSecondsATrial = (processorSeconds(pids) - before) / sweep.trialsDone;
        return {
          perDevice,
          seconds,
          trialsAMinute: (60 * sweep.trialsDone) / seconds,
          processorSecondsATrial,
        };
      }
      if (sweep.state !== 'running') throw new Error(`the search is ${sweep.state}: ${sweep.reason}`);
      await systemClock.sleep(POLL_MS, stopping.signal);
    }
  } finally {
    await fleet.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** User and system time of processes, seconds. */
function processorSeconds(pids: readonly (number | undefined)[]): number {
  let ticks = 0;
  for (const pid of pids) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      return Number.NaN;
    }
  }
  return ticks / TICKS_A_SECOND;
}
