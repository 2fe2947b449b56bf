// `up` and `down`: a fleet on this machine, started and ended. What a fleet consists of is up.ts'.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { systemClock } from '../../core/clock.ts';
import { FleetError } from '../../core/errors.ts';
import { makeFolder } from '../../core/folder.ts';
import { onInterrupt, wholeNumber } from './context.ts';
import { DEFAULT_DIR, fleetFilePath, isAlive, OTHER_DIR, readFleetFile, supervisorOf } from './fleet-file.ts';
import { outliveReader } from './lost-output.ts';
import { print, printJson, say } from './output.ts';
import { cliCommand, PACKAGE_ROOT } from './program-command.ts';
import { defaultWorkers, endLeftovers, type RunningFleet, startFleet } from './up.ts';

interface UpFlags {
  readonly dir: string;
  readonly workers: number;
  readonly port: number;
  readonly metricsPort: number;
  readonly natsPort: number;
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
    .option('--dir <dir>', 'folder for its data, logs and fleet.json', DEFAULT_DIR)
    .option('--workers <n>', 'worker processes; one a core or GPU', wholeNumber(0, 1024), defaultWorkers())
    .option('--devices <list>', 'GPUs for the workers in turn, e.g. 0,1,2,3 (CUDA_VISIBLE_DEVICES of each)')
    .option('--port <port>', 'gRPC port; 0 takes a free one', port, 0)
    .option('--metrics-port <port>', 'port of /metrics; 0 takes a free one', port, 0)
    .option('--nats-port <port>', 'port of nats-server; 0 takes a free one', port, 0)
    .option(
      '--data-root <dir>',
      'folder beneath which data sets may lie (repeatable); without it: anywhere that you may read',
      (dir: string, before: readonly string[]) => [...before, resolve(dir)],
      [],
    )
    .option('--detach', 'return when the fleet is ready and leave it running; `down` stops it')
    .option('--json', 'print fleet.json when ready')
    .action((flags: UpFlags) => (flags.detach ? upDetached(flags) : upInForeground(flags)));
  program
    .command('down')
    .description('stop the fleet that `up` started in a folder')
    .option('--dir <dir>', 'folder of the fleet', DEFAULT_DIR)
    .action((flags: { dir: string }) => down(flags.dir));
}

async function upInForeground(flags: UpFlags): Promise<void> {
  outliveReader();
  let fleet: RunningFleet | undefined;
  const { signal, release } = onInterrupt(() => {
    fleet?.kill();
    process.exit(130);
  });
  try {
    fleet = await startFleet({
      dir: flags.dir,
      workers: flags.workers,
      port: flags.port,
      metricsPort: flags.metricsPort,
      natsPort: flags.natsPort,
      dataRoots: flags.dataRoot,
      devices: flags.devices?.split(',') ?? [],
      signal,
      say,
    });
    announce(flags);
    process.send?.('ready');
    if (process.connected) process.disconnect();
    await new Promise<void>((done) => {
      if (signal.aborted) done();
      signal.addEventListener('abort', () => done(), { once: true });
    });
    say('stopping workers, coordinator and broker');
    await fleet.close();
    say('stopped; nothing is left running');
  } finally {
    release();
  }
}

function announce(flags: UpFlags): void {
  if (flags.json) printJson(readFleetFile(flags.dir));
  else print(fleetFilePath(flags.dir));
  const where = flags.dir === DEFAULT_DIR ? '' : ` --dir ${flags.dir}`;
  say(`ready; in another terminal: pocketfleet submit examples/demo.yaml --wait${where}`);
}

/** Starts `up` again as a process of its own, and waits for its word that the fleet is ready. */
async function upDetached(flags: UpFlags): Promise<void> {
  const logFile = join(resolve(flags.dir), 'logs', 'up.log');
  makeFolder(join(resolve(flags.dir), 'logs'), { mode: 0o700, remedy: OTHER_DIR });
  const log = openSync(logFile, 'a', 0o600);
  const { command, args } = cliCommand();
  const child = spawn(command, [...args, ...upArguments(flags)], {
    cwd: PACKAGE_ROOT,
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  await readyOrEnded(child, logFile);
  child.unref();
  announce(flags);
  say(
    `the supervisor is process ${child.pid}; pocketfleet down --dir ${flags.dir} stops it (log: ${logFile})`,
  );
}

function upArguments(flags: UpFlags): string[] {
  return [
    'up',
    ...['--dir', resolve(flags.dir), '--workers', String(flags.workers)],
    ...['--port', String(flags.port), '--metrics-port', String(flags.metricsPort)],
    ...['--nats-port', String(flags.natsPort)],
    ...flags.dataRoot.flatMap((dir) => ['--data-root', dir]),
    ...(flags.devices === undefined ? [] : ['--devices', flags.devices]),
  ];
}

function readyOrEnded(child: ChildProcess, logFile: string): Promise<void> {
  return new Promise((done, fail) => {
    child.once('message', () => done());
    child.once('exit', (code, signal) =>
      fail(
        new FleetError(
          'failedPrecondition',
          `the fleet did not start (${signal ?? `exit code ${code}`}); the reason is at the end of ${logFile}`,
        ),
      ),
    );
  });
}

/** Longer than the supervisor's own patience with its children, all stages together. */
const DOWN_DEADLINE_MS = 30_000;

async function down(dir: string): Promise<void> {
  const supervisor = supervisorOf(dir);
  if (supervisor === undefined) {
    await endLeftovers(dir, say);
    say(`no fleet is running in ${resolve(dir)}`);
    return;
  }
  process.kill(supervisor.pid, 'SIGTERM');
  const deadline = performance.now() + DOWN_DEADLINE_MS;
  while (isAlive(supervisor)) {
    if (performance.now() > deadline)
      throw new FleetError(
        'deadlineExceeded',
        `the supervisor (process ${supervisor.pid}) is still there after ${DOWN_DEADLINE_MS / 1000} s; see ${join(resolve(dir), 'logs')}, or end it with kill -9 and run down again`,
      );
    await systemClock.sleep(50);
  }
  await endLeftovers(dir, say);
  say('stopped; nothing is left running');
}
