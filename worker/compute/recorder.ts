// Graphs that are recorded before they are needed. Decides with how much of the machine: one process at a time, below
// everything that trains. What it has recorded lies in the cache on disk, where the compute thread, and every other worker
// of this machine, finds it.

import { setPriority } from 'node:os';
import { FleetError } from '../../core/errors.ts';
import { startChild } from '../../core/system/child-process.ts';
import type { Compilable } from './messages.ts';
import type { RecordingJob } from './recording-process.ts';

/** JavaScript heap of the process, MiB. */
const HEAP_MIB = 512;
/** As of nice(1): beside a worker that computes it gets a tenth of a core. */
const NICENESS = 10;
/** On a GPU it takes what it needs in place of a fixed part. */
const ENVIRONMENT = { TF_FORCE_GPU_ALLOW_GROWTH: 'true', TF_CPP_MIN_LOG_LEVEL: '3' };

export interface Recorder {
  /** Resolves when the graphs are in the cache; rejects where they could not be recorded, or the signal's reason. */
  record(graphs: readonly Compilable[], signal: AbortSignal): Promise<void>;
}

export function createRecorder({ cacheDir, engine }: Pick<RecordingJob, 'cacheDir' | 'engine'>): Recorder {
  return {
    record(graphs, signal) {
      return new Promise<void>((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const child = startChild(new URL('./recording-process.ts', import.meta.url), {
          heapMiB: HEAP_MIB,
          environment: ENVIRONMENT,
        });
        lowered(child.pid);
        const stop = () => child.kill('SIGKILL');
        signal.addEventListener('abort', stop, { once: true });
        const ended = (how: string | undefined) => {
          signal.removeEventListener('abort', stop);
          if (signal.aborted) reject(signal.reason);
          else if (how === undefined) resolve();
          else reject(new FleetError('internal', `recording graphs ahead ended with ${how}`));
        };
        child.once('error', (caught) => ended(caught.message));
        child.once('exit', (code, killed) => ended(code === 0 ? undefined : (killed ?? `code ${code}`)));
        child.send({ cacheDir, engine, graphs } satisfies RecordingJob);
      });
    },
  };
}

/** Without the right to, or where the process has gone already, it computes as everybody else. */
function lowered(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, NICENESS);
  } catch {
    // It is a matter of speed alone.
  }
}
