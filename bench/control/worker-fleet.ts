// Starts a process of instant workers and asks it for its counts.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { loaderArguments } from '../../core/system/script-arguments.ts';
import { until } from '../../test/support/processes.ts';
import type { Counts, Order } from './instant-workers.ts';

const PROGRAM = fileURLToPath(new URL('./instant-workers.ts', import.meta.url));
const ATTACH_MS = 60_000;

/** A process with many workers. */
export interface WorkerFleet {
  readonly pid: number;
  readonly child: ChildProcess;
  /** Runs end after a time in this range. */
  pace(msMin: number, msMax: number): void;
  /** Counts since the last call. */
  count(): Promise<Counts>;
  stop(): Promise<void>;
}

/** Starts as many workers in one process; `endpoints`: of all coordinators, with commas between. */
export function startWorkerFleet(options: {
  readonly endpoints: string;
  readonly token: string;
  readonly workers: number;
  readonly prefix?: string;
}): WorkerFleet {
  const { endpoints, token, workers, prefix = 'w' } = options;
  const child = fork(PROGRAM, [endpoints, token, String(workers), prefix], { execArgv: loaderArguments() });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const order = (one: Order) => void child.send(one);
  return {
    pid: child.pid ?? -1,
    child,
    pace: (msMin, msMax) => order({ kind: 'pace', msMin, msMax }),
    count() {
      return new Promise((resolve, reject) => {
        const gone = () => reject(new Error('the process of the workers has ended'));
        child.once('exit', gone);
        child.once('message', (counts: Counts) => {
          child.off('exit', gone);
          resolve(counts);
        });
        order({ kind: 'count' });
      });
    },
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** As startWorkerFleet; resolves when all workers are on a stream. */
export async function attachedWorkerFleet(
  options: Parameters<typeof startWorkerFleet>[0],
): Promise<WorkerFleet> {
  const fleet = startWorkerFleet(options);
  const { workers } = options;
  await until(
    `${workers} workers on their streams`,
    async () => (await fleet.count()).attached === workers,
    ATTACH_MS,
  );
  return fleet;
}
