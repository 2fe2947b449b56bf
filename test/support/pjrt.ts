// The CPU plugin of PJRT that `npm run setup:pjrt` fetches, for the tests of the engine.

import { FleetError } from '../../core/errors.ts';
import type { Engine } from '../../core/tensor/graph/engine.ts';
import { createPjrtEngine } from '../../core/tensor/graph/pjrt-engine.ts';
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

/** The compiler at its quickest: on a busy machine a step of four layers is minutes otherwise. */
const QUICK = { xla_backend_optimization_level: 0, xla_llvm_disable_expensive_passes: true };
/** The same as `XLA_FLAGS` of a worker's process, whose own options are those of a worker. */
export const QUICK_XLA_FLAGS = Object.entries(QUICK)
  .map(([name, value]) => `--${name}=${value}`)
  .join(' ');

/** An engine on devices of that client. */
export function cpuEngine({ devices = [0] }: { devices?: readonly number[] } = {}): Engine {
  return createPjrtEngine({ client: cpuClient(), plugin: 'xla-cpu-pjrt', options: QUICK, devices });
}
