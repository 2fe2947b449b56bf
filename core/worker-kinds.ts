// Which workers a fleet can have, beside those that are there: what its administrator declares, so that what no worker
// can ever be is refused at the submit.

import { z } from 'zod';
import { labels } from './spec/common.ts';
import { yamlSetting } from './text/yaml-setting.ts';

const workerKind = z.strictObject({
  deviceKind: z.enum(['cpu', 'cuda']),
  /** Memory of its device, GB of 10^9 bytes; absent: any. */
  memoryGb: z.number().positive().optional(),
  /** All labels that it has; `*` in the place of a value stands for any. */
  labels: z.record(labels.keyType, z.union([z.literal('*'), labels.valueType])).default({}),
});

/** What a worker can be. */
export type WorkerKind = z.infer<typeof workerKind>;

/** Kinds of workers as a list, or as its YAML text where settings are texts; none: a fleet can have any. */
export const workerKindsSchema = z.preprocess(
  (value) => yamlSetting(value, []),
  z.array(workerKind).max(100),
);
