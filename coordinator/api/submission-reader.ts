// Reads submitted texts in threads, off the event loop: what a text costs is a stranger's choice. Decides how
// long one reading may take, how much memory it may use, and how many there are at once.

import { createThreadPool } from '../../core/thread-pool.ts';
import { assertBounded, type Located, type Submission } from './submission.ts';

/** Reads texts, several at a time. */
export interface SubmissionReader {
  /** Documents of the right shape, or a FleetError with every refusal; ended when the signal is aborted. */
  read(submission: Submission, signal?: AbortSignal): Promise<Located[]>;
  close(): Promise<void>;
}

/**
 * Bounds of one reading. The slowest texts within the size limit that were tried took 1.5 s of a processor
 * and 200 MiB.
 */
const DEADLINE_MS = 20_000;
const MEMORY_MIB = 512;

/** Starts no thread before the first text; the caller closes it. `deadlineMs`: of one reading. */
export function createSubmissionReader(deadlineMs = DEADLINE_MS): SubmissionReader {
  const calls = createThreadPool<Submission, Located[]>({
    file: new URL('./submission-thread.ts', import.meta.url),
    work: 'reading the text',
    threads: 2,
    waitingMax: 100,
    memoryMiB: MEMORY_MIB,
    deadlineMs,
  });
  return {
    async read({ yaml, baseDir, overrides, fresh = false, imports }, signal) {
      const submission = {
        yaml,
        baseDir,
        overrides: { ...overrides },
        fresh,
        ...(imports && { imports: { runIds: { ...imports.runIds } } }),
      };
      assertBounded(submission);
      return calls.call(submission, signal === undefined ? {} : { signal });
    },
    close: calls.close,
  };
}
