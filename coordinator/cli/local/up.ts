// A whole fleet on one machine: nats-server, coordinators and N workers as child processes, the same
// programs that the chart runs in pods. Decides the order of starting and stopping, addresses, tokens and
// folders. `up` and `demo` both use `startFleet`.

import { join, resolve } from 'node:path';
import { adoptStore } from '../../../core/net/broker-store.ts';
import { findNatsServer, natsServerConfig } from '../../../core/net/nats-binary.ts';
import { newToken } from '../../../core/net/token-file.ts';
import { makeFolder } from '../../../core/system/folder.ts';
import { addressesOf } from '../../../core/text/host-port.ts';
import { type FleetClient, openFleet } from '../client.ts';
import { type KeptKeys, keepBrokerKeys } from './broker-keys-folder.ts';
import { keepRoom, storeBytesMaxOf } from './broker-room.ts';
import { childSpecs } from './child-specs.ts';
import { endLeftovers, superviseChildren } from './children.ts';
import {
  type FleetFile,
  forgetFleet,
  lockDir,
  type ProcessIdentity,
  writeFleetFile,
  writePrivate,
} from './fleet-file.ts';
import { readHost } from './host.ts';
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
  const unlock = lockDir(dir);
  const children = superviseChildren(dir, options.say);
  // An exception that nobody caught, or a second Ctrl-C, must not leave anything behind either.
  const abandon = () => {
    children.kill();
    forgetFleet(dir);
    unlock();
  };
  process.once('exit', abandon);
  const closed = new AbortController();
  let client: FleetClient | undefined;
  let targetsKept: TargetKeeping | undefined;
  const endAll = async () => {
    closed.abort();
    await targetsKept?.ended;
    client?.close();
    await children.stop();
    process.removeListener('exit', abandon);
    forgetFleet(dir);
    unlock();
  };
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= endAll();
    return closing;
  };
  try {
    await endLeftovers(dir, options.say);
    const file = await addresses(options);
    makeFolder(join(dir, 'nats'), { mode: 0o700 });
    const keys = await keepBrokerKeys(dir);
    adoptStore(join(dir, 'nats'), keys.account);
    const limit = await storeBytesMaxOf(join(dir, 'nats'), options.storeBytes);
    const places = placeWorkers(readHost(), options);
    const specs = childSpecs({
      dir,
      file,
      dataRoots: options.dataRoots ?? [],
      natsServer: findNatsServer(),
      natsConfig: writeNatsConfig({ dir, file, keys }, limit),
      keys,
      places: places.environments,
      workerToken: newToken('worker'),
    });
    makeFolder(join(dir, 'logs'), { mode: 0o700 });
    const { signal, say } = options;
    const count = specs.workers.length;
    say(
      `starting nats-server, ${specs.coordinators.length === 1 ? 'a coordinator' : `${specs.coordinators.length} coordinators`} and ${numbered(count)} (logs in ${join(dir, 'logs')})`,
    );
    for (const line of places.lines) say(line);
    const broker = children.begin(specs.broker, 'broker');
    const listens = async () => ((await isListening(portOf(file.natsUrl))) ? [] : [broker]);
    await until(listens, children.all, START_DEADLINE_MS, signal);
    const coordinators = specs.coordinators.map((spec) => children.begin(spec, 'coordinator'));
    client = openFleet(file);
    const reachable = client;
    const answers = () => reachable.ready(1_000).then(none, () => coordinators);
    await until(answers, children.all, START_DEADLINE_MS, signal);
    writeFleetFile(dir, file);
    for (const [i, address] of addressesOf(file.coordinator).entries())
      say(`coordinator at ${address}, metrics at http://${addressesOf(file.metrics)[i]}/metrics`);
    const store = () => reachable.ask((service) => service.getStore, {}, 2000).catch(() => undefined);
    void keepRoom({
      folder: join(dir, 'nats'),
      configured: options.storeBytes,
      store,
      limit,
      signal: closed.signal,
      restart(bytesMax, reason) {
        say(`nats-server is started again: ${reason}`);
        writeNatsConfig({ dir, file, keys }, bytesMax);
        const pid = broker.pid();
        if (pid !== undefined) process.kill(pid, 'SIGTERM');
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
    say(trouble === '' ? `${numbered(count)} attached` : trouble);
    if (options.metricsTargets !== undefined) {
      const targets = resolve(options.metricsTargets);
      targetsKept = await keepTargets({ folder: targets, file, client, signal: closed.signal });
      say(`targets for Prometheus are in ${targets}`);
    }
    return { file, client, children: children.running, close, kill: children.kill };
  } catch (caught) {
    await close();
    throw caught;
  }
}

const none = (): readonly Supervised[] => [];

const numbered = (workers: number): string => (workers === 1 ? '1 worker' : `${workers} workers`);

/** The addresses of this start. The ports that were asked for are the first coordinator's. */
async function addresses(options: UpOptions): Promise<FleetFile> {
  const others = Array.from({ length: (options.coordinators ?? 1) - 1 }, () => 0);
  const [natsPort, ...ports] = await freePorts([
    ...[options.natsPort ?? 0, options.port ?? 0, ...others],
    ...[options.metricsPort ?? 0, ...others],
  ]);
  const listed = (some: readonly number[]) => some.map((port) => `127.0.0.1:${port}`).join(',');
  return {
    fleet: 'local',
    coordinator: listed(ports.slice(0, others.length + 1)),
    metrics: listed(ports.slice(others.length + 1)),
    natsUrl: `nats://127.0.0.1:${natsPort}`,
    token: newToken('admin'),
    pid: process.pid,
  };
}

const portOf = (url: string): number => Number(new URL(url).port);

function writeNatsConfig(
  { dir, file, keys }: { readonly dir: string; readonly file: FleetFile; readonly keys: KeptKeys },
  storeBytesMax: number,
): string {
  const configFile = join(dir, 'nats.conf');
  writePrivate(
    configFile,
    natsServerConfig({
      port: portOf(file.natsUrl),
      authorization: keys.server,
      storeDir: join(dir, 'nats'),
      storeBytesMax,
      serverName: 'pocketfleet',
    }),
  );
  return configFile;
}
