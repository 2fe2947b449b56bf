// What an owner may have of a fleet: the form of the limits in the coordinator's configuration.

import { z } from 'zod';
import { yamlSetting } from './text/yaml-setting.ts';

const quota = z.strictObject({
  /** Workers in gangs at once. */
  workers: z.int().min(1).optional(),
  /** Worker-hours within the last `windowHours`. */
  workerHours: z.number().positive().optional(),
  /** Hours within them in which it had workers, however many. */
  wallHours: z.number().positive().optional(),
  /** Runs that got workers for the first time within them: each is an attempt. */
  attempts: z.int().min(1).optional(),
  windowHours: z.int().min(1).max(168).default(24),
  /** Trials that have not ended, of all sweeps together. */
  openTrials: z.int().min(1).optional(),
});

/** The limits of one owner; absent ones do not limit. */
export type Quota = z.infer<typeof quota>;
/** Limits by owner; `*`: of each other one. */
export type Quotas = Readonly<Record<string, Quota>>;

/** Limits as a mapping, or as its YAML text where settings are texts. */
export const quotasSchema = z.preprocess(
  (value) => yamlSetting(value, {}),
  z.record(z.string().min(1).max(200), quota),
);
