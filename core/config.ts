// The settings of each program, as one strict schema a program: flags over environment over file, merged
// once, checked once, frozen. The only reader of `process.env`. Secrets are marked, so that the effective
// config can be logged.

import { closeSync, openSync, readSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { FleetError, toFleetError } from './errors.ts';
import { quotasSchema } from './quotas.ts';
import { refusalOfAddress, refusalOfAddresses, withPort } from './text/host-port.ts';
import { nearest } from './text/nearest.ts';
import { foundText } from './text/printable.ts';
import { checkShape, type Problem, sentence, sentences } from './text/shape.ts';
import { problemAt, problemsIn, problemText } from './text/text-problems.ts';
import { FLEET_NAME, FLEET_NAME_WORDS, WORKER_ID, WORKER_ID_WORDS } from './text/wire-text.ts';
import { readYaml, TEXT_BYTES_MAX, type YamlDocument } from './text/yaml-text.ts';
import { ENGINE_DEVICES_MAX, workerKindsSchema } from './worker-kinds.ts';

const secret = (description: string) => z.string().default('').describe(`${description} (secret)`);
/** An address to listen at; port 0 takes a free one. */
const listenAddress = z.string().superRefine((text, context) => {
  const refusal = refusalOfAddress(text, 0);
  if (refusal !== undefined) context.addIssue({ code: 'custom', message: refusal });
});
/** Addresses of several servers of which one answers, with commas between. */
const addresses = z.string().superRefine((text, context) => {
  const refusal = refusalOfAddresses(text);
  if (refusal !== undefined) context.addIssue({ code: 'custom', message: refusal });
});

/** Where others reach a server: an address, a host alone, or nothing. */
const advertised = z.string().superRefine((text, context) => {
  const refusal = text === '' ? undefined : refusalOfAddress(withPort(text, 1), 1);
  if (refusal !== undefined) context.addIssue({ code: 'custom', message: refusal });
});

const logLevel = z
  .enum(['debug', 'info', 'warn', 'error'])
  .default('info')
  .describe('the least important lines that are logged');

const pods = z.coerce.number().int().min(0).max(10_000).default(1);

const metricsKeepMs = z.coerce
  .number()
  .int()
  .min(0)
  .max(3_600_000)
  .default(60_000)
  .describe(
    'how long metrics of a run (worker) or sweep (coordinator) that has ended can still be scraped, milliseconds: two scrape intervals or more',
  );

/** How a program reaches the broker; the address itself has another default in each. */
const brokerFields = {
  natsToken: secret('token for the broker'),
  natsUser: z.string().default('').describe('user for the broker, in place of a token'),
  natsPassword: secret('password of the user for the broker'),
  natsCredentialsFile: z
    .string()
    .default('')
    .describe("file with a user's JWT and seed for the broker, in place of a token"),
  natsCaFile: z
    .string()
    .default('')
    .describe(
      "PEM file of the authorities that sign the broker's certificate, for tls:// addresses; empty: tlsCaFile, else those that Node knows",
    ),
  natsCertFile: z
    .string()
    .default('')
    .describe('PEM file of the certificate that is shown to the broker; empty: tlsCertFile'),
  natsKeyFile: z.string().default('').describe('PEM file of its private key; empty: tlsKeyFile'),
};

/** The identity of a program, as PEM files. */
const tlsFields = {
  tlsCertFile: z
    .string()
    .default('')
    .describe(
      'PEM file of its certificate, with which it proves itself to the other side; changed files are taken up without a restart. Empty, as its key and authority are then too: gRPC is not encrypted',
    ),
  tlsKeyFile: z.string().default('').describe('PEM file of the private key of tlsCertFile'),
  tlsCaFile: z
    .string()
    .default('')
    .describe('PEM file of the authorities that sign the certificates of the other side'),
};

/** The folders of files that a spec or a request names. */
const dataFields = {
  dataRoots: z
    .string()
    .default('')
    .describe(
      'folders beneath which data sets and verification sets may lie, links resolved, with colons between; empty: anywhere that this user may read',
    ),
};

/** What a connection to the broker needs of a config. */
export function brokerAddress(
  config: Readonly<Record<keyof typeof brokerFields | keyof typeof tlsFields, string>>,
  url: string,
): {
  readonly url: string;
  readonly token: string;
  readonly user: string;
  readonly password: string;
  readonly credentialsFile: string;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
} {
  // What the program shows to the coordinator or its workers is good for the broker too, where that encrypts.
  const own = url.includes('tls://') ? config : { tlsCaFile: '', tlsCertFile: '', tlsKeyFile: '' };
  const isGiven = config.natsCertFile !== '' || config.natsKeyFile !== '';
  return {
    url,
    token: config.natsToken,
    user: config.natsUser,
    password: config.natsPassword,
    credentialsFile: config.natsCredentialsFile,
    caFile: config.natsCaFile || own.tlsCaFile,
    certFile: isGiven ? config.natsCertFile : own.tlsCertFile,
    keyFile: isGiven ? config.natsKeyFile : own.tlsKeyFile,
  };
}

/** Settings of the coordinator. */
export const coordinatorConfigSchema = z.strictObject({
  fleet: z
    .string()
    .regex(FLEET_NAME, FLEET_NAME_WORDS)
    .default('local')
    .describe('name of the fleet, which is a part of all its names on the broker'),
  listen: listenAddress.default('127.0.0.1:7070').describe('gRPC endpoint for the CLI and the workers'),
  advertise: advertised
    .default('')
    .describe(
      'host:port, or host with the port of listen, at which the CLI, the workers and other coordinators reach this one; empty: where it listens, with the name of the machine for every address',
    ),
  metricsListen: listenAddress.default('127.0.0.1:7071').describe('HTTP endpoint of /metrics'),
  metricsKeepMs,
  healthListen: z
    .union([z.literal(''), listenAddress])
    .default('')
    .describe(
      'gRPC endpoint that never encrypts and has the health service alone, for probes that cannot encrypt; empty: none',
    ),
  natsUrl: z
    .string()
    .default('nats://127.0.0.1:4222')
    .describe(
      'broker; tls:// in place of nats:// encrypts, several servers of a cluster with commas between',
    ),
  ...brokerFields,
  natsWorkersSeedFile: z
    .string()
    .default('')
    .describe(
      "file with the seed of the workers' account on the broker, with which the rights of each worker are signed; empty: each worker has credentials of its own",
    ),
  token: secret(
    'bearer token of the administrator; with no token and no file of tokens authentication is off',
  ),
  tokenFile: z
    .string()
    .default('')
    .describe("file with the administrator's token, read again when it changes"),
  workerToken: secret('bearer token of the workers, which may attach and nothing else'),
  workerTokenFile: z
    .string()
    .default('')
    .describe("file with the workers' token, read again when it changes"),
  tokensFile: z
    .string()
    .default('')
    .describe(
      'file with the digests of further tokens and their roles, which `pocketfleet token` writes; read again when it changes',
    ),
  ...tlsFields,
  storeBytesMax: z.coerce
    .number()
    .int()
    .min(0)
    .default(0)
    .describe("bytes that the fleet's streams may have together; 0: what the broker gives"),
  journalReserveBytes: z.coerce
    .number()
    .int()
    .min(0)
    .default(0)
    .describe('bytes of them that are kept for the journal; 0: a tenth, at most 2 GiB'),
  journalReplicas: z.coerce
    .number()
    .int()
    .min(0)
    .max(5)
    .default(0)
    .describe(
      'copies of the journal in a cluster of NATS servers, 1, 3 or 5; 0: a new journal gets one, and one that exists keeps its number',
    ),
  storeReplicas: z.coerce
    .number()
    .int()
    .min(0)
    .max(5)
    .default(0)
    .describe('the same for checkpoints, their manifests, history and logs'),
  embeddingStreamBytes: z.coerce
    .number()
    .int()
    .min(1_000_000)
    .default(256 * 2 ** 20)
    .describe(
      "bytes of the stream in the broker's memory in which students share the embeddings of their teacher; the oldest go first",
    ),
  imageRowsBytes: z.coerce
    .number()
    .int()
    .min(0)
    .default(256 * 2 ** 20)
    .describe(
      "bytes in which each worker may keep its teachers' embeddings of single images, which all epochs and orders of a stage share; 0: none are kept",
    ),
  storeDir: z
    .string()
    .default('')
    .describe("folder of the broker's store, where the coordinator can see it; empty: it cannot"),
  quotas: quotasSchema
    .prefault({})
    .describe(
      'limits by the name of the token that submits, `*` for all others, as a YAML mapping: workers at once; workerHours, wallHours and attempts within windowHours (24); openTrials; empty: none',
    ),
  workerKinds: workerKindsSchema
    .prefault([])
    .describe(
      'workers that this fleet can have beside those that are there, as a YAML list of deviceKind, memoryGb (any when left out) and labels (`*`: any value); what runs require and none of them has is refused. Empty: any',
    ),
  usageHalfLifeHours: z.coerce
    .number()
    .min(0.1)
    .max(8_760)
    .default(24)
    .describe('after this time worker-seconds count half when workers are shared, hours'),
  heartbeatIntervalMs: z.coerce
    .number()
    .int()
    .min(50)
    .default(500)
    .describe('how often workers report, milliseconds'),
  heartbeatsMissedMax: z.coerce
    .number()
    .int()
    .min(2)
    .default(10)
    .describe('reports that a worker may miss before it is declared lost'),
  reattachGraceMs: z.coerce
    .number()
    .int()
    .min(0)
    .default(15_000)
    .describe(
      'after a start, how long known workers have to come back before they are declared lost, milliseconds',
    ),
  podSelector: z
    .string()
    .default('')
    .describe(
      'in a cluster: labels of the pods of the workers, which are watched so that an evicted one leaves at once; empty: not watched',
    ),
  podNamespace: z
    .string()
    .default('')
    .describe('namespace of these pods; empty: that of the Kubernetes configuration'),
  podName: z
    .string()
    .default('')
    .describe(
      'in a cluster: the pod that it runs in, which is labelled pocketfleet.io/leads while it leads; empty: no pod is',
    ),
  leaseName: z
    .string()
    .default('')
    .describe('in a cluster: the Lease object that shows which pod leads; empty: none does'),
  scaleWorkers: z
    .string()
    .default('')
    .describe(
      'in a cluster: the StatefulSet of the workers, which the leader gives as many pods as the open runs can use; empty: it has as many as somebody else gives it',
    ),
  scaleMin: pods.describe('pods that it has at least'),
  scaleMax: pods.describe('pods that it has at most, no fewer than that'),
  scaleDownAfterMs: z.coerce
    .number()
    .int()
    .min(0)
    .max(86_400_000)
    .default(300_000)
    .describe('fewer pods must have been enough for so long before any goes, milliseconds'),
  logLevel,
});
/** The checked settings of the coordinator. */
export type CoordinatorConfig = Readonly<z.infer<typeof coordinatorConfigSchema>>;

/** Settings of a worker. */
export const workerConfigSchema = z.strictObject({
  id: z
    .string()
    .regex(WORKER_ID, WORKER_ID_WORDS)
    .describe('name of the worker, unique in the fleet, the same over restarts'),
  coordinator: addresses
    .default('127.0.0.1:7070')
    .describe('gRPC endpoint of the coordinator; several with commas between, of which one leads'),
  fleet: z
    .union([z.literal(''), z.string().regex(FLEET_NAME, FLEET_NAME_WORDS)], FLEET_NAME_WORDS)
    .default('')
    .describe('name of the fleet that it belongs to, which the coordinator compares; empty: any'),
  natsUrl: z.string().default('').describe('broker; empty: the one the coordinator names'),
  ...brokerFields,
  token: secret('bearer token for the coordinator'),
  tokenFile: z
    .string()
    .default('')
    .describe('file with that token, in its place; read again each time the coordinator is dialled'),
  ...tlsFields,
  tlsServerName: z
    .string()
    .default('')
    .describe(
      "name that the coordinator's certificate is to be for; empty: the host of the address at which it is called",
    ),
  metricsListen: listenAddress
    .default('127.0.0.1:0')
    .describe('HTTP endpoint of /metrics; port 0 takes a free one'),
  metricsKeepMs,
  slots: z.coerce
    .number()
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe('runs that may be in this worker at once; kernels run one at a time'),
  device: z
    .enum(['auto', 'gpu', 'cpu'])
    .default('auto')
    .describe(
      'what it computes on: auto takes a GPU where the machine has one and ends when it cannot be used, gpu ends where there is none, cpu leaves GPUs alone',
    ),
  engine: z
    .enum(['auto', 'tensorflow', 'pjrt'])
    .default('auto')
    .describe(
      'what compiles and runs its graphs: tensorflow, pjrt (a plugin of PJRT that `npm run setup:pjrt` installed), or auto: pjrt on a GPU where that computes, else tensorflow; part of the device class',
    ),
  engineDevices: z.coerce
    .number()
    .int()
    .min(1)
    .max(ENGINE_DEVICES_MAX)
    .default(1)
    .describe(
      'devices of a plugin of PJRT that it computes on, all of one kind; each has a replica and computes own shards at the same time',
    ),
  labels: z
    .string()
    .regex(
      /^([A-Za-z0-9][A-Za-z0-9._/-]{0,62}=[A-Za-z0-9][A-Za-z0-9._/-]{0,62}(,(?!$)|$))*$/,
      'name=value pairs with commas between, of letters, digits, . _ / -',
    )
    .default('')
    .describe('what runs may require of this worker, such as gpu=a100,zone=b'),
  deviceId: z
    .string()
    .regex(/^[A-Za-z0-9._:/-]{0,128}$/, 'letters, digits, . _ : / -, at most 128')
    .default('')
    .describe(
      'which device it computes on, the same for workers that share one; empty: the UUID of its GPU, or a CPU that it has to itself',
    ),
  gpuMemoryShare: z.coerce
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe(
      "part of the GPU's memory that it takes, of 1; 0: nearly all, for a worker that has a GPU to itself",
    ),
  threads: z.coerce
    .number()
    .int()
    .min(1)
    .default(1)
    .describe('threads that a CPU worker computes with; part of the device class'),
  dataThreads: z.coerce
    .number()
    .int()
    .min(0)
    .max(64)
    .default(0)
    .describe(
      'threads that decode images for each open data set; 0: one for a CPU worker, as many as cores and at most 8 for a GPU',
    ),
  sharedMemoryDir: z
    .string()
    .default('/dev/shm')
    .describe(
      'folder of files in memory, through which workers of one machine read what the others have computed; empty: all that they exchange goes over the broker',
    ),
  podUid: z
    .string()
    .default('')
    .describe('metadata.uid of the pod that it runs in; empty outside of a cluster'),
  cacheDir: z
    .string()
    .default('')
    .describe(
      'folder for compiled steps and for what was found out about data sets; empty: $XDG_CACHE_HOME/pocketfleet',
    ),
  ...dataFields,
  logLevel,
});
/** The checked settings of a worker. */
export type WorkerConfig = Readonly<z.infer<typeof workerConfigSchema>>;

/** Labels as a mapping. */
export function workerLabels({ labels }: Pick<WorkerConfig, 'labels'>): Record<string, string> {
  const pairs = labels === '' ? [] : labels.split(',').map((pair) => pair.split('=') as [string, string]);
  return Object.fromEntries(pairs);
}

/** Settings of the program that makes the keys of a fleet in a cluster. */
export const keysConfigSchema = z.strictObject({
  keySecret: z
    .string()
    .default('')
    .describe('name of the Kubernetes secret that holds the tokens; empty: somebody else keeps them'),
  keyNames: z
    .string()
    .regex(/^[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*$/, 'names with commas between')
    .default('token,worker-token')
    .describe('tokens that it must have'),
  brokerSecret: z
    .string()
    .default('')
    .describe("name of the Kubernetes secret that holds the broker's keys; empty: somebody else keeps them"),
  podNamespace: z
    .string()
    .default('')
    .describe('namespace of the secret; empty: that of the Kubernetes configuration'),
  waitMs: z.coerce
    .number()
    .int()
    .min(0)
    .default(120_000)
    .describe('how long an API server that does not answer is asked again, milliseconds'),
  logLevel,
});

/** Settings of the program that runs before the broker of a cluster. */
export const adoptStoreConfigSchema = z.strictObject({
  storeDir: z.string().min(1).describe("folder of the broker's store"),
  accountFile: z.string().min(1).describe("file with the public key of the fleet's account"),
  logLevel,
});

/** Folders beneath which data sets and verification sets may lie; an empty list allows every folder. */
export function dataRoots(config: { readonly dataRoots: string }): string[] {
  return config.dataRoots.split(delimiter).filter((folder) => folder !== '');
}

/** A setting as a flag: `natsUrl` is `nats-url`. */
export const camelToFlag = (key: string): string => key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
/** A setting as a variable of the environment: `natsUrl` is `POCKETFLEET_NATS_URL`. */
export const camelToEnv = (key: string): string =>
  `POCKETFLEET_${key.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase()}`;

/**
 * Reads `--config FILE` (YAML), POCKETFLEET_* and `--flag value` or `--flag=value`, in rising order of
 * precedence.
 */
export function loadConfig<S extends z.ZodObject>(
  schema: S,
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Readonly<z.infer<S>> {
  const keys = Object.keys(schema.shape);
  const { file, values: fromFlags } = flagsOf(argv, keys);
  const fromEnv = Object.fromEntries(
    keys.flatMap((k) => (env[camelToEnv(k)] === undefined ? [] : [[k, env[camelToEnv(k)]]])),
  );
  const fromFile = file === undefined ? undefined : configFile(file);
  const value = { ...fromFile?.value, ...fromEnv, ...fromFlags };
  const parsed = checkShape(schema, value, ([key]) => isSecret(String(key)));
  if (parsed.ok) return Object.freeze(parsed.data) as Readonly<z.infer<S>>;
  const told = (problem: Problem): string => {
    const key = String(problem.path[0]);
    if (key in fromFlags) return `${sentence(problem)} (--${camelToFlag(key)})`;
    if (key in fromEnv) return `${sentence(problem)} (${camelToEnv(key)})`;
    const inFile = fromFile !== undefined && Object.hasOwn(fromFile.value, key);
    if (inFile) return fromFile.told(problem);
    return `${sentence(problem)} (--${camelToFlag(key)} or ${camelToEnv(key)})`;
  };
  throw new FleetError('invalidArgument', `configuration: ${sentences(parsed.problems, told).join('\n')}`);
}

/**
 * What the flags of a program give, by the setting's key; of a flag that is given twice the last one counts.
 */
function flagsOf(
  argv: readonly string[],
  keys: readonly string[],
): { readonly file: string | undefined; readonly values: Readonly<Record<string, string>> } {
  const values: Record<string, string> = {};
  let file: string | undefined;
  for (const token of flagTokens(argv, keys)) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional')
      throw new FleetError(
        'invalidArgument',
        `unexpected argument ${foundText(token.value)}; settings are given as --flag VALUE, see --help`,
      );
    const { name, rawName: flag, value } = token;
    const key = keys.find((k) => camelToFlag(k) === name);
    if (key === undefined && name !== 'config')
      throw new FleetError(
        'invalidArgument',
        `unknown option ${foundText(flag)}${near(flag, keys)}; known: ${keys.map((k) => `--${camelToFlag(k)}`).join(' ')}`,
      );
    if (value === undefined) throw new FleetError('invalidArgument', `${flag} needs a value`);
    if (key === undefined) file = value;
    else values[key] = value;
  }
  return { file, values };
}

/**
 * The words of a command line as flags and values. Not strict, because the refusals of `parseArgs` name
 * neither the flags that there are nor the one that was meant.
 */
export function flagTokens(argv: readonly string[], keys: readonly string[]) {
  const taken = { type: 'string' } as const;
  const asked = { type: 'boolean' } as const;
  return parseArgs({
    args: [...argv],
    options: {
      ...Object.fromEntries(keys.map((key) => [camelToFlag(key), taken])),
      config: taken,
      help: { ...asked, short: 'h' },
      version: { ...asked, short: 'V' },
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  }).tokens;
}

function near(flag: string, keys: readonly string[]): string {
  const meant = nearest(
    flag,
    keys.map((key) => `--${camelToFlag(key)}`),
  );
  return meant === undefined ? '' : `; did you mean ${meant}?`;
}

/** More bytes than a configuration file has: /dev/zero never ends. */
function textOf(file: string): string {
  const opened = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(TEXT_BYTES_MAX + 1);
    let filled = 0;
    for (let read = -1; read !== 0 && filled < bytes.length; filled += read)
      read = readSync(opened, bytes, filled, bytes.length - filled, null);
    if (filled > TEXT_BYTES_MAX)
      throw new FleetError(
        'invalidArgument',
        `it has more than ${TEXT_BYTES_MAX} bytes, the most that are taken`,
      );
    return bytes.toString('utf8', 0, filled);
  } finally {
    closeSync(opened);
  }
}

/** The mapping of a configuration file, in which each setting occurs once. */
function configFile(file: string): {
  readonly value: Readonly<Record<string, unknown>>;
  /** A problem of one of these settings with its place. */
  told(problem: Problem): string;
} {
  const doing = `configuration file ${file}`;
  let document: YamlDocument | undefined;
  try {
    document = readYaml(textOf(file), { name: file })[0];
  } catch (caught) {
    const error = toFleetError(caught);
    throw problemsIn(error).length > 0 ? toFleetError(error, 'configuration') : toFleetError(error, doing);
  }
  const value = document?.value ?? {};
  if (typeof value !== 'object' || Array.isArray(value))
    throw new FleetError('invalidArgument', `${doing}: expected a mapping, found ${foundText(value)}`);
  return {
    value: value as Record<string, unknown>,
    told: (problem) =>
      problemText(problemAt(problem, document?.placeOf(problem.path, problem.ofKey)), { name: file }),
  };
}

/** The name of a file with a secret is none itself. */
const isSecret = (key: string): boolean => /token|secret|password/i.test(key) && !key.endsWith('File');

/** The config in the form for the log, without secrets. */
export function redacted(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(config).map(([k, v]) => [k, isSecret(k) && v !== '' ? '[set]' : v]),
  );
}

/**
 * The folder of downloads and compiled things, which clones and runs share. Deleting it costs time, never
 * results. A relative XDG_CACHE_HOME is not valid (XDG base directory specification), since it would be
 * another folder for each program.
 */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const named = env.XDG_CACHE_HOME ?? '';
  const base = isAbsolute(named) ? named : join(homedir(), '.cache');
  return join(base, 'pocketfleet');
}

/** The nats-server that a person chose, and the folders where programs are looked for. */
export function programSearch(env: NodeJS.ProcessEnv = process.env): {
  readonly natsServer: string | undefined;
  readonly path: readonly string[];
} {
  return {
    natsServer: env.POCKETFLEET_NATS_SERVER || undefined,
    path: (env.PATH ?? '').split(delimiter).filter((folder) => folder !== ''),
  };
}

/** Environment of a child process: this one's, with some variables replaced. */
export function childEnvironment(
  replaced: Readonly<Record<string, string>>,
  env: NodeJS.ProcessEnv = process.env,
): NodeJS.ProcessEnv {
  return { ...env, ...replaced };
}

/**
 * POCKETFLEET_TENSORFLOW: the library that a person chose for set-up; empty where set-up chose by the
 * machine.
 */
export const tensorflowChosen = (env: NodeJS.ProcessEnv = process.env): string =>
  env.POCKETFLEET_TENSORFLOW ?? '';

/** Folder in which NVIDIA's multi-process service has its pipes. */
export function cudaPipeFolder(): string {
  return process.env.CUDA_MPS_PIPE_DIRECTORY || '/tmp/nvidia-mps';
}

/** CUDA_VISIBLE_DEVICES as it is set, an empty one too; undefined where it is not. */
export function cudaVisibleDevices(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return env.CUDA_VISIBLE_DEVICES;
}

/** The named variables that are set and not empty. */
export function environmentValues(
  names: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
}

/**
 * `POCKETFLEET_KERNELS=library` leaves the operations of core/tensor/native unused, to find out whether one
 * of them is at fault.
 */
export const ownKernelsWanted = (env: NodeJS.ProcessEnv = process.env): boolean =>
  env.POCKETFLEET_KERNELS !== 'library';

/**
 * Whether gRPC may go through the proxy of the environment. It does so only on request: the variables are
 * usually set for package managers, and a proxy would read the token of each call.
 */
export function proxyWanted(env: NodeJS.ProcessEnv = process.env): boolean {
  const choice = env.POCKETFLEET_PROXY ?? '';
  if (choice === '' || choice === 'none') return false;
  if (choice === 'environment') return true;
  throw new FleetError(
    'invalidArgument',
    `POCKETFLEET_PROXY is ${JSON.stringify(choice)}; "environment" goes through the proxy that grpc_proxy, https_proxy or http_proxy names, "none" through none`,
  );
}

/** Whether a terminal gets plain lines: it has no escapes, a machine reads it, or its user asked for that. */
export function plainOutputWanted(env: NodeJS.ProcessEnv = process.env): boolean {
  const isSet = (value: string | undefined) => value !== undefined && !['', '0', 'false'].includes(value);
  return ['', 'dumb'].includes(env.TERM ?? '') || isSet(env.NO_COLOR) || isSet(env.CI);
}

/**
 * Sets variables that native libraries read when they are loaded later: `process.env` of the main thread is
 * the C environment too.
 */
export function setNativeEnvironment(variables: Readonly<Record<string, string>>): void {
  Object.assign(process.env, variables);
}
