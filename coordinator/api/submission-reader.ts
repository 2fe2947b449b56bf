// Reads submitted texts off the event loop. Decides the bounds of one reading and how many there are at once.

import { createThreadPool } from '../../core/thread-pool.ts';
import { assertBounded, type Located, type Submission } from './submission.ts';

export interface SubmissionReader {
  /** Documents of the right shape, or a FleetError with every refusal; ended when the signal is aborted. */
  read(submission: Submission, signal?: AbortSignal): Promise<Located[]>;
  close(): Promise<void>;
}

/** The slowest texts within the limit took 1.5 s of a processor and 200 MiB when they were tried. */
const DEADLINE_MS = 20_000;
const MEMORY_MIB = 512;

export function createSubmissionReader(): SubmissionReader {
  const calls = createThreadPool<Submission, Located[]>({
    file: new URL('./submission-thread.ts', import.meta.url),
    work: 'reading the text',
    threads: 2,
    waitingMax: 100,
    memoryMiB: MEMORY_MIB,
    deadlineMs: DEADLINE_MS,
  });
  return {
    async read({ yaml, baseDir, overrides }, signal) {
      const submission = { yaml, baseDir, overrides: { ...overrides } };
      assertBounded(submission);
      return calls.call(submission, signal === undefined ? {} : { signal });
    },
    close: calls.close,
  };
}
