// Calls to a worker thread, for work whose size a stranger chooses: it may not block the event loop, fill the memory of the
// process or outlive its caller. Decides how many calls run and wait at once, when one has used up its memory or its time, and
// that its thread is ended then, so that the next call finds a fresh one. What the work is lies in the thread's own file.

import { parentPort, type Worker } from 'node:worker_threads';
import { type Code, FleetError, toFleetError } from './errors.ts';
import { startThread } from './thread.ts';

export interface ThreadCallOptions {
  /** Module of the thread, as `new URL('./name.ts', import.meta.url)`; it calls `answerThreadCalls`. */
  readonly file: URL;
  /** What the work is, for sentences: "reading the text". */
  readonly work: string;
  /** Calls at once, each in a thread of its own. */
  readonly threads: number;
  /** Calls that may wait for a thread; one more is refused as resourceExhausted. */
  readonly waitingMax: number;
  /** JavaScript heap of a thread, MiB; buffers of pixels and files are outside of it. */
  readonly memoryMiB: number;
  /** Milliseconds of one call, counted from when a thread takes it; absent: without an end, for work that reports progress. */
  readonly deadlineMs?: number;
  /** A thread without work is kept this long for the next call, milliseconds. */
  readonly idleMs?: number;
}

export interface ThreadCalls<Input, Output, Progress = never> {
  /** Rejected with the thread's own FleetError, with a limit's sentence, or as `cancelled` when the signal is aborted. */
  call(
    input: Input,
    options?: { readonly signal?: AbortSignal; readonly onProgress?: (progress: Progress) => void },
  ): Promise<Output>;
  /** Ends every thread; open calls are rejected as cancelled. */
  close(): Promise<void>;
}

/** What a thread sends; `ready` once, then for each call any progress and one end. */
type FromThread =
  | { readonly kind: 'ready' }
  | { readonly kind: 'progress'; readonly progress: unknown }
  | { readonly kind: 'answer'; readonly value: unknown }
  | {
      readonly kind: 'failed';
      readonly code: Code;
      readonly message: string;
      readonly details: Record<string, unknown>;
      /** Of a mistake in the program; a refusal has none. */
      readonly stack: string | undefined;
    };

interface Open {
  readonly input: unknown;
  readonly onProgress: ((progress: unknown) => void) | undefined;
  settle(result: { value: unknown } | { error: FleetError }): void;
}

interface Thread {
  readonly worker: Worker;
  ready: boolean;
  current: Open | undefined;
  timer: NodeJS.Timeout | undefined;
}

const IDLE_MS = 30_000;

export function createThreadCalls<Input, Output, Progress = never>(
  options: ThreadCallOptions,
): ThreadCalls<Input, Output, Progress> {
  const threads = new Set<Thread>();
  const ending = new Set<Promise<unknown>>();
  const waiting: Open[] = [];
  let closed = false;

  const end = (thread: Thread, error?: FleetError) => {
    if (!threads.delete(thread)) return;
    clearTimeout(thread.timer);
    const ended = thread.worker.terminate();
    ending.add(ended);
    void ended.finally(() => ending.delete(ended));
    if (error !== undefined) thread.current?.settle({ error });
    thread.current = undefined;
    feed();
  };
  const give = (thread: Thread) => {
    clearTimeout(thread.timer);
    thread.timer = undefined;
    const next = waiting.shift();
    thread.current = next;
    if (next === undefined) {
      // A thread that only waits for work holds up no process that wants to end.
      thread.worker.unref();
      thread.timer = setTimeout(() => end(thread), options.idleMs ?? IDLE_MS).unref();
      return;
    }
    thread.worker.ref();
    thread.worker.postMessage(next.input);
    if (options.deadlineMs !== undefined)
      thread.timer = setTimeout(() => end(thread, tooLong(options)), options.deadlineMs);
  };
  const take = (thread: Thread, message: FromThread) => {
    if (!threads.has(thread)) return;
    if (message.kind === 'ready') {
      thread.ready = true;
      return give(thread);
    }
    if (message.kind === 'progress') return thread.current?.onProgress?.(message.progress);
    thread.current?.settle(
      message.kind === 'answer' ? { value: message.value } : { error: errorOf(message) },
    );
    give(thread);
  };
  const start = () => {
    const worker = startThread(options.file, {
      name: options.work,
      resourceLimits: { maxOldGenerationSizeMb: options.memoryMiB, maxYoungGenerationSizeMb: 32 },
    });
    const thread: Thread = { worker, ready: false, current: undefined, timer: undefined };
    threads.add(thread);
    const failed = (error: FleetError) => {
      // A thread that does not even start is told to whoever waits; another start would fail in the same way.
      if (!thread.ready && threads.has(thread)) waiting.shift()?.settle({ error });
      end(thread, error);
    };
    worker.on('message', (message: FromThread) => take(thread, message));
    worker.on('error', (caught) =>
      failed(isOutOfMemory(caught) ? tooLarge(options) : toFleetError(caught, options.work)),
    );
    worker.on('exit', (code) =>
      failed(new FleetError('internal', `${options.work}: the thread ended with code ${code}`)),
    );
  };
  /** Gives waiting calls to idle threads, and starts threads for those that remain. */
  const feed = () => {
    for (const thread of threads)
      if (thread.ready && thread.current === undefined && waiting.length > 0) give(thread);
    const starting = [...threads].filter((thread) => !thread.ready).length;
    for (let i = starting; i < waiting.length && threads.size < options.threads; i++) start();
  };

  return {
    call(input, { signal, onProgress } = {}) {
      return new Promise<Output>((resolve, reject) => {
        if (closed) return reject(new FleetError('cancelled', `${options.work}: the program is stopping`));
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
      const error = new FleetError('cancelled', `${options.work}: the program is stopping`);
      for (const open of waiting.splice(0)) open.settle({ error });
      for (const thread of threads) end(thread, error);
      await Promise.all(ending);
    },
  };
}

/** The thread's side: answers one call after the other. A call ends with its thread, so `work` needs no cancellation. */
export function answerThreadCalls<Input, Progress = never>(
  work: (input: Input, progress: (progress: Progress) => void) => unknown,
): void {
  const port = parentPort;
  if (port === null) throw new Error('assertion: this module runs as a thread');
  const send = (message: FromThread) => port.postMessage(message);
  port.on('message', (input: Input) => {
    (async () => work(input, (progress) => send({ kind: 'progress', progress })))().then(
      (value) => send({ kind: 'answer', value }),
      (caught: unknown) => {
        const { code, message, details, cause } = toFleetError(caught);
        const stack = code === 'internal' && cause instanceof Error ? cause.stack : undefined;
        send({ kind: 'failed', code, message, details: plain(details), stack });
      },
    );
  });
  send({ kind: 'ready' });
}

/** Details travel as data; what cannot be cloned is left out. */
function plain(details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return JSON.parse(JSON.stringify(details)) as Record<string, unknown>;
}

function errorOf({ code, message, details, stack }: Extract<FromThread, { kind: 'failed' }>): FleetError {
  const cause = stack === undefined ? undefined : Object.assign(new Error(message), { stack });
  return new FleetError(code, message, { details, cause });
}

/** Calls that need not wait: threads that are idle or not started yet. */
function idleOf(threads: ReadonlySet<Thread>, most: number): number {
  return most - [...threads].filter((thread) => thread.current !== undefined).length;
}

function isOutOfMemory(caught: unknown): boolean {
  return (caught as { code?: unknown } | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY';
}

function tooLarge({ work, memoryMiB }: ThreadCallOptions): FleetError {
  return new FleetError('invalidArgument', `${work} needs more than ${memoryMiB} MiB of memory, the limit`);
}

function tooLong({ work, deadlineMs = 0 }: ThreadCallOptions): FleetError {
  return new FleetError('invalidArgument', `${work} takes longer than ${deadlineMs / 1000} s, the limit`);
}

function tooMany({ work, threads, waitingMax }: ThreadCallOptions): FleetError {
  return new FleetError(
    'resourceExhausted',
    `${work}: ${threads} calls are in hand and ${waitingMax} wait, the limit; try again later`,
  );
}

function callerGone({ work }: ThreadCallOptions): FleetError {
  return new FleetError('cancelled', `${work} was ended, because the caller has gone`);
}
