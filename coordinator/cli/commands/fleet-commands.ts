// `up` and `down`: a fleet on this machine, started and ended. Decides what is announced and with which exit
// code they end.

import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { systemClock } from '../../../core/clock.ts';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import { makeFolder } from '../../../core/system/folder.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { openFleet } from '../client.ts';
import { aborted, endedBy, exitCodeOf, onInterrupt, wholeNumber } from '../context.ts';
import { endLeftovers } from '../local/children.ts';
import { startDetached, starterOf } from '../local/detached.ts';
import {
  fleetFilePath,
  forgetFleet,
  isAlive,
  OTHER_DIR,
  readFleetFile,
  supervisorOf,
} from '../local/fleet-file.ts';
import { DEFAULT_DIR, dirOption, fleetDir, ownDir } from '../local/fleet-folder.ts';
import { type RunningFleet, startFleet } from '../local/up.ts';
import { outliveReader } from '../lost-output.ts';
import { print, printJson, say } from '../screen/output.ts';
import { shellWord } from '../shell-word.ts';
import { addJoinCommand, PER_DEVICE_HELP } from './join-command.ts';

interface UpFlags {
  readonly dir?: string;
  readonly workers?: number;
  readonly perDevice?: number;
  readonly coordinators: number;
  readonly port: number;
  readonly metricsPort: number;
  readonly natsPort: number;
  readonly listen?: string;
  readonly tls?: boolean;
  readonly storeBytes?: number;
  readonly metricsTargets?: string;
  readonly dataRoot: readonly string[];
  readonly devices?: string;
  readonly detach?: boolean;
  readonly json?: boolean;
}

export function addFleetCommands(program: Command): void {
  const port = wholeNumber(0, 65_535);
  program
    .command('up')
    .description('start a fleet on this machine: nats-server, coordinator and workers; Ctrl-C stops it')
    .addOption(dirOption(`folder for its data, logs and fleet.json (default: ${DEFAULT_DIR} here)`))
    .option('--workers <n>', 'worker processes (default: one a GPU, else one a core)', wholeNumber(0, 1024))
    .option('--per-device <k>', PER_DEVICE_HELP, wholeNumber(1, 64))
    .option(
      '--devices <list>',
      'GPUs for the workers in turn, in place of CUDA_VISIBLE_DEVICES and as it is written: 0,1,… or GPU-… or MIG-…; -1 for none',
    )
    .option(
      '--coordinators <n>',
      'coordinator processes: one leads, the others take over when it dies',
      wholeNumber(1, 5),
      1,
    )
    .option('--port <port>', 'gRPC port of the first; 0 takes a free one', port, 0)
    .option('--metrics-port <port>', 'port of its /metrics; 0 takes a free one', port, 0)
    .option('--nats-port <port>', 'port of nats-server; 0 takes a free one', port, 0)
    .option(
      '--listen <address>',
      'address of this machine at which others reach the fleet, encrypted; writes join.json for `join`',
    )
    .option('--tls', 'encrypt on loopback too')
    .option(
      '--store-bytes <n>',
      'bytes that checkpoints, journal and logs may take; most of what is free without it',
      wholeNumber(2 << 20, Number.MAX_SAFE_INTEGER),
    )
    .option(
      '--metrics-targets <dir>',
      'folder for the addresses that Prometheus scrapes, e.g. deploy/targets for deploy/prometheus.yml',
    )
    .option(
      '--data-root <dir>',
      'folder beneath which data sets may lie (repeatable); without it: anywhere that you may read',
      (dir: string, before: readonly string[]) => [...before, resolve(dir)],
      [],
    )
    .option('--detach', 'return when the fleet is ready and leave it running; `down` stops it')
    .option('--json', 'print fleet.json when ready')
    .action((flags: UpFlags) => (flags.detach ? upDetached(flags) : upInForeground(flags)));
  addJoinCommand(program);
  program
    .command('down')
    .description('stop the fleet that `up` started in a folder')
    .addOption(dirOption(`folder of the fleet (default: ${DEFAULT_DIR} here or above)`))
    .action((flags: { dir?: string }) => down(flags.dir));
}

async function upInForeground(flags: UpFlags): Promise<void> {
  outliveReader();
  const dir = ownDir(flags.dir);
  const starter = starterOf(process);
  let fleet: RunningFleet | undefined;
  const { signal, release } = onInterrupt(() => {
    fleet?.kill();
    process.exit(exitCodeOf('SIGINT'));
  });
  try {
    fleet = await startFleet({
      dir,
      workers: flags.workers,
      perDevice: flags.perDevice,
      coordinators: flags.coordinators,
      port: flags.port,
      metricsPort: flags.metricsPort,
      natsPort: flags.natsPort,
      listen: flags.listen,
      tls: flags.tls,
      storeBytes: flags.storeBytes,
      metricsTargets: flags.metricsTargets,
      dataRoots: flags.dataRoot,
      devices: flags.devices,
      signal: AbortSignal.any([signal, starter.gone]),
      say: (text) => {
        say(text);
        starter.say(text);
      },
    });
    await announce(dir, flags);
    starter.ready();
    await aborted(signal);
    say('stopping workers, coordinator and broker');
    await fleet.close();
    say('stopped; nothing is left running');
    endedBy(signal);
  } catch (caught) {
    starter.refused(toFleetError(caught).message);
    throw caught;
  } finally {
    release();
  }
}

async function announce(dir: string, flags: UpFlags): Promise<void> {
  if (flags.json) printJson(readFleetFile(dir));
  else print(fleetFilePath(dir));
  const where = dir === resolve(DEFAULT_DIR) ? '' : ` --dir ${shellWord(dir)}`;
  if (await isHalted(dir)) say('the fleet is up and takes no work until its journal is repaired');
  else say(`ready; in another terminal: pocketfleet submit ${shellWord(example())} --wait${where}`);
}

/** Trouble with the journal is reported when the fleet starts, and not again here. */
async function isHalted(dir: string): Promise<boolean> {
  const file = readFleetFile(dir);
  if (file === undefined) return false;
  const client = openFleet(file);
  try {
    return (await client.ask((service) => service.getStore, {}, 2_000)).halted !== '';
  } catch {
    return false;
  } finally {
    client.close();
  }
}

/** Path of an example, relative to the current folder, so that it can be typed there. */
function example(): string {
  const file = join('examples', 'demo.yaml');
  return process.cwd() === PACKAGE_ROOT ? file : join(PACKAGE_ROOT, file);
}

/** Starts `up` as a process of its own and waits until it reports that the fleet is ready. */
async function upDetached(flags: UpFlags): Promise<void> {
  const dir = ownDir(flags.dir);
  const logFile = join(dir, 'logs', 'up.log');
  makeFolder(join(dir, 'logs'), { mode: 0o700, remedy: OTHER_DIR });
  const { signal, release } = onInterrupt(() => undefined);
  let pid: number;
  try {
    pid = await startDetached({ args: upArguments(dir, flags), logFile, signal, say });
  } catch (caught) {
    // The supervisor itself was killed before it could end what it had started.
    if (supervisorOf(dir) === undefined) {
      await endLeftovers(dir, say);
      forgetFleet(dir);
    }
    throw caught;
  } finally {
    release();
  }
  await announce(dir, flags);
  say(
    `the supervisor is process ${pid}; pocketfleet down --dir ${shellWord(dir)} stops it (log: ${logFile})`,
  );
}

function upArguments(dir: string, flags: UpFlags): string[] {
  return [
    'up',
    ...['--dir', dir],
    ...(flags.workers === undefined ? [] : ['--workers', String(flags.workers)]),
    ...(flags.perDevice === undefined ? [] : ['--per-device', String(flags.perDevice)]),
    ...['--coordinators', String(flags.coordinators)],
    ...['--port', String(flags.port), '--metrics-port', String(flags.metricsPort)],
    ...['--nats-port', String(flags.natsPort)],
    ...(flags.listen === undefined ? [] : ['--listen', flags.listen]),
    ...(flags.tls ? ['--tls'] : []),
    ...(flags.storeBytes === undefined ? [] : ['--store-bytes', String(flags.storeBytes)]),
    ...(flags.metricsTargets === undefined ? [] : ['--metrics-targets', resolve(flags.metricsTargets)]),
    ...flags.dataRoot.flatMap((dir) => ['--data-root', dir]),
    ...(flags.devices === undefined ? [] : [`--devices=${flags.devices}`]),
  ];
}

/** Milliseconds; longer than the supervisor waits for its children, all phases of the shutdown together. */
const DOWN_DEADLINE_MS = 30_000;

async function down(named: string | undefined): Promise<void> {
  const dir = fleetDir(named);
  const supervisor = supervisorOf(dir);
  if (supervisor === undefined) {
    await endLeftovers(dir, say);
    forgetFleet(dir);
    say(`no fleet is running in ${dir}`);
    return;
  }
  process.kill(supervisor.pid, 'SIGTERM');
  const deadline = systemClock.monotonic() + DOWN_DEADLINE_MS;
  while (isAlive(supervisor)) {
    if (systemClock.monotonic() > deadline)
      throw new FleetError(
        'deadlineExceeded',
        `the supervisor (process ${supervisor.pid}) is still there after ${DOWN_DEADLINE_MS / 1000} s; see ${join(dir, 'logs')}, or end it with kill -9 and run down again`,
      );
    await systemClock.sleep(50);
  }
  await endLeftovers(dir, say);
  say(`stopped the fleet in ${dir}; nothing is left running`);
}
