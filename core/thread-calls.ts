// Calls to one worker thread: numbered questions with one answer each, and notes without answer in both
// directions. Decides how an answer finds its caller, how a failure crosses (structured cloning keeps no
// error class, so code, sentence and details travel as data), and that the end of the thread rejects every
// open call, because nobody else would.
//
// Both sides post what they are given and nothing around it is copied: memory that is shared stays shared,
// and a side that hands buffers over names them as `transfer`. The order of messages is the port's, so a note
// that is sent before a call arrives before it.

import { parentPort, type ResourceLimits, type Worker } from 'node:worker_threads';
import { systemClock } from './clock.ts';
import { createDeferred, type Deferred } from './deferred.ts';
import { type Code, FleetError, toFleetError } from './errors.ts';
import { startThread } from './thread.ts';

/** What can be asked of a thread: for each kind of call what goes with it, and what it gives. */
export type Calls = Readonly<Record<string, { readonly ask: unknown; readonly answer: unknown }>>;

/** One thread as a caller sees it. `ToNote`: messages to the thread that want no answer. */
export interface CallThread<C extends Calls, ToNote = never, Beside = never> {
  /**
   * Calls may overlap; the thread answers in whatever order it likes. Rejected with the thread's own
   * FleetError, with the reason of the thread's end, or with the signal's reason: then the thread goes on,
   * and its answer is dropped.
   */
  call<K extends keyof C & string>(
    kind: K,
    ask: C[K]['ask'],
    options?: CallOptions<Beside>,
  ): Promise<C[K]['answer']>;
  note(note: ToNote): void;
  /** Calls without an answer yet. */
  open(): number;
  /** Whether the thread holds up a process that wants to end; it does until `unref`. */
  ref(): void;
  unref(): void;
  /** Why there is no thread any more; undefined while it lives. */
  ended(): FleetError | undefined;
  /** Resolves when the thread's module is loaded and answers; never, where it ends before. */
  readonly ready: Promise<void>;
  /**
   * Resolves with the reason when the thread ended without being asked to. `details.exitCode`: it ended by
   * itself, with this code.
   */
  readonly died: Promise<FleetError>;
  /** Ends the thread; open calls are rejected as cancelled. */
  close(): Promise<void>;
}

export interface CallOptions<Beside = never> {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: unknown) => void) | undefined;
  /** Called with what the thread sends beside each end of a call, before the promise settles. */
  readonly onEnd?: (beside: Beside) => void;
}

type ToThread =
  | { readonly id: number; readonly call: string; readonly ask: unknown }
  | { readonly note: unknown };

type FromThread =
  | { readonly kind: 'ready' }
  | { readonly kind: 'note'; readonly note: unknown }
  | { readonly kind: 'progress'; readonly id: number; readonly progress: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: unknown; readonly beside: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly failure: Failure; readonly beside: unknown };

interface Failure {
  readonly code: Code;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  /** Of a mistake in the program; a refusal has none. */
  readonly stack: string | undefined;
}

interface OpenCall {
  readonly settled: Deferred<unknown>;
  readonly onProgress: ((progress: unknown) => void) | undefined;
  readonly onEnd: ((beside: never) => void) | undefined;
}

/** Starts a thread whose module calls `answerCalls`. */
export function openThread<C extends Calls, ToNote = never, FromNote = never, Beside = never>(options: {
  /** Module of the thread, as `new URL('./name.ts', import.meta.url)`. */
  readonly file: URL;
  /** What sentences call it: "compute thread". */
  readonly name: string;
  readonly workerData?: unknown;
  readonly resourceLimits?: ResourceLimits;
  readonly onNote?: (note: FromNote) => void;
}): CallThread<C, ToNote, Beside> {
  const { file, name, workerData, resourceLimits } = options;
  const worker: Worker = startThread(file, { name, workerData, ...(resourceLimits && { resourceLimits }) });
  const calls = new Map<number, OpenCall>();
  const ready = createDeferred<void>();
  const died = createDeferred<FleetError>();
  let nextId = 1;
  let ended: FleetError | undefined;
  let closing = false;

  const end = (error: FleetError) => {
    if (ended !== undefined) return;
    ended = error;
    for (const { settled } of calls.values()) settled.reject(error);
    calls.clear();
    if (!closing) died.resolve(error);
  };
  worker.on('message', (message: FromThread) => {
    if (message.kind === 'ready') return ready.resolve();
    if (message.kind === 'note') return options.onNote?.(message.note as FromNote);
    const open = calls.get(message.id);
    if (message.kind === 'progress') return open?.onProgress?.(message.progress);
    calls.delete(message.id);
    open?.onEnd?.(message.beside as never);
    if (message.kind === 'answer') open?.settled.resolve(message.answer);
    else open?.settled.reject(errorOf(message.failure));
  });
  worker.on('error', (caught) => end(toFleetError(caught, name)));
  worker.on('exit', (exitCode) =>
    end(
      closing
        ? new FleetError('cancelled', `the ${name} was closed`)
        : new FleetError('internal', `the ${name} ended with exit code ${exitCode}`, {
            details: { exitCode },
          }),
    ),
  );

  return {
    call(kind, ask, { signal, onProgress, onEnd } = {}) {
      const settled = createDeferred<unknown>();
      if (ended !== undefined) settled.reject(ended);
      else if (signal?.aborted) settled.reject(signal.reason);
      else {
        const id = nextId++;
        calls.set(id, { settled, onProgress, onEnd });
        worker.postMessage({ id, call: kind, ask } satisfies ToThread);
        if (signal !== undefined) followSignal(signal, settled);
      }
      return settled.promise;
    },
    note: (note) => worker.postMessage({ note } satisfies ToThread),
    open: () => calls.size,
    ended: () => ended,
    ref: () => worker.ref(),
    unref: () => worker.unref(),
    ready: ready.promise,
    died: died.promise,
    async close() {
      closing = true;
      await worker.terminate();
    },
  };
}

/**
 * The call stays in the table until the thread has answered, as it counts among those that keep the thread
 * busy.
 */
function followSignal(signal: AbortSignal, { promise, reject }: Deferred<unknown>): void {
  const onAbort = () => reject(signal.reason);
  const forget = () => signal.removeEventListener('abort', onAbort);
  signal.addEventListener('abort', onAbort, { once: true });
  promise.then(forget, forget);
}

/** What a thread does with the calls and notes that reach it. */
export interface Answering<C extends Calls, ToNote = never, Beside = never> {
  /**
   * By kind. What a function throws or rejects with fails its call; a foreign error counts as a mistake in
   * the program.
   */
  readonly answers: {
    readonly [K in keyof C]: (
      ask: C[K]['ask'],
      progress: (progress: unknown) => void,
    ) => C[K]['answer'] | Promise<C[K]['answer']>;
  };
  readonly onNote?: (note: ToNote) => void;
  /** Memory of an answer that moves to the caller instead of being copied. */
  readonly transfer?: (answer: C[keyof C]['answer']) => readonly ArrayBuffer[];
  /** The failure that crosses for one that was caught; by default the error family's own judgement. */
  readonly explain?: (caught: unknown) => FleetError;
  /** What goes with each end of a call; `busyMs`: milliseconds since the thread took it. */
  readonly beside?: (busyMs: number) => Beside;
}

/**
 * The thread's side: takes calls as they come, and returns the way to send notes. Called once, when the
 * module is loaded.
 */
export function answerCalls<C extends Calls, ToNote = never, FromNote = never, Beside = never>(
  answering: Answering<C, ToNote, Beside>,
): (note: FromNote) => void {
  const port = parentPort;
  if (port === null) throw new Error('assertion: this module runs as a thread');
  const post = (message: FromThread, transfer: readonly ArrayBuffer[] = []): void =>
    port.postMessage(message, transfer);
  const { answers, onNote, transfer, beside, explain = toFleetError } = answering;

  const take = ({ id, call, ask }: Extract<ToThread, { id: number }>): void => {
    const startedAt = systemClock.monotonic();
    const besides = () => beside?.(systemClock.monotonic() - startedAt);
    const fail = (caught: unknown) =>
      post({ kind: 'failed', id, failure: failureOf(explain(caught)), beside: besides() });
    const succeed = (answer: C[keyof C]['answer']) => {
      try {
        post({ kind: 'answer', id, answer, beside: besides() }, transfer?.(answer));
      } catch (caught) {
        // An answer that cannot be cloned must not end the thread, nor leave its caller waiting.
        fail(caught);
      }
    };
    try {
      const answer = answers[call as keyof C](ask, (progress) => post({ kind: 'progress', id, progress }));
      // An answer that is there already is sent in this turn: the next message of the port may be long work.
      if (answer instanceof Promise) answer.then(succeed, fail);
      else succeed(answer as C[keyof C]['answer']);
    } catch (caught) {
      fail(caught);
    }
  };
  port.on('message', (message: ToThread) => {
    if ('id' in message) take(message);
    else onNote?.(message.note as ToNote);
  });
  post({ kind: 'ready' });
  return (note) => post({ kind: 'note', note });
}

function failureOf({ code, message, details, cause }: FleetError): Failure {
  const stack = code === 'internal' && cause instanceof Error ? cause.stack : undefined;
  return { code, message, details: cloneable(details), stack };
}

/** Details travel as data; an entry that cannot be cloned is left out. */
function cloneable(details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const isCloneable = ([, value]: [string, unknown]): boolean => {
    try {
      structuredClone(value);
      return true;
    } catch {
      return false;
    }
  };
  return Object.fromEntries(Object.entries(details).filter(isCloneable));
}

function errorOf({ code, message, details, stack }: Failure): FleetError {
  const cause = stack === undefined ? undefined : Object.assign(new Error(message), { stack });
  return new FleetError(code, message, { details: { ...details }, cause });
}
