// The CPU plugin of PJRT that `npm run setup:pjrt` fetches, for the tests of the engine.

import { FleetError } from '../../core/errors.ts';
import { installedPjrt } from '../../core/tensor/pjrt/binding.ts';
import { type Client, openClient } from '../../core/tensor/pjrt/client.ts';

/** Path of the CPU plugin. */
export function cpuPlugin(): string {
  const found = installedPjrt()?.plugins.find(({ platform }) => platform === 'cpu');
  if (found !== undefined) return found.path;
  throw new FleetError('failedPrecondition', 'no CPU plugin of PJRT is set up; run `npm run setup:pjrt`');
}

let client: Client | undefined;

/** One client of the CPU plugin for the whole process; it has four devices. */
export function cpuClient(): Client {
  client ??= openClient({ path: cpuPlugin() });
  return client;
}
