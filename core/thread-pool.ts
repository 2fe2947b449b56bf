// Work whose size a stranger chooses, in threads with limits: it may not block the event loop, fill the
// memory of the process or outlive its caller. Decides how many calls run and wait at once, when one has used
// up its memory or its time, and that its thread is ended then, so that the next call finds a fresh one.

import { after } from './clock.ts';
import { FleetError } from './errors.ts';
import { answerCalls, type CallThread, openThread } from './thread-calls.ts';

export interface ThreadPoolOptions {
  /** Module of the thread, as `new URL('./name.ts', import.meta.url)`; it calls `answerPool`. */
  readonly file: URL;
  /** What the work is, for sentences: "reading the text". */
  readonly work: string;
  /** Calls at once, each in a thread of its own. */
  readonly threads: number;
  /** Calls that may wait for a thread; one more is refused as resourceExhausted. */
  readonly waitingMax: number;
  /** JavaScript heap of a thread, MiB; buffers of pixels and files are outside of it. */
  readonly memoryMiB: number;
  /**
   * Milliseconds of one call, counted from when a thread takes it; absent: without an end, for work that
   * reports progress.
   */
  readonly deadlineMs?: number;
  /** A thread without work is kept this long for the next call, milliseconds. */
  readonly idleMs?: number;
}

export interface ThreadPool<Input, Output, Progress = never> {
  /**
   * Rejected with the thread's own FleetError, with a limit's sentence, or as `cancelled` when the signal is
   * aborted.
   */
  call(
    input: Input,
    options?: { readonly signal?: AbortSignal; readonly onProgress?: (progress: Progress) => void },
  ): Promise<Output>;
  /** Ends every thread; open calls are rejected as cancelled. */
  close(): Promise<void>;
}

type PoolCalls = { readonly work: { readonly ask: unknown; readonly answer: unknown } };

interface Open {
  readonly input: unknown;
  readonly onProgress: ((progress: unknown) => void) | undefined;
  settle(result: { value: unknown } | { error: unknown }): void;
}

interface Thread {
  readonly calls: CallThread<PoolCalls>;
  ready: boolean;
  current: Open | undefined;
  stopTimer: (() => void) | undefined;
}

const IDLE_MS = 30_000;

export function createThreadPool<Input, Output, Progress = never>(
  options: ThreadPoolOptions,
): ThreadPool<Input, Output, Progress> {
  const threads = new Set<Thread>();
  const ending = new Set<Promise<unknown>>();
  const waiting: Open[] = [];
  let closed = false;

  const end = (thread: Thread, error?: FleetError) => {
    if (!threads.delete(thread)) return;
    thread.stopTimer?.();
    if (error !== undefined) thread.current?.settle({ error });
    thread.current = undefined;
    const ended = thread.calls.close();
    ending.add(ended);
    void ended.finally(() => ending.delete(ended));
    feed();
  };
  const give = (thread: Thread) => {
    thread.stopTimer?.();
    thread.stopTimer = undefined;
    const next = waiting.shift();
    thread.current = next;
    if (next === undefined) {
      // A thread that only waits for work holds up no process that wants to end.
      thread.calls.unref();
      thread.stopTimer = after(options.idleMs ?? IDLE_MS, () => end(thread), { holdsProcess: false });
      return;
    }
    thread.calls.ref();
    const finish = (result: Parameters<Open['settle']>[0]) => {
      if (thread.current !== next) return;
      next.settle(result);
      give(thread);
    };
    thread.calls.call('work', next.input, { onProgress: next.onProgress }).then(
      (value) => finish({ value }),
      (error: unknown) => {
        // The end of the thread has a sentence of its own, below.
        if (thread.calls.ended() === undefined) finish({ error });
      },
    );
    if (options.deadlineMs !== undefined)
      thread.stopTimer = after(options.deadlineMs, () => end(thread, tooLong(options)));
  };
  const start = () => {
    const thread = openPoolThread(options);
    const { calls } = thread;
    threads.add(thread);
    void calls.ready.then(() => {
      thread.ready = true;
      if (threads.has(thread)) give(thread);
    });
    void calls.died.then((reason) => {
      const error = deathOf(reason, options);
      // A failed start is the failure of one that waits: another start would fail in the same way.
      if (!thread.ready && threads.has(thread)) waiting.shift()?.settle({ error });
      end(thread, error);
    });
  };
  /** Gives waiting calls to idle threads, and starts threads for those that remain. */
  const feed = () => {
    for (const thread of threads)
      if (thread.ready && thread.current === undefined && waiting.length > 0) give(thread);
    for (let missing = threadsMissing(threads, waiting.length, options.threads); missing > 0; missing--)
      start();
  };

  return {
    call(input, { signal, onProgress } = {}) {
      return new Promise<Output>((resolve, reject) => {
        if (closed) return reject(stopping(options));
        if (signal?.aborted) return reject(callerGone(options));
        if (waiting.length >= options.waitingMax + idleOf(threads, options.threads))
          return reject(tooMany(options));
        const open: Open = {
          input,
          onProgress: onProgress as Open['onProgress'],
          settle(result) {
            signal?.removeEventListener('abort', onAbort);
            if ('error' in result) reject(result.error);
            else resolve(result.value as Output);
          },
        };
        const onAbort = () => {
          const at = waiting.indexOf(open);
          if (at >= 0) {
            waiting.splice(at, 1);
            return open.settle({ error: callerGone(options) });
          }
          for (const thread of threads) if (thread.current === open) end(thread, callerGone(options));
        };
        signal?.addEventListener('abort', onAbort, { once: true });
        waiting.push(open);
        feed();
      });
    },
    async close() {
      closed = true;
      const error = stopping(options);
      for (const open of waiting.splice(0)) open.settle({ error });
      for (const thread of threads) end(thread, error);
      await Promise.all(ending);
    },
  };
}

/** The thread's side. A call ends with its thread, so `work` needs no cancellation. */
export function answerPool<Input, Progress = never>(
  work: (input: Input, progress: (progress: Progress) => void) => unknown,
): void {
  answerCalls<{ work: { ask: Input; answer: unknown } }>({ answers: { work } });
}

function openPoolThread({ file, work, memoryMiB }: ThreadPoolOptions): Thread {
  const resourceLimits = { maxOldGenerationSizeMb: memoryMiB, maxYoungGenerationSizeMb: 32 };
  const calls = openThread<PoolCalls>({ file, name: work, resourceLimits });
  return { calls, ready: false, current: undefined, stopTimer: undefined };
}

/**
 * Threads to start: one for each call that waits, less those that are starting already, within the most that
 * there may be.
 */
function threadsMissing(threads: ReadonlySet<Thread>, waiting: number, most: number): number {
  const starting = [...threads].filter(({ ready }) => !ready).length;
  return Math.min(waiting - starting, most - threads.size);
}

/** Calls that need not wait: threads that are idle or not started yet. */
function idleOf(threads: ReadonlySet<Thread>, most: number): number {
  return most - [...threads].filter((thread) => thread.current !== undefined).length;
}

/** Why a thread ended, as its caller reads it. */
function deathOf(reason: FleetError, options: ThreadPoolOptions): FleetError {
  const { exitCode } = reason.details;
  if ((reason.cause as { code?: unknown } | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY')
    return tooLarge(options);
  if (exitCode === undefined) return reason;
  return new FleetError('internal', `${options.work}: the thread ended with code ${exitCode}`);
}

function tooLarge({ work, memoryMiB }: ThreadPoolOptions): FleetError {
  return new FleetError('invalidArgument', `${work} needs more than ${memoryMiB} MiB of memory, the limit`);
}

function tooLong({ work, deadlineMs = 0 }: ThreadPoolOptions): FleetError {
  return new FleetError('invalidArgument', `${work} takes longer than ${deadlineMs / 1000} s, the limit`);
}

function tooMany({ work, threads, waitingMax }: ThreadPoolOptions): FleetError {
  return new FleetError(
    'resourceExhausted',
    `${work}: ${threads} calls are in hand and ${waitingMax} wait, the limit; try again later`,
  );
}

function stopping({ work }: ThreadPoolOptions): FleetError {
  return new FleetError('cancelled', `${work}: the program is stopping`);
}

function callerGone({ work }: ThreadPoolOptions): FleetError {
  return new FleetError('cancelled', `${work} was ended, because the caller has gone`);
}
