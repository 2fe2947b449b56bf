// A whole fleet on one machine: nats-server, one coordinator and N workers as child processes, the same
// programs that the chart runs in pods. Decides the order of starting and stopping, addresses, tokens and
// folders. `up` and `demo` both use `startFleet`.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { systemClock } from '../../../core/clock.ts';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import { findNatsServer, NATS_ENVIRONMENT, natsServerConfig } from '../../../core/net/nats-binary.ts';
import { makeFolder } from '../../../core/system/folder.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { type FleetClient, openFleet } from '../client.ts';
import { listAll } from '../pages.ts';
import { keepRoom, storeBytesMaxOf } from './broker-room.ts';
import {
  type FleetFile,
  forgetFleet,
  identityOf,
  isAlive,
  lockDir,
  type ProcessIdentity,
  readChildren,
  writeChildren,
  writeFleetFile,
  writePrivate,
} from './fleet-file.ts';
import { readHost } from './host.ts';
import { freePorts, isListening } from './ports.ts';
import { type ProgramCommand, programCommand } from './program-command.ts';
import { type ChildSpec, type Patience, type Supervised, supervise } from './supervise.ts';
import { placeWorkers, type WorkerPlaces, type WorkersAsked } from './worker-places.ts';

export interface UpOptions extends WorkersAsked {
  readonly dir: string;
  /** 0: any free port of the loopback interface. */
  readonly port?: number;
  readonly metricsPort?: number;
  readonly natsPort?: number;
  /** Bytes that the store may have at most; undefined: most of what is free. */
  readonly storeBytes?: number | undefined;
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

const WORKER_PATIENCE: Patience = { againMs: 1500, killMs: 6000 };
const CONTROL_PATIENCE: Patience = { againMs: 3000, killMs: 8000 };
const START_DEADLINE_MS = 60_000;
/**
 * Milliseconds until all workers must have attached. Each loads TensorFlow and runs a kernel, which is slow
 * for many workers on few cores.
 */
const WORKERS_DEADLINE_MS = 180_000;
/** Shortest time between two lines about the progress of a start, milliseconds. */
const PROGRESS_EVERY_MS = 2_000;
/**
 * Children whose logs are quoted when a start fails: the reason of the others is the same, or follows from
 * it.
 */
const QUOTED_MAX = 3;
/** Deaths of one child after which a start is given up: the cause is in the log and will not go away. */
const DEATHS_MAX = 3;

/**
 * Resolves when every worker that it started has attached; on failure everything that was started is ended
 * first.
 */
export async function startFleet(options: UpOptions): Promise<RunningFleet> {
  const dir = resolve(options.dir);
  const unlock = lockDir(dir);
  const children: Supervised[] = [];
  const running = () =>
    children.flatMap((child) => {
      const pid = child.pid();
      return pid === undefined ? [] : [identityOf(child.name, pid)];
    });
  let noted = true;
  // The process ids are written down, so that a later `up` or `down` finds them after a kill -9. A full disk
  // does not end the fleet.
  const noteChildren = () => {
    try {
      writeChildren(dir, running());
      noted = true;
    } catch (caught) {
      if (noted) options.say(toFleetError(caught).message);
      noted = false;
    }
  };
  const begin = (spec: ChildSpec): Supervised => {
    const child = supervise(spec, { changed: noteChildren, say: options.say });
    children.push(child);
    writeChildren(dir, running());
    return child;
  };
  const kill = () => {
    for (const child of children) child.kill();
  };
  // An exception that nobody caught, or a second Ctrl-C, must not leave anything behind either.
  const abandon = () => {
    kill();
    forgetFleet(dir);
    unlock();
  };
  process.once('exit', abandon);
  const closed = new AbortController();
  let client: FleetClient | undefined;
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= endAll();
    return closing;
  };
  const endAll = async () => {
    closed.abort();
    client?.close();
    const [broker, coordinator, ...workers] = children;
    await Promise.all(workers.map((worker) => worker.stop(WORKER_PATIENCE)));
    await coordinator?.stop(CONTROL_PATIENCE);
    await broker?.stop(CONTROL_PATIENCE);
    process.removeListener('exit', abandon);
    forgetFleet(dir);
    unlock();
  };
  try {
    await endLeftovers(dir, options.say);
    const file = await addresses(options);
    makeFolder(join(dir, 'nats'), { mode: 0o700 });
    const limit = await storeBytesMaxOf(join(dir, 'nats'), options.storeBytes);
    const places = placeWorkers(readHost(), options);
    const specs = childSpecs({ dir, file, options, storeBytesMax: limit, places: places.environments });
    makeFolder(join(dir, 'logs'), { mode: 0o700 });
    const { signal, say } = options;
    const count = specs.workers.length;
    say(
      `starting nats-server, a coordinator and ${count} worker${count === 1 ? '' : 's'} (logs in ${join(dir, 'logs')})`,
    );
    for (const line of places.lines) say(line);
    const broker = begin(specs.broker);
    const listens = async () => ((await isListening(portOf(file.natsUrl))) ? [] : [broker]);
    await until(listens, children, START_DEADLINE_MS, signal);
    const coordinator = begin(specs.coordinator);
    client = openFleet(file);
    const reachable = client;
    const answers = () => reachable.ready(250).then(none, () => [coordinator]);
    await until(answers, children, START_DEADLINE_MS, signal);
    writeFleetFile(dir, file);
    say(`coordinator at ${file.coordinator}, metrics at http://${file.metrics}/metrics`);
    const store = () => reachable.ask((service) => service.getStore, {}, 2000).catch(() => undefined);
    void keepRoom({
      folder: join(dir, 'nats'),
      configured: options.storeBytes,
      store,
      limit,
      signal: closed.signal,
      restart(bytesMax, reason) {
        say(`nats-server is started again: ${reason}`);
        writeNatsConfig(dir, file, bytesMax);
        const pid = broker.pid();
        if (pid !== undefined) process.kill(pid, 'SIGTERM');
      },
    });
    const workers = specs.workers.map(begin);
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
    await until(attached, children, WORKERS_DEADLINE_MS, signal);
    say(trouble === '' ? `${count} worker${count === 1 ? '' : 's'} attached` : trouble);
    return { file, client, children: running, close, kill };
  } catch (caught) {
    await close();
    throw caught;
  }
}

const none = (): readonly Supervised[] => [];

/**
 * Names of workers without a stream to the coordinator. A worker of an earlier start of this fleet has the
 * same name in the journal and another process id, so both are compared. A coordinator that does not answer
 * yet counts all workers as absent.
 */
async function notAttached(
  client: FleetClient,
  workers: readonly Supervised[],
): Promise<readonly Supervised[]> {
  try {
    const { items } = await listAll(
      (page) => client.ask((service) => service.listWorkers, page, 2000),
      (answer) => answer.workers,
    );
    const processes = new Map(items.filter(({ connected }) => connected).map(({ id, pid }) => [id, pid]));
    return workers.filter((worker) => processes.get(worker.name) !== (worker.pid() ?? 0));
  } catch {
    return workers;
  }
}

/** Reports how many workers have attached, as they attach, and returns those that have not. */
function progressOf(all: readonly Supervised[], say: (text: string) => void) {
  let said = 0;
  let saidAt = performance.now();
  return (absent: readonly Supervised[]) => {
    const come = all.length - absent.length;
    if (come > said && absent.length > 0 && performance.now() - saidAt >= PROGRESS_EVERY_MS) {
      say(`${come} of ${all.length} workers attached`);
      said = come;
      saidAt = performance.now();
    }
    return absent;
  };
}

async function addresses(options: UpOptions): Promise<FleetFile> {
  const [port, metricsPort, natsPort] = await freePorts([
    options.port ?? 0,
    options.metricsPort ?? 0,
    options.natsPort ?? 0,
  ]);
  return {
    fleet: 'local',
    coordinator: `127.0.0.1:${port}`,
    metrics: `127.0.0.1:${metricsPort}`,
    natsUrl: `nats://127.0.0.1:${natsPort}`,
    token: randomBytes(24).toString('hex'),
    natsToken: randomBytes(24).toString('hex'),
    pid: process.pid,
  };
}

const portOf = (url: string): number => Number(new URL(url).port);

function writeNatsConfig(dir: string, file: FleetFile, storeBytesMax: number): string {
  const configFile = join(dir, 'nats.conf');
  writePrivate(
    configFile,
    natsServerConfig({
      port: portOf(file.natsUrl),
      token: file.natsToken,
      storeDir: join(dir, 'nats'),
      storeBytesMax,
      serverName: 'pocketfleet',
    }),
  );
  return configFile;
}

function childSpecs(start: {
  readonly dir: string;
  readonly file: FleetFile;
  readonly options: UpOptions;
  readonly storeBytesMax: number;
  readonly places: WorkerPlaces['environments'];
}) {
  const { dir, file, options, storeBytesMax, places } = start;
  const configFile = writeNatsConfig(dir, file, storeBytesMax);
  const common = (name: string) => ({
    name,
    cwd: PACKAGE_ROOT,
    logFile: join(dir, 'logs', `${name}.log`),
  });
  const { dataRoots = [] } = options;
  const roots: Record<string, string> =
    dataRoots.length > 0 ? { POCKETFLEET_DATA_ROOTS: dataRoots.join(delimiter) } : {};
  const spec = (name: string, program: ProgramCommand, env: Record<string, string>): ChildSpec => ({
    ...common(name),
    ...program,
    env: { ...env, ...roots, POCKETFLEET_TOKEN: file.token, POCKETFLEET_NATS_TOKEN: file.natsToken },
  });
  const broker: ChildSpec = {
    ...common('nats'),
    command: findNatsServer(),
    args: ['--config', configFile],
    env: NATS_ENVIRONMENT,
  };
  const coordinator = spec('coordinator', programCommand('coordinator'), {
    POCKETFLEET_FLEET: file.fleet,
    POCKETFLEET_LISTEN: file.coordinator,
    POCKETFLEET_METRICS_LISTEN: file.metrics,
    POCKETFLEET_NATS_URL: file.natsUrl,
    POCKETFLEET_STORE_DIR: join(dir, 'nats'),
  });
  const workers = places.map((place, i) =>
    spec(`worker-${i + 1}`, programCommand('worker'), { ...workerEnvironment(i, file), ...place }),
  );
  return { broker, coordinator, workers };
}

/**
 * One thread a worker: two workers of one thread are 1.4 times as fast as one of two, and the bits do not
 * depend on the machine.
 */
function workerEnvironment(index: number, file: FleetFile): Record<string, string> {
  return {
    POCKETFLEET_ID: `worker-${index + 1}`,
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

/** Ends children of a supervisor that was killed before it could do so itself. */
export async function endLeftovers(dir: string, say: (text: string) => void): Promise<void> {
  const leftovers = readChildren(dir).filter(isAlive);
  if (leftovers.length === 0) return;
  say(
    `ending ${leftovers.map(({ name, pid }) => `${name} (process ${pid})`).join(', ')}: left by a supervisor that was killed`,
  );
  for (const leftover of leftovers) end(leftover, 'SIGTERM');
  const deadline = performance.now() + 5000;
  while (leftovers.some(isAlive) && performance.now() < deadline) await systemClock.sleep(50);
  for (const leftover of leftovers) if (isAlive(leftover)) end(leftover, 'SIGKILL');
  while (leftovers.some(isAlive)) await systemClock.sleep(20);
}

/** Ends a process. One that has ended by itself meanwhile counts as ended. */
function end(leftover: ProcessIdentity, signal: NodeJS.Signals): void {
  try {
    process.kill(leftover.pid, signal);
  } catch (caught) {
    if (isAlive(leftover)) throw toFleetError(caught, `ending ${leftover.name} (process ${leftover.pid})`);
  }
}

/**
 * Waits until no worker is missing. Throws, with the end of the log, when the deadline passes or one of
 * `children` keeps dying.
 */
async function until(
  awaited: () => Promise<readonly Supervised[]>,
  children: readonly Supervised[],
  deadlineMs: number,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    signal.throwIfAborted();
    const absent = await awaited();
    if (absent.length === 0) return;
    const failing = children.find((child) => child.deaths() >= DEATHS_MAX);
    if (failing) throw startFailure([failing], `${failing.lastEnd()} ${failing.deaths()} times in a row`);
    if (performance.now() > deadline) throw startFailure(absent, `not ready after ${deadlineMs / 1000} s`);
    await systemClock.sleep(100, signal);
  }
}

function startFailure(whose: readonly Supervised[], what: string): FleetError {
  const quoted = whose
    .slice(0, QUOTED_MAX)
    .map(({ name, logFile }) => `the end of ${name}'s log ${logFile}:\n  ${endOf(logFile)}`);
  const names = whose.map(({ name }) => name).join(', ');
  return new FleetError('failedPrecondition', `${names}: ${what}; ${quoted.join('\n')}`);
}

function endOf(logFile: string): string {
  try {
    const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-5).join('\n  ');
    return lines === '' ? '(nothing)' : lines;
  } catch (caught) {
    return `(it cannot be read: ${toFleetError(caught).message})`;
  }
}
