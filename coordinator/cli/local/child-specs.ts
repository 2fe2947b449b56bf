// The child processes of a fleet on one machine: which program each runs, with which environment and log.
// Pure.

import { delimiter, join } from 'node:path';
import { NATS_ENVIRONMENT } from '../../../core/net/nats-binary.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { addressesOf } from '../../../core/text/host-port.ts';
import type { KeptKeys } from './broker-keys-folder.ts';
import { type FleetFile, tokensFilePath } from './fleet-file.ts';
import { type ProgramCommand, programCommand } from './program-command.ts';
import type { ChildSpec } from './supervise.ts';
import type { WorkerPlaces } from './worker-places.ts';

const NO_BROKER_IDENTITY = {
  POCKETFLEET_NATS_TOKEN: '',
  POCKETFLEET_NATS_USER: '',
  POCKETFLEET_NATS_CREDENTIALS_FILE: '',
} as const;

/** The broker, the coordinators and the workers as processes, in the order in which they are started. */
export function childSpecs(start: {
  readonly dir: string;
  readonly file: FleetFile;
  readonly dataRoots: readonly string[];
  /** Path of the nats-server program, and of its configuration. */
  readonly natsServer: string;
  readonly natsConfig: string;
  readonly keys: Pick<KeptKeys, 'coordinatorFile' | 'workersFile'>;
  readonly places: WorkerPlaces['environments'];
  /** With which the workers attach. */
  readonly workerToken: string;
}) {
  const { dir, file, dataRoots, places, workerToken } = start;
  const common = (name: string) => ({
    name,
    cwd: PACKAGE_ROOT,
    logFile: join(dir, 'logs', `${name}.log`),
  });
  const roots: Record<string, string> =
    dataRoots.length > 0 ? { POCKETFLEET_DATA_ROOTS: dataRoots.join(delimiter) } : {};
  const spec = (name: string, program: ProgramCommand, env: Record<string, string>): ChildSpec => ({
    ...common(name),
    ...program,
    // A file that the user's environment names is for the user's own calls, as is an identity on a broker.
    env: { ...NO_BROKER_IDENTITY, ...env, POCKETFLEET_TOKEN_FILE: '' },
  });
  const broker: ChildSpec = {
    ...common('nats'),
    command: start.natsServer,
    args: ['--config', start.natsConfig],
    env: NATS_ENVIRONMENT,
  };
  const addresses = addressesOf(file.coordinator);
  const metrics = addressesOf(file.metrics);
  const coordinators = addresses.map((address, i) =>
    spec(addresses.length === 1 ? 'coordinator' : `coordinator-${i + 1}`, programCommand('coordinator'), {
      POCKETFLEET_FLEET: file.fleet,
      POCKETFLEET_LISTEN: address,
      POCKETFLEET_METRICS_LISTEN: metrics[i]!,
      POCKETFLEET_NATS_URL: file.natsUrl,
      POCKETFLEET_NATS_CREDENTIALS_FILE: start.keys.coordinatorFile,
      POCKETFLEET_NATS_WORKERS_SEED_FILE: start.keys.workersFile,
      POCKETFLEET_STORE_DIR: join(dir, 'nats'),
      POCKETFLEET_TOKEN: file.token,
      POCKETFLEET_WORKER_TOKEN: workerToken,
      POCKETFLEET_WORKER_TOKEN_FILE: '',
      POCKETFLEET_TOKENS_FILE: tokensFilePath(dir),
    }),
  );
  const workers = places.map((place, i) =>
    spec(`worker-${i + 1}`, programCommand('worker'), {
      ...workerEnvironment(i, file),
      ...{ ...roots, ...place },
      POCKETFLEET_TOKEN: workerToken,
    }),
  );
  return { broker, coordinators, workers };
}

/**
 * One thread a worker: two workers of one thread are 1.4 times as fast as one of two, and the bits do not
 * depend on the machine.
 */
function workerEnvironment(index: number, file: FleetFile): Record<string, string> {
  return {
    POCKETFLEET_ID: `worker-${index + 1}`,
    POCKETFLEET_FLEET: file.fleet,
    POCKETFLEET_COORDINATOR: file.coordinator,
    POCKETFLEET_NATS_URL: file.natsUrl,
    POCKETFLEET_THREADS: '1',
    POCKETFLEET_METRICS_LISTEN: '127.0.0.1:0',
    // TensorFlow reads these when the process starts, so the worker itself cannot set them.
    TF_CPP_MIN_LOG_LEVEL: '2',
    TF_NUM_INTRAOP_THREADS: '1',
    TF_NUM_INTEROP_THREADS: '1',
    OMP_NUM_THREADS: '1',
  };
}
