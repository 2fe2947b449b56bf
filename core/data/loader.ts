// Batches of pixels, made ahead of the step that needs them in threads of their own. Decides what is made next: what somebody
// waits for goes first, and the step after each one asked for is begun unasked, within a bound. Which images a batch holds is
// sampler.ts', making it is loader-thread.ts'. The main thread only passes buffers on.

import type { Worker } from 'node:worker_threads';
import { FleetError, toFleetError } from '../errors.ts';
import type { Schedule } from '../schedule.ts';
import type { DataSpec } from '../spec.ts';
import { startThread } from '../thread.ts';
import type { DataFacts } from './inspect.ts';
import type { Answer, Job } from './loader-thread.ts';
import { IMAGE_BYTES } from './pixels.ts';

export interface BatchRequest {
  readonly schedule: Schedule;
  readonly seed: number;
  /** The run's augmentation switch. */
  readonly flip: boolean;
  readonly step: number;
  readonly shard: number;
}

/** Images [b, 112, 112, 3] and labels [b] of one shard of one step; the buffers belong to the receiver. */
export interface Batch {
  readonly images: Uint8Array;
  readonly labels: Int32Array;
}

export interface Loader {
  readonly facts: DataFacts;
  batch(request: BatchRequest): Promise<Batch>;
  /** Begins batches that will be asked for soon; those beyond the bound are left out. */
  prefetch(requests: readonly BatchRequest[]): void;
  /** Held-out images from..from+count-1, unmirrored: [count, 112, 112, 3]. */
  heldOutImages(from: number, count: number): Promise<Uint8Array>;
  heldOutLabels(): Promise<Int32Array>;
  /** Ends the threads; what is still asked for is rejected as cancelled. */
  close(): Promise<void>;
}

interface Waiting {
  readonly job: Job;
  readonly ahead: boolean;
  resolve(answer: Answer): void;
  reject(error: FleetError): void;
}

interface Thread {
  readonly worker: Worker;
  current: Waiting | undefined;
}

/** `threads`: default 1; `aheadBytes`: batches begun or finished that nobody asked for yet; `cacheBytes`: decoded images kept by all threads together. */
export async function createLoader(options: {
  data: DataSpec;
  threads?: number;
  aheadBytes?: number;
  cacheBytes?: number;
}): Promise<Loader> {
  const { threads: threadCount = 1, aheadBytes = 256 * 2 ** 20, cacheBytes = 512 * 2 ** 20 } = options;
  const queue: Waiting[] = [];
  const ahead = new Map<string, Promise<Answer>>();
  let ended: FleetError | undefined;

  function ask(job: Job, isAhead: boolean): Promise<Answer> {
    if (ended) return Promise.reject(ended);
    return new Promise((resolve, reject) => {
      queue.push({ job, ahead: isAhead, resolve, reject });
      for (const thread of threads) feed(thread);
    });
  }

  function feed(thread: Thread): void {
    if (thread.current !== undefined || queue.length === 0) return;
    const wanted = queue.findIndex((waiting) => !waiting.ahead);
    const [next] = queue.splice(Math.max(0, wanted), 1);
    thread.current = next;
    thread.worker.postMessage(next!.job);
  }

  function end(error: FleetError): void {
    ended ??= error;
    for (const thread of threads) {
      thread.current?.reject(ended);
      thread.current = undefined;
    }
    for (const waiting of queue.splice(0)) waiting.reject(ended);
  }

  const threads = Array.from({ length: threadCount }, (): Thread => {
    const worker = startThread(new URL('./loader-thread.ts', import.meta.url), {
      name: 'data',
      workerData: { data: options.data, cacheBytes: Math.floor(cacheBytes / threadCount) },
    });
    const thread: Thread = { worker, current: undefined };
    worker.on('message', (answer: Answer) => {
      const { current } = thread;
      thread.current = undefined;
      if (answer.kind === 'failed')
        current?.reject(new FleetError(answer.code, answer.message, { details: answer.details }));
      else current?.resolve(answer);
      feed(thread);
    });
    worker.on('error', (caught) => end(toFleetError(caught, 'data thread')));
    worker.on('exit', (code) => end(new FleetError('internal', `the data thread ended with code ${code}`)));
    return thread;
  });

  const close = async () => {
    end(new FleetError('cancelled', 'the loader is closed'));
    ahead.clear();
    await Promise.all(threads.map((thread) => thread.worker.terminate()));
  };

  function forget(key: string): void {
    ahead.delete(key);
    const at = positionOf(queue, key);
    if (at >= 0) queue.splice(at, 1);
  }

  function prefetch(requests: readonly BatchRequest[]): void {
    for (const request of requests) {
      const key = keyOf(request);
      if (ended || request.step >= request.schedule.stepsTotal || ahead.has(key)) continue;
      const batchBytes = (request.schedule.batch / request.schedule.shards) * IMAGE_BYTES;
      // A run that ended or lost a shard leaves batches that nobody will fetch; the oldest make room, or they would for ever
      // take the place of useful ones.
      if (ahead.size > 0 && (ahead.size + 1) * batchBytes > aheadBytes) forget(ahead.keys().next().value!);
      const made = ask({ kind: 'batch', request }, true);
      // A failure is told to whoever asks for the batch; unasked, it must not end the process.
      made.catch(() => undefined);
      ahead.set(key, made);
    }
  }

  async function batch(request: BatchRequest): Promise<Batch> {
    const key = keyOf(request);
    const made = ahead.get(key);
    ahead.delete(key);
    promote(queue, key);
    const answer = made ?? ask({ kind: 'batch', request }, false);
    prefetch([{ ...request, step: request.step + 1 }]);
    const done = await answer;
    if (done.kind !== 'batch') throw new FleetError('internal', `the data thread answered ${done.kind}`);
    return { images: done.images, labels: done.labels };
  }

  try {
    const opened = await ask({ kind: 'facts' }, false);
    if (opened.kind !== 'facts') throw new FleetError('internal', `the data thread answered ${opened.kind}`);
    return {
      facts: opened.facts,
      batch,
      prefetch,
      async heldOutImages(from, count) {
        const answer = await ask({ kind: 'held-out', from, count }, false);
        if (answer.kind !== 'held-out') throw new FleetError('internal', `answered ${answer.kind}`);
        return answer.images;
      },
      heldOutLabels: async () => opened.heldOutLabels,
      close,
    };
  } catch (caught) {
    await close();
    throw caught;
  }
}

/** A batch that was begun ahead and is now waited for must not queue behind others that nobody waits for. */
function promote(queue: Waiting[], key: string): void {
  const at = positionOf(queue, key);
  if (at >= 0) queue[at] = { ...queue[at]!, ahead: false };
}

/** Where a batch that nobody waits for stands in the queue, or -1. */
function positionOf(queue: readonly Waiting[], key: string): number {
  return queue.findIndex(
    (waiting) => waiting.ahead && waiting.job.kind === 'batch' && keyOf(waiting.job.request) === key,
  );
}

function keyOf({ schedule, seed, flip, step, shard }: BatchRequest): string {
  return [schedule.images, schedule.batch, schedule.shards, seed, flip, step, shard].join('/');
}
