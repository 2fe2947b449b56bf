// What something may use of a fleet before it has to end: worker-seconds, wall time, attempts. Without a budget nothing
// is counted. What an owner may use is a quota (core/quotas.ts).

import { z } from 'zod';

const workerSeconds = z
  .number()
  .positive('a budget is above 0; leave it out for none')
  .optional()
  .describe('seconds of workers in gangs, those of all workers together');
const wallSeconds = z
  .number()
  .positive('a budget is above 0; leave it out for none')
  .optional()
  .describe('seconds since its first worker began, waits and pauses included');

/** Of a run by itself or of a plan. It fails when it has spent one of them. */
export const runBudget = z
  .strictObject({ workerSeconds, wallSeconds })
  .optional()
  .describe('What the run may use before it fails. Default: as much as it takes');

/** Of a sweep: of all its trials together, and of each. */
export const sweepBudget = z
  .strictObject({
    workerSeconds,
    wallSeconds,
    attempts: z
      .int()
      .min(1, 'a sweep needs 1 attempt at least; leave it out for any number')
      .optional()
      .describe('runs that are begun for its trials, first and further attempts'),
    trial: z
      .strictObject({ workerSeconds, wallSeconds })
      .optional()
      .describe('what each trial may use before it fails'),
  })
  .optional()
  .describe(
    'What the sweep may use; when it has, it ends with the best that it has. Default: as much as it takes',
  );

/** A checked budget of a run. */
export type RunBudget = NonNullable<z.infer<typeof runBudget>>;
