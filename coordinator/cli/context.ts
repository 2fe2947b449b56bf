// What all commands share: the address of the fleet, a client that is closed when the command ends, Ctrl-C as
// an abort signal, and names in place of ids.

import { constants } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { onStopSignals } from '../../core/system/stop-signals.ts';
import { type Noun, onlyOne } from '../../core/text/naming.ts';
import type { Found, Run } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from './client.ts';
import { DEFAULT_DIR, dirOption, fleetDir } from './local/fleet-folder.ts';

export interface FleetOptions {
  readonly dir?: string;
  readonly coordinator?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly tlsCaFile?: string;
  readonly tlsServerName?: string;
  readonly json?: boolean;
}

/** A subcommand that talks to a fleet. */
export function fleetCommand(parent: Command, nameAndArguments: string, description: string): Command {
  return parent
    .command(nameAndArguments)
    .description(description)
    .addOption(dirOption(`folder of a fleet that \`up\` started (default: ${DEFAULT_DIR} here or above)`))
    .addOption(
      new Option(
        '--coordinator <host:port>',
        'coordinator of a fleet elsewhere; several with commas between',
      ).env('POCKETFLEET_COORDINATOR'),
    )
    .addOption(new Option('--token <token>', "that fleet's token").env('POCKETFLEET_TOKEN'))
    .addOption(
      new Option('--token-file <file>', 'file with it, which other users of this machine cannot see').env(
        'POCKETFLEET_TOKEN_FILE',
      ),
    )
    .addOption(
      new Option(
        '--tls-ca-file <file>',
        "authority of that fleet's certificates (ca.crt); without it calls are not encrypted",
      ).env('POCKETFLEET_TLS_CA_FILE'),
    )
    .addOption(
      new Option(
        '--tls-server-name <name>',
        "name that the coordinator's certificate is for, where it is called by another",
      ).env('POCKETFLEET_TLS_SERVER_NAME'),
    )
    .option('--json', 'print JSON')
    .hook('preAction', (_, command) => preferFlags(command));
}

/**
 * A folder on the command line overrides an address in the environment, and a token there one in the
 * environment, however each is given.
 */
function preferFlags(command: Command): void {
  const comesFrom = (name: string, source: string) => command.getOptionValueSource(name) === source;
  const forget = (names: readonly string[]) => {
    for (const name of names) if (comesFrom(name, 'env')) command.setOptionValue(name, undefined);
  };
  if (comesFrom('dir', 'cli')) forget(['coordinator', 'token', 'tokenFile', 'tlsCaFile', 'tlsServerName']);
  if (comesFrom('token', 'cli') && comesFrom('tokenFile', 'cli'))
    command.error("error: option '--token <token>' cannot be used with option '--token-file <file>'", {
      exitCode: 2,
      code: 'commander.conflictingOption',
    });
  if (comesFrom('token', 'cli') || comesFrom('tokenFile', 'cli')) forget(['token', 'tokenFile']);
}

/** Runs `use` with a client of the fleet that the options name, and closes it. */
export async function withFleet<T>(
  options: FleetOptions,
  use: (client: FleetClient) => Promise<T>,
): Promise<T> {
  // gRPC takes its time to load; help and refusals need none of it.
  const [{ openFleet }, { locateFleet }] = await Promise.all([
    import('./client.ts'),
    import('./local/fleet-file.ts'),
  ]);
  const client = openFleet(
    locateFleet({ ...options, dir: fleetDir(options.dir), above: options.dir === undefined }),
  );
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

/**
 * The first signal that asks to stop aborts `signal`; the second calls `again`. `release` gives the signals
 * back.
 */
export function onInterrupt(again: () => void): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const release = onStopSignals((name) => {
    if (controller.signal.aborted) again();
    else controller.abort(new FleetError('cancelled', `stopped by ${name}`, { details: { signal: name } }));
  });
  return { signal: controller.signal, release };
}

/**
 * Runs one piece of work under `onInterrupt`. The work fails with the signal's reason when it is aborted; a
 * second signal ends the process.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { signal, release } = onInterrupt(() => process.exit(exitCodeOf('SIGINT')));
  try {
    const result = await work(signal);
    signal.throwIfAborted();
    return result;
  } catch (caught) {
    throw signal.aborted ? signal.reason : caught;
  } finally {
    release();
  }
}

/** What shells report of a process that a signal has ended: 130 after Ctrl-C, 143 after SIGTERM. */
export function exitCodeOf(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

/** The exit code of a command that failed because of a signal; undefined for any other failure. */
export function interruptedBy(error: FleetError): number | undefined {
  const { signal } = error.details;
  return typeof signal === 'string' && signal in constants.signals
    ? exitCodeOf(signal as NodeJS.Signals)
    : undefined;
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    signal.addEventListener('abort', () => done(), { once: true });
  });
}

/**
 * Sets the exit code of a command that runs until it is stopped: 0 after SIGTERM, which `down` and service managers
 * send; 130 after Ctrl-C. `signal` is that of `onInterrupt`.
 */
export function endedBy(signal: AbortSignal): void {
  const code = interruptedBy(toFleetError(signal.reason));
  if (code !== undefined && code !== exitCodeOf('SIGTERM')) process.exitCode = code;
}

/** A run by its id, or by its name where only one run of the fleet has it. */
export function findRun(client: FleetClient, idOrName: string): Promise<Run> {
  return client.ask((service) => service.getRun, { id: idOrName });
}

/** The one thing of these nouns with this id, or with this name where one alone has it. */
export async function findOne(client: FleetClient, idOrName: string, nouns: readonly Noun[]): Promise<Found> {
  const ask = (kinds: readonly Noun[]) =>
    client.ask((service) => service.find, { idOrName, kinds: [...kinds] });
  const meant = await ask(nouns);
  return onlyOne(meant, idOrName, nouns, meant.total === 0 ? (await ask([])).found : []);
}

/** No run has a stage of a higher number. */
export const STAGE_MAX = 100_000;

/** For commander: a whole number within bounds, or a usage error that names them. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`${text} is not a whole number from ${min} to ${max}.`);
  };
}
