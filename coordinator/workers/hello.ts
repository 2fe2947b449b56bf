// The first report of a worker: which process dials. Decides what a well-formed one is: each of its texts
// becomes a subject, a label or a cell of a table, so each has a form and a length. A worker of another fleet
// is refused: it would train under the names of this one.

import { z } from 'zod';
import { FleetError } from '../../core/errors.ts';
import { PROTOCOL } from '../../core/net/protocol.ts';
import { USER_KEY } from '../../core/net/worker-user.ts';
import { shaped } from '../../core/text/shape.ts';
import { FLEET_NAME, FLEET_NAME_WORDS, WORKER_ID, WORKER_ID_WORDS } from '../../core/text/wire-text.ts';
import { ENGINE_DEVICES_MAX, workerLabels } from '../../core/worker-kinds.ts';
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
    id: line(128).optional(),
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
    devices: z
      .array(z.object({ id: line(128), memoryBytes: z.number().min(0) }))
      .max(ENGINE_DEVICES_MAX)
      .optional(),
  }),
  slots: z.int().min(1).max(1024),
  labels: workerLabels
    .refine((all) => Object.keys(all).length <= 32, { error: 'at most 32 labels' })
    .optional(),
  leases: z.array(z.object({ runId: id, generation: z.int() })).max(4096),
  metricsEndpoint: line(300),
  podUid: line(64),
  ageSeconds: z.number().min(0).optional(),
  code: z
    .string()
    .regex(/^[0-9a-f]{8,64}$/, 'hexadecimal digits, 8 to 64')
    .optional(),
  protocol: z.int().min(0),
  fleet: z.union([z.literal(''), z.string().regex(FLEET_NAME, FLEET_NAME_WORDS)]),
});

const keySchema = z.object({
  brokerKey: z.string().regex(USER_KEY, 'the public half of a user nkey (U...)').optional(),
});

/** The key that the rights on the broker are signed for; undefined: the worker has a user of its own there. */
export const brokerKeyOf = (hello: Hello): string | undefined => shaped(keySchema, hello, 'hello').brokerKey;

/**
 * The hello to fleet `own` in domain types. Throws `invalidArgument` with every field that is wrong, and when
 * the worker speaks another protocol or belongs to another fleet.
 */
export function helloOf(hello: Hello, own: string): WorkerHello {
  const { device, fleet, protocol, labels: named = {}, code, ...rest } = shaped(helloSchema, hello, 'hello');
  if (protocol !== PROTOCOL)
    throw new FleetError(
      'invalidArgument',
      `hello.protocol: ${rest.workerId} (release ${rest.version}) speaks protocol ${protocol} and this coordinator ${PROTOCOL}; start worker and coordinator from one release`,
      { details: { field: 'hello.protocol' } },
    );
  if (fleet !== '' && fleet !== own)
    throw new FleetError(
      'invalidArgument',
      `hello.fleet: this is the coordinator of fleet ${own}, and ${rest.workerId} belongs to fleet ${fleet}; give it the endpoint of that fleet (POCKETFLEET_COORDINATOR), or the name ${own} (POCKETFLEET_FLEET)`,
      { details: { field: 'hello.fleet' } },
    );
  const { kind, name, deviceClass, memoryBytes, gpu, devices = [] } = device;
  const deviceId = device.id || gpu?.uuid || rest.workerId;
  const details = { name, memoryBytes, devices, ...(gpu === undefined ? {} : { gpu }) };
  const labelled = Object.keys(named).length === 0 ? {} : { labels: named };
  return {
    ...{ ...rest, ...labelled, ...(code === undefined ? {} : { code }) },
    ...{ deviceKind: kind, deviceName: name, deviceClass, deviceId, device: details },
  };
}
