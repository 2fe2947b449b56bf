// The threads that make pixels, and what waits for them: one job a thread at a time, wanted jobs before those begun ahead. Decides that
// order and what happens to open jobs when a thread ends; what is begun ahead is loader.ts', how a job is done loader-thread.ts'.

import type { Worker } from 'node:worker_threads';
import { FleetError, toFleetError } from '../../errors.ts';
import type { DataSpec } from '../../spec/data.ts';
import type { Roots } from '../../system/file-access.ts';
import { startThread } from '../../thread.ts';
import type { RecordTable } from '../packs/record-table.ts';
import type { Answer, Job } from './loader-messages.ts';
import type { LoaderThreadData } from './loader-thread.ts';

export interface DataThreads {
  /** More threads; `table`: what one of those that run has found out about a pack. */
  start(count: number, table: RecordTable | undefined): void;
  /** `ahead`: nobody waits for it yet. Rejected when the job fails, and as cancelled after close. */
  ask(job: Job, ahead: boolean): Promise<Answer>;
  /** A job asked for ahead is now wanted. */
  promote(job: Job): void;
  /** A job asked for ahead is not wanted any more; one already begun is finished all the same. */
  withdraw(job: Job): void;
  close(): Promise<void>;
}

interface Waiting {
  readonly job: Job;
  ahead: boolean;
  resolve(answer: Answer): void;
  reject(error: FleetError): void;
}

interface Thread {
  readonly worker: Worker;
  current: Waiting | undefined;
}

export function startDataThreads(options: {
  data: DataSpec;
  /** Folder of what was found out about data sets; empty: nothing is kept. */
  cacheDir: string;
  /** Decoded images that each thread keeps. */
  cacheBytes: number;
  roots: Roots;
}): DataThreads {
  const queue: Waiting[] = [];
  const threads: Thread[] = [];
  let ended: FleetError | undefined;

  const feed = (thread: Thread) => {
    if (thread.current !== undefined || queue.length === 0) return;
    const wanted = queue.findIndex((waiting) => !waiting.ahead);
    const [next] = queue.splice(Math.max(0, wanted), 1);
    thread.current = next;
    thread.worker.postMessage(next!.job);
  };
  const finish = (thread: Thread, answer: Answer) => {
    const { current } = thread;
    thread.current = undefined;
    if (answer.kind === 'failed')
      current?.reject(new FleetError(answer.code, answer.message, { details: answer.details }));
    else current?.resolve(answer);
    feed(thread);
  };
  const end = (error: FleetError) => {
    ended ??= error;
    const open = [...threads.flatMap((thread) => thread.current ?? []), ...queue.splice(0)];
    for (const thread of threads) thread.current = undefined;
    for (const waiting of open) waiting.reject(ended);
  };

  const start = (table: RecordTable | undefined) => {
    const worker = startThread(new URL('./loader-thread.ts', import.meta.url), {
      name: 'data',
      workerData: { ...options, table } satisfies LoaderThreadData,
    });
    const thread: Thread = { worker, current: undefined };
    worker.on('message', (answer: Answer) => finish(thread, answer));
    worker.on('error', (caught) => end(toFleetError(caught, 'data thread')));
    worker.on('exit', (code) => end(new FleetError('internal', `the data thread ended with code ${code}`)));
    threads.push(thread);
    feed(thread);
  };

  return {
    start(count, table) {
      for (let i = 0; i < count; i++) start(table);
    },
    ask: (job, ahead) =>
      new Promise((resolve, reject) => {
        if (ended) return reject(ended);
        queue.push({ job, ahead, resolve, reject });
        for (const thread of threads) feed(thread);
      }),
    promote(job) {
      for (const waiting of queue) if (waiting.job === job) waiting.ahead = false;
    },
    withdraw(job) {
      const at = queue.findIndex((waiting) => waiting.job === job && waiting.ahead);
      if (at >= 0) queue.splice(at, 1);
    },
    async close() {
      end(new FleetError('cancelled', 'the loader is closed'));
      await Promise.all(threads.map((thread) => thread.worker.terminate()));
    },
  };
}
