// What Prometheus scrapes of a fleet on this machine, as files that it reads again whenever they change: the
// coordinators, and every worker that the fleet has, wherever it runs. Decides that the files name nobody once
// the fleet has ended.

import { join } from 'node:path';
import { systemClock } from '../../../core/clock.ts';
import { makeFolder } from '../../../core/system/folder.ts';
import { addressesOf, formatHostPort, parseHostPort } from '../../../core/text/host-port.ts';
import type { Worker } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import { writeOutput } from '../output-file.ts';
import { workersOf } from '../whole-lists.ts';
import type { FleetFile } from './fleet-file.ts';

/** The keeping of the files. */
export interface TargetKeeping {
  /** Resolves when the files name nobody any more. */
  readonly ended: Promise<void>;
}

/** Between two looks at which workers there are, milliseconds. */
const LOOK_MS = 5_000;
/** Hosts that stand for every address of a machine. */
const ANY_HOST = new Set(['0.0.0.0', '::', '']);

/** Writes the files, and again whenever workers come or go, until the signal is aborted. */
export async function keepTargets(options: {
  readonly folder: string;
  readonly file: Pick<FleetFile, 'fleet' | 'metrics'>;
  readonly client: FleetClient;
  readonly signal: AbortSignal;
}): Promise<TargetKeeping> {
  const { folder, file, client, signal } = options;
  makeFolder(folder);
  let written = '';
  // Prometheus never sees half a file.
  const write = async (targets: {
    readonly coordinator: readonly string[];
    readonly worker: readonly string[];
  }) => {
    const text = JSON.stringify(targets);
    if (text === written) return;
    for (const [name, addresses] of Object.entries(targets))
      await writeOutput(join(folder, `${name}.json`), targetsText(file.fleet, addresses));
    written = text;
  };
  const look = async () => {
    const workers = await workersOf(client, signal);
    await write({ coordinator: addressesOf(file.metrics), worker: workerTargets(workers) });
  };
  await look();
  const ended = (async () => {
    while (!signal.aborted) {
      await systemClock.sleep(LOOK_MS, signal).catch(() => undefined);
      // A coordinator that is away names no workers: those that were there are still scraped.
      if (!signal.aborted) await look().catch(() => undefined);
    }
    await write({ coordinator: [], worker: [] });
  })();
  return { ended };
}

/** host:port of the workers that are there; one that listens everywhere is reached by the name of its machine. */
export function workerTargets(
  workers: readonly Pick<Worker, 'connected' | 'metricsEndpoint' | 'host'>[],
): readonly string[] {
  return workers
    .filter(({ connected, metricsEndpoint }) => connected && metricsEndpoint !== '')
    .map(({ metricsEndpoint, host }) => {
      const { host: listens, port } = parseHostPort(metricsEndpoint);
      return ANY_HOST.has(listens) ? formatHostPort({ host, port }) : metricsEndpoint;
    })
    .sort();
}

/** As Prometheus's file_sd_configs reads it; the labels are those that dashboards and rules select by. */
function targetsText(fleet: string, targets: readonly string[]): string {
  const groups = targets.length === 0 ? [] : [{ targets, labels: { namespace: 'local', fleet } }];
  return `${JSON.stringify(groups, null, 2)}\n`;
}
