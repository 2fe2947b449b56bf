// The processes that look at data sets, each at one after the other. Decides when one is started, kept for
// the next look and ended: a look is ended by ending its process, because a file system call that hangs in
// the kernel can be ended by nothing else.

import type { ChildProcess } from 'node:child_process';
import { after } from '../../clock.ts';
import { startChild } from '../../system/child-process.ts';
import type { DataProgress } from '../progress-pace.ts';
import type { InspectJob, InspectMessage } from './inspect-process.ts';

/** How a look ends: with what the process answers, or with the process, and how that came. */
export type LookEnd =
  | Exclude<InspectMessage, { kind: 'progress' }>
  | { readonly kind: 'ended'; readonly how: string };

export interface InspectionProcesses {
  /** Begins a look. After `end` its process is gone and neither function is called again. */
  start(
    job: InspectJob,
    on: { progress(progress: DataProgress): void; end(end: LookEnd): void },
  ): { end(): void };
  /** Ends all of them. */
  close(): Promise<void>;
}

/** JavaScript heap of a process, MiB: the names of some millions of files. */
const HEAP_MIB = 1024;
/** A process that hangs in the kernel may outlive SIGKILL; closing waits no longer for it, milliseconds. */
const CLOSE_MS = 1_000;

export function createInspectionProcesses(options: {
  /** Images in hand at once in each process. */
  readonly lanes: number;
  /** A process without work is kept this long for the next look, milliseconds. */
  readonly keptMs: number;
}): InspectionProcesses {
  const living = new Set<ChildProcess>();
  const working = new Map<ChildProcess, Parameters<InspectionProcesses['start']>[1]>();
  /** Each with what keeps it from being ended. */
  const idle = new Map<ChildProcess, () => void>();
  let closed = false;

  const keep = (child: ChildProcess) => {
    if (closed || !child.connected) return void child.kill('SIGKILL');
    // A process without work does not hold up a program that wants to end.
    child.unref();
    child.channel?.unref();
    idle.set(
      child,
      after(options.keptMs, () => child.kill('SIGKILL'), { holdsProcess: false }),
    );
  };
  const wake = (): ChildProcess | undefined => {
    const [kept] = idle;
    if (kept === undefined) return undefined;
    const [child, stopKeeping] = kept;
    stopKeeping();
    idle.delete(child);
    child.ref();
    child.channel?.ref();
    return child;
  };
  const spawn = (): ChildProcess => {
    const child = startChild(new URL('./inspect-process.ts', import.meta.url), {
      heapMiB: HEAP_MIB,
      environment: { UV_THREADPOOL_SIZE: String(options.lanes) },
    });
    const finish = (end: LookEnd) => {
      const on = working.get(child);
      working.delete(child);
      on?.end(end);
    };
    const ended = (how: string) => {
      living.delete(child);
      idle.get(child)?.();
      idle.delete(child);
      finish({ kind: 'ended', how });
    };
    living.add(child);
    child.on('message', (message: InspectMessage) => {
      if (message.kind === 'progress') return working.get(child)?.progress(message.progress);
      if (working.has(child)) keep(child);
      finish(message);
    });
    child.once('exit', (code, signal) => ended(signal ?? `code ${code}`));
    child.once('error', (caught) => ended(caught.message));
    return child;
  };

  return {
    start(job, on) {
      const child = wake() ?? spawn();
      working.set(child, on);
      child.send(job);
      return {
        end() {
          if (working.get(child) !== on) return;
          working.delete(child);
          child.kill('SIGKILL');
        },
      };
    },
    async close() {
      closed = true;
      const ended = [...living].map(
        (child) => new Promise<void>((resolve) => void child.once('exit', () => resolve())),
      );
      for (const child of living) child.kill('SIGKILL');
      let stopWaiting: (() => void) | undefined;
      await Promise.race([
        Promise.all(ended),
        new Promise<void>((resolve) => {
          stopWaiting = after(CLOSE_MS, resolve);
        }),
      ]);
      stopWaiting?.();
      for (const child of living) child.unref();
    },
  };
}
