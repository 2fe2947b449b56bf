// A whole fleet on one machine: nats-server, coordinators and N workers as child processes, the same
// programs that the chart runs in pods. Decides the order of starting and stopping, addresses, tokens and
// folders. `up` and `demo` both use `startFleet`.

import { join, resolve } from 'node:path';
import { adoptStore } from '../../../core/net/broker-store.ts';
import { findNatsServer, natsServerConfig } from '../../../core/net/nats-binary.ts';
import { newToken } from '../../../core/net/token-file.ts';
import { makeFolder } from '../../../core/system/folder.ts';
import { addressesOf, formatHostPort, type HostPort, parseHostPort } from '../../../core/text/host-port.ts';
import { type FleetClient, openFleet } from '../client.ts';
import { type KeptKeys, keepBrokerKeys } from './broker-keys-folder.ts';
import { keepRoom, storeBytesMaxOf } from './broker-room.ts';
import { filesIn } from './certificates.ts';
import { childSpecs } from './child-specs.ts';
import { endLeftovers } from './children.ts';
import { type Encryption, encryptionFor, keepEncryption, LOOPBACK } from './encryption.ts';
import { type FleetFile, type ProcessIdentity, writeFleetFile, writePrivate } from './fleet-file.ts';
import { holdFolder } from './held-folder.ts';
import { readHost } from './host.ts';
import { writeJoinFile } from './join-file.ts';
import { freePorts, isListening } from './ports.ts';
import { notAttached, progressOf, until } from './readiness.ts';
import { keepTargets, type TargetKeeping } from './scrape-targets.ts';
import type { Supervised } from './supervise.ts';
import { placeWorkers, type WorkersAsked } from './worker-places.ts';

export interface UpOptions extends WorkersAsked {
  readonly dir: string;
  /** How many, of which one leads; default 1. */
  readonly coordinators?: number;
  /** Of the first coordinator. 0: any free port of the loopback interface. */
  readonly port?: number;
  readonly metricsPort?: number;
  readonly natsPort?: number;
  /** Address of this machine at which others reach it, encrypted; undefined: loopback. */
  readonly listen?: string | undefined;
  /** Encrypts on loopback too. */
  readonly tls?: boolean | undefined;
  /** Bytes that the store may have at most; undefined: most of what is free. */
  readonly storeBytes?: number | undefined;
  /** Folder in which Prometheus finds what to scrape; undefined: none is written. */
  readonly metricsTargets?: string | undefined;
  /** Folders beneath which data may lie; empty: those of POCKETFLEET_DATA_ROOTS, else any. */
  readonly dataRoots?: readonly string[];
  /** Ends a start that is under way. */
  readonly signal: AbortSignal;
  say(text: string): void;
}

export interface RunningFleet {
  readonly file: FleetFile;
  readonly client: FleetClient;
  /** Names and process ids of what runs now. */
  children(): readonly ProcessIdentity[];
  /** Ends workers, then the coordinator, then the broker; nothing is left running when it resolves. */
  close(): Promise<void>;
  /** SIGKILL to every child at once, for the second signal that asks this process to end. */
  kill(): void;
}

const START_DEADLINE_MS = 60_000;
/**
 * Milliseconds until all workers must have attached. Each loads TensorFlow and runs a kernel, which is slow
 * for many workers on few cores.
 */
const WORKERS_DEADLINE_MS = 180_000;

/**
 * Resolves when every worker that it started has attached; on failure everything that was started is ended
 * first.
 */
export async function startFleet(options: UpOptions): Promise<RunningFleet> {
  const dir = resolve(options.dir);
  const held = holdFolder(dir, options.say);
  const { children } = held;
  const closed = new AbortController();
  let client: FleetClient | undefined;
  let targetsKept: TargetKeeping | undefined;
  const endAll = async () => {
    closed.abort();
    await targetsKept?.ended;
    client?.close();
    await held.release();
  };
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= endAll();
    return closing;
  };
  try {
    await endLeftovers(dir, options.say);
    const encryption = await encryptionFor(dir, options);
    const file = await addresses(options, encryption);
    makeFolder(join(dir, 'nats'), { mode: 0o700 });
    const { tlsDir, host } = encryption;
    const joinFile = options.listen && tlsDir ? writeJoinFile(dir, { ...file, tlsDir }) : undefined;
    const keys = await keepBrokerKeys(dir);
    adoptStore(join(dir, 'nats'), keys.account);
    const limit = await storeBytesMaxOf(join(dir, 'nats'), options.storeBytes);
    const places = placeWorkers(readHost(), options);
    const specs = childSpecs({
      dir,
      file,
      dataRoots: options.dataRoots ?? [],
      natsServer: findNatsServer(),
      natsConfig: writeNatsConfig({ dir, file, keys, encryption }, limit),
      keys,
      places: places.environments,
      workerToken: newToken('worker'),
      tlsDir,
    });
    makeFolder(join(dir, 'logs'), { mode: 0o700 });
    const { signal, say } = options;
    const count = numbered(specs.workers.length);
    say(startingText(specs.coordinators.length, count, dir));
    for (const line of places.lines) say(line);
    const broker = children.begin(specs.broker, 'broker');
    const listens = async () => ((await isListening(placeOf(file.natsUrl))) ? [] : [broker]);
    await until(listens, children.all, START_DEADLINE_MS, signal);
    const coordinators = specs.coordinators.map((spec) => children.begin(spec, 'coordinator'));
    client = openFleet(file);
    const reachable = client;
    const answers = () => reachable.ready(1_000).then(none, () => coordinators);
    await until(answers, children.all, START_DEADLINE_MS, signal);
    writeFleetFile(dir, file);
    if (tlsDir !== undefined)
      keepEncryption({ tlsDir, host, brokerPid: broker.pid, say, signal: closed.signal });
    for (const line of placesOf(file)) say(line);
    const store = () => reachable.ask((service) => service.getStore, {}, 2000).catch(() => undefined);
    void keepRoom({
      ...{ folder: join(dir, 'nats'), configured: options.storeBytes, store, limit, signal: closed.signal },
      restart(bytesMax, reason) {
        writeNatsConfig({ dir, file, keys, encryption }, bytesMax);
        restartBroker(broker, reason, say);
      },
    });
    const workers = specs.workers.map((spec) => children.begin(spec, 'worker'));
    const said = progressOf(workers, say);
    let trouble = '';
    const attached = async () => {
      const absent = said(await notAttached(reachable, workers));
      if (absent.length === 0) return absent;
      // A fleet that cannot decide takes no workers, and can be repaired only while it is there.
      const seen = await store();
      trouble = seen?.halted || seen?.reason || '';
      return trouble === '' ? absent : [];
    };
    await until(attached, children.all, WORKERS_DEADLINE_MS, signal);
    say(trouble === '' ? `${count} attached` : trouble);
    if (options.metricsTargets !== undefined) {
      const targets = resolve(options.metricsTargets);
      targetsKept = await keepTargets({ folder: targets, file, client, signal: closed.signal });
      say(`targets for Prometheus are in ${targets}`);
    }
    if (joinFile !== undefined) say(joinText(joinFile));
    return { file, client, children: children.running, close, kill: children.kill };
  } catch (caught) {
    await close();
    throw caught;
  }
}

const placesOf = ({ coordinator, metrics }: FleetFile): string[] =>
  addressesOf(coordinator).map(
    (address, i) => `coordinator at ${address}, metrics at http://${addressesOf(metrics)[i]}/metrics`,
  );

const startingText = (coordinators: number, workers: string, dir: string): string =>
  `starting nats-server, ${coordinators === 1 ? 'a coordinator' : `${coordinators} coordinators`} and ${workers} (logs in ${join(dir, 'logs')})`;

const joinText = (path: string): string =>
  `another machine joins with ${path}, which lets workers attach and nothing else: copy it there, then \`pocketfleet join join.json\``;

/** Ends nats-server, whose supervisor starts it with the configuration that is there then. */
function restartBroker(broker: Supervised, reason: string, say: (text: string) => void): void {
  say(`nats-server is started again: ${reason}`);
  const pid = broker.pid();
  if (pid !== undefined) process.kill(pid, 'SIGTERM');
}

const none = (): readonly Supervised[] => [];

const numbered = (workers: number): string => (workers === 1 ? '1 worker' : `${workers} workers`);

/** The addresses of this start. The ports that were asked for are the first coordinator's. */
async function addresses(options: UpOptions, { host, tlsDir }: Encryption): Promise<FleetFile> {
  const others = Array.from({ length: (options.coordinators ?? 1) - 1 }, () => 0);
  const at = (of: string, asked: number) => [asked, ...others].map((port) => ({ host: of, port }));
  const [natsPort, ...ports] = await freePorts([
    ...[{ host, port: options.natsPort ?? 0 }, ...at(host, options.port ?? 0)],
    ...at(LOOPBACK, options.metricsPort ?? 0),
  ]);
  const listed = (of: string, some: readonly number[]) =>
    some.map((port) => formatHostPort({ host: of, port })).join(',');
  return {
    fleet: 'local',
    coordinator: listed(host, ports.slice(0, others.length + 1)),
    metrics: listed(LOOPBACK, ports.slice(others.length + 1)),
    natsUrl: `${tlsDir === undefined ? 'nats' : 'tls'}://${listed(host, [natsPort!])}`,
    token: newToken('admin'),
    ...(tlsDir === undefined ? {} : { tlsCaFile: filesIn(tlsDir, 'nats').caFile }),
    pid: process.pid,
  };
}

const placeOf = (url: string): HostPort => parseHostPort(url.replace(/^\w+:\/\//, ''));

function writeNatsConfig(
  fleet: {
    readonly dir: string;
    readonly file: FleetFile;
    readonly keys: KeptKeys;
    readonly encryption: Encryption;
  },
  storeBytesMax: number,
): string {
  const { dir, file, keys, encryption } = fleet;
  const { tlsDir } = encryption;
  const configFile = join(dir, 'nats.conf');
  writePrivate(
    configFile,
    natsServerConfig({
      ...placeOf(file.natsUrl),
      tls: tlsDir === undefined ? undefined : filesIn(tlsDir, 'nats'),
      authorization: keys.server,
      storeDir: join(dir, 'nats'),
      storeBytesMax,
      serverName: 'pocketfleet',
    }),
  );
  return configFile;
}
