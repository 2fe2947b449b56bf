// Which workers a fleet can have, beside those that are there: what its administrator declares, so that what no worker
// can ever be is refused at the submit.

import { z } from 'zod';
import { yamlSetting } from './text/yaml-setting.ts';

/** What workers compute on: a CPU, or a GPU of NVIDIA, of AMD (ROCm), of Intel (oneAPI). */
export const DEVICE_KINDS = ['cpu', 'cuda', 'rocm', 'oneapi'] as const;

/** As many devices of one kind as a worker computes on at most. */
export const ENGINE_DEVICES_MAX = 64;

/** The name of a label, or its value. */
const workerLabel = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/,
    'letters, digits, . _ / -, at most 63, starting with a letter or digit',
  );

/** The labels of a worker by name. */
export const workerLabels = z.record(workerLabel, workerLabel);

const workerKind = z.strictObject({
  deviceKind: z.enum(DEVICE_KINDS),
  /** Memory of its device, GB of 10^9 bytes; absent: any. */
  memoryGb: z.number().positive().optional(),
  /** All labels that it has; `*` in the place of a value stands for any. */
  labels: z.record(workerLabel, z.union([z.literal('*'), workerLabel])).default({}),
});

/** What a worker can be. */
export type WorkerKind = z.infer<typeof workerKind>;

/** Kinds of workers as a list, or as its YAML text where settings are texts; none: a fleet can have any. */
export const workerKindsSchema = z.preprocess(
  (value) => yamlSetting(value, []),
  z.array(workerKind).max(100),
);
