// A coordinator in a process of its own that reports what it has used: processor time to the microsecond, and
// the heap after a collection. Started with the address of the broker, the name of the fleet and --expose-gc; asked over IPC.

import { startCoordinator } from '../../coordinator/coordinator.ts';
import { systemClock } from '../../core/clock.ts';
import { coordinatorConfigSchema } from '../../core/config.ts';
import { createLogger } from '../../core/log.ts';
import { cpuMs } from './processor.ts';

/** Sent when the coordinator leads, and as the answer to each message. */
export interface Usage {
  readonly endpoint: string;
  /** Since the start, without the time in which the program was loaded. */
  readonly cpuMs: number;
  readonly heapMb: number;
}

const [natsUrl = '', fleet = ''] = process.argv.slice(2);
const loadedMs = cpuMs();
const coordinator = await startCoordinator({
  config: coordinatorConfigSchema.parse({
    ...{ natsUrl, fleet, listen: '127.0.0.1:0', metricsListen: '127.0.0.1:0' },
  }),
  version: 'bench',
  revision: 'test',
  log: createLogger({ program: 'coordinator', level: 'warn' }),
  clock: systemClock,
});

function report(): void {
  const used = cpuMs() - loadedMs;
  (globalThis as { gc?: () => void }).gc?.();
  const usage: Usage = {
    ...{ endpoint: coordinator.endpoint, cpuMs: used, heapMb: process.memoryUsage().heapUsed / 1e6 },
  };
  process.send?.(usage);
}

report();
process.on('message', report);
process.on('disconnect', () => void coordinator.close().finally(() => process.exit(0)));
