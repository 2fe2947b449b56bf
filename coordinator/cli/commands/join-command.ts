// `join`: workers of this machine for a fleet of another one. Decides their names, and with which exit code it ends.

import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { WORKER_ID, WORKER_ID_WORDS } from '../../../core/text/wire-text.ts';
import { aborted, endedBy, exitCodeOf, onInterrupt, wholeNumber } from '../context.ts';
import { DEFAULT_DIR, dirOption, ownDir } from '../local/fleet-folder.ts';
import { type JoinedWorkers, joinFleet } from '../local/join.ts';
import { readJoinFile } from '../local/join-file.ts';
import { outliveReader } from '../lost-output.ts';
import { print, say } from '../screen/output.ts';

interface JoinFlags {
  readonly dir?: string;
  readonly workers?: number;
  readonly perDevice?: number;
  readonly devices?: string;
  readonly name: string;
  readonly dataRoot: readonly string[];
}

/** What `--per-device` of `up` and `join` is. */
export const PER_DEVICE_HELP =
  'workers that share each GPU and its memory, or each core; a gang takes one of them (default: 1)';

export function addJoinCommand(program: Command): void {
  program
    .command('join <file>')
    .description(
      'bring workers of this machine into the fleet whose join.json is given, or - for standard input',
    )
    .addOption(dirOption(`folder for their logs and certificates (default: ${DEFAULT_DIR} here)`))
    .option('--workers <n>', 'worker processes (default: one a GPU, else one a core)', wholeNumber(1, 1024))
    .option('--per-device <k>', PER_DEVICE_HELP, wholeNumber(1, 64))
    .option('--devices <list>', 'GPUs for the workers in turn, as of `up`')
    .option('--name <name>', 'beginning of their names, which are unique in the fleet', workerName, ownName())
    .option(
      '--data-root <dir>',
      'folder beneath which data sets may lie (repeatable); without it: anywhere that you may read',
      (dir: string, before: readonly string[]) => [...before, resolve(dir)],
      [],
    )
    .action(joined);
}

/** The name of this machine as a worker may have it. */
const ownName = (): string =>
  hostname()
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '-')
    .replace(/^-+/, '')
    .slice(0, 50) || 'worker';

function workerName(text: string): string {
  if (WORKER_ID.test(`${text}-1024`)) return text;
  throw new InvalidArgumentError(`It is not the beginning of a worker's name (${WORKER_ID_WORDS}).`);
}

async function joined(path: string, flags: JoinFlags): Promise<void> {
  outliveReader();
  const file = readJoinFile(path);
  let workers: JoinedWorkers | undefined;
  const { signal, release } = onInterrupt(() => {
    workers?.kill();
    process.exit(exitCodeOf('SIGINT'));
  });
  try {
    say(`joining fleet ${file.fleet} at ${file.coordinator}`);
    workers = await joinFleet({
      ...flags,
      file,
      dir: ownDir(flags.dir),
      dataRoots: flags.dataRoot,
      signal,
      say,
    });
    for (const id of workers.ids) print(id);
    say('attached; Ctrl-C takes them out again');
    await aborted(signal);
    await workers.close();
    say('stopped; nothing is left running');
    endedBy(signal);
  } finally {
    release();
  }
}
