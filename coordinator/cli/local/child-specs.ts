// The child processes of a fleet on one machine: which program each runs, with which environment and log.
// Pure.

import { delimiter, join } from 'node:path';
import { NATS_ENVIRONMENT } from '../../../core/net/nats-binary.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { addressesOf } from '../../../core/text/host-port.ts';
import type { KeptKeys } from './broker-keys-folder.ts';
import { filesIn } from './certificates.ts';
import { type FleetFile, tokensFilePath } from './fleet-file.ts';
import { type ProgramCommand, programCommand } from './program-command.ts';
import type { ChildSpec } from './supervise.ts';
import type { WorkerPlaces } from './worker-places.ts';

/** What the environment of the user has for calls of its own. */
const NOT_FOR_CHILDREN = {
  POCKETFLEET_TOKEN_FILE: '',
  POCKETFLEET_TLS_CERT_FILE: '',
  POCKETFLEET_TLS_KEY_FILE: '',
  POCKETFLEET_TLS_CA_FILE: '',
  POCKETFLEET_TLS_SERVER_NAME: '',
  POCKETFLEET_NATS_CA_FILE: '',
  POCKETFLEET_NATS_CERT_FILE: '',
  POCKETFLEET_NATS_KEY_FILE: '',
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
  /** Folder of the certificates; undefined: nothing is encrypted. */
  readonly tlsDir: string | undefined;
}) {
  const { dir, file, dataRoots, places, workerToken, tlsDir } = start;
  const broker: ChildSpec = {
    ...common(dir, 'nats'),
    command: start.natsServer,
    args: ['--config', start.natsConfig],
    env: NATS_ENVIRONMENT,
  };
  const addresses = addressesOf(file.coordinator);
  const metrics = addressesOf(file.metrics);
  const coordinators = addresses.map((address, i) =>
    spec(
      dir,
      addresses.length === 1 ? 'coordinator' : `coordinator-${i + 1}`,
      programCommand('coordinator'),
      {
        ...tlsEnvironment(tlsDir, 'coordinator'),
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
      },
    ),
  );
  const workers = places.map((place, i) =>
    workerSpec({ dir, id: `worker-${i + 1}`, fleet: file, dataRoots, place, workerToken, tlsDir }),
  );
  return { broker, coordinators, workers };
}

/** A worker as a process. */
export function workerSpec(worker: {
  readonly dir: string;
  readonly id: string;
  /** What it joins; without `natsUrl` the coordinator names the broker. */
  readonly fleet: Pick<FleetFile, 'fleet' | 'coordinator'> & { readonly natsUrl?: string };
  readonly dataRoots: readonly string[];
  readonly place: WorkerPlaces['environments'][number];
  readonly workerToken: string;
  readonly tlsDir: string | undefined;
  /** host:port of its /metrics; a free port of loopback without it. */
  readonly metricsListen?: string;
}): ChildSpec {
  const { dir, id, fleet, dataRoots, place, workerToken, tlsDir, metricsListen } = worker;
  return spec(dir, id, programCommand('worker'), {
    ...workerEnvironment(id, fleet),
    ...(dataRoots.length > 0 ? { POCKETFLEET_DATA_ROOTS: dataRoots.join(delimiter) } : {}),
    ...place,
    ...(metricsListen === undefined ? {} : { POCKETFLEET_METRICS_LISTEN: metricsListen }),
    ...tlsEnvironment(tlsDir, 'worker'),
    POCKETFLEET_TOKEN: workerToken,
  });
}

const common = (dir: string, name: string) => ({
  name,
  cwd: PACKAGE_ROOT,
  logFile: join(dir, 'logs', `${name}.log`),
});

const spec = (
  dir: string,
  name: string,
  program: ProgramCommand,
  env: Readonly<Record<string, string>>,
): ChildSpec => ({ ...common(dir, name), ...program, env: { ...NOT_FOR_CHILDREN, ...env } });

function tlsEnvironment(
  tlsDir: string | undefined,
  holder: 'coordinator' | 'worker',
): Record<string, string> {
  if (tlsDir === undefined) return {};
  const { certFile, keyFile, caFile } = filesIn(tlsDir, holder);
  return {
    POCKETFLEET_TLS_CERT_FILE: certFile,
    POCKETFLEET_TLS_KEY_FILE: keyFile,
    POCKETFLEET_TLS_CA_FILE: caFile,
  };
}

/**
 * One thread a worker: two workers of one thread are 1.4 times as fast as one of two, and the bits do not
 * depend on the machine.
 */
function workerEnvironment(
  id: string,
  fleet: Parameters<typeof workerSpec>[0]['fleet'],
): Record<string, string> {
  return {
    POCKETFLEET_ID: id,
    POCKETFLEET_FLEET: fleet.fleet,
    POCKETFLEET_COORDINATOR: fleet.coordinator,
    POCKETFLEET_NATS_URL: fleet.natsUrl ?? '',
    POCKETFLEET_THREADS: '1',
    POCKETFLEET_METRICS_LISTEN: '127.0.0.1:0',
    // TensorFlow reads these when the process starts, so the worker itself cannot set them.
    TF_CPP_MIN_LOG_LEVEL: '2',
    TF_NUM_INTRAOP_THREADS: '1',
    TF_NUM_INTEROP_THREADS: '1',
    OMP_NUM_THREADS: '1',
  };
}
