// The first report of a worker: which process dials. Decides what a well-formed one is: each of its texts
// becomes a subject, a label or a cell of a table, so each has a form and a length.

import { z } from 'zod';
import { shaped } from '../../core/text/shape.ts';
import { WORKER_ID, WORKER_ID_WORDS } from '../../core/text/wire-text.ts';
import type { Hello } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { WorkerHello } from '../decisions/inputs.ts';

const id = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/, 'letters, digits, _ and -, at most 128');
/** One line of visible text. */
const line = (most: number) =>
  z
    .string()
    .max(most)
    .regex(/^\P{C}*$/u, 'visible characters alone');

const helloSchema = z.object({
  workerId: z.string().regex(WORKER_ID, WORKER_ID_WORDS),
  incarnation: id,
  version: line(64),
  host: line(253),
  pid: z.int(),
  device: z.object({
    kind: z.string().regex(/^[a-z0-9_-]{1,32}$/, 'lower-case letters, digits, _ and -, at most 32'),
    name: line(200),
    deviceClass: line(1000),
    memoryBytes: z.number().min(0),
    gpu: z
      .object({
        uuid: line(128),
        computeCapability: line(16),
        multiprocessors: z.int().min(0),
        driver: line(64),
        cudnn: line(64),
        cublas: line(64),
      })
      .optional(),
  }),
  slots: z.int().min(1).max(1024),
  leases: z.array(z.object({ runId: id, generation: z.int() })).max(4096),
  metricsEndpoint: line(300),
  podUid: line(64),
});

/** The hello in domain types. Throws `invalidArgument` with every field that is wrong. */
export function helloOf(hello: Hello): WorkerHello {
  const { device, ...rest } = shaped(helloSchema, hello, 'hello');
  const { kind, name, deviceClass, memoryBytes, gpu } = device;
  const details = { name, memoryBytes, ...(gpu === undefined ? {} : { gpu }) };
  return { ...rest, deviceKind: kind, deviceName: name, deviceClass, device: details };
}
