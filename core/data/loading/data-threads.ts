// The threads that make pixels, and the queue before them. Decides the order of work: one job a thread at a
// time, since a second one would share its memory and finish neither sooner, and jobs that somebody waits for
// before those begun ahead. When a thread ends, all that is open fails with its reason.

import { createDeferred } from '../../deferred.ts';
import { FleetError } from '../../errors.ts';
import type { DataSpec } from '../../spec/data.ts';
import type { Roots } from '../../system/file-access.ts';
import { type CallThread, openThread } from '../../thread-calls.ts';
import type { RecordTable } from '../packs/record-table.ts';
import type { Batch, BatchRequest, DataCalls } from './loader-messages.ts';
import type { LoaderThreadData } from './loader-thread.ts';

export interface DataThreads {
  /** Starts threads; `table`: what one of those that run has found out about a pack. */
  start(count: number, table: RecordTable | undefined): void;
  /** Rejected when the job fails, and as cancelled after close. */
  ask<K extends keyof DataCalls>(kind: K, what: DataCalls[K]['ask']): Promise<DataCalls[K]['answer']>;
  /** Begins a batch ahead of the step that will ask for it. */
  begin(request: BatchRequest): Begun;
  /** Whether a thread has ended, or all were closed: nothing is answered any more. */
  hasEnded(): boolean;
  close(): Promise<void>;
}

/** A job begun ahead. */
export interface Begun {
  readonly batch: Promise<Batch>;
  /** Somebody waits for it now. */
  promote(): void;
  /** It is not wanted any more; once a thread has taken it, it is finished all the same. */
  withdraw(): void;
}

interface Job {
  ahead: boolean;
  /** Never rejects. */
  perform(thread: CallThread<DataCalls>): Promise<void>;
  reject(error: FleetError): void;
}

interface Thread {
  readonly calls: CallThread<DataCalls>;
  current: Job | undefined;
}

export function startDataThreads(options: {
  data: DataSpec;
  /** Folder of what was found out about data sets; empty: nothing is kept. */
  cacheDir: string;
  /** Bytes of decoded images that each thread keeps. */
  cacheBytes: number;
  roots: Roots;
}): DataThreads {
  const queue: Job[] = [];
  const threads: Thread[] = [];
  let ended: FleetError | undefined;

  const feed = (thread: Thread) => {
    if (thread.current !== undefined || queue.length === 0) return;
    const [next] = queue.splice(placeOfNext(queue), 1);
    thread.current = next;
    void next!.perform(thread.calls).then(() => {
      thread.current = undefined;
      if (ended === undefined) feed(thread);
    });
  };
  const end = (error: FleetError) => {
    ended ??= error;
    for (const { current } of threads) current?.reject(ended);
    for (const job of queue.splice(0)) job.reject(ended);
  };
  const start = (table: RecordTable | undefined) => {
    const calls = openThread<DataCalls>({
      file: new URL('./loader-thread.ts', import.meta.url),
      name: 'data thread',
      workerData: { ...options, table } satisfies LoaderThreadData,
    });
    void calls.died.then(end);
    const thread: Thread = { calls, current: undefined };
    threads.push(thread);
    feed(thread);
  };

  function add<K extends keyof DataCalls>(kind: K, what: DataCalls[K]['ask'], ahead: boolean) {
    const settled = createDeferred<DataCalls[K]['answer']>();
    const job: Job = {
      ahead,
      perform: (thread) => thread.call(kind, what).then(settled.resolve, settled.reject),
      reject: settled.reject,
    };
    if (ended !== undefined) settled.reject(ended);
    else {
      queue.push(job);
      for (const thread of threads) feed(thread);
    }
    return { job, answer: settled.promise };
  }

  return {
    start(count, table) {
      for (let i = 0; i < count; i++) start(table);
    },
    ask: (kind, what) => add(kind, what, false).answer,
    begin(request) {
      const { job, answer } = add('batch', request, true);
      return {
        batch: answer,
        promote() {
          job.ahead = false;
        },
        withdraw() {
          const at = job.ahead ? queue.indexOf(job) : -1;
          if (at >= 0) queue.splice(at, 1);
        },
      };
    },
    hasEnded: () => ended !== undefined,
    async close() {
      end(new FleetError('cancelled', 'the loader is closed'));
      await Promise.all(threads.map(({ calls }) => calls.close()));
    },
  };
}

/** The first job that somebody waits for, else the first one. */
function placeOfNext(queue: readonly { readonly ahead: boolean }[]): number {
  return Math.max(
    0,
    queue.findIndex(({ ahead }) => !ahead),
  );
}
