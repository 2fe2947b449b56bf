// DIR/fleet.json, by which a command finds the fleet that `up` started, and DIR/up.lock, which names its
// supervisor. Decides whether a live supervisor uses a folder.

import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { FleetError } from '../../../core/errors.ts';
import { singleToken } from '../../../core/net/token-book.ts';
import { tokenIn } from '../../../core/net/token-source.ts';
import { fileFailure, makeFolder } from '../../../core/system/folder.ts';
import { refusalOfAddresses } from '../../../core/text/host-port.ts';
import { checkShape, sentences } from '../../../core/text/shape.ts';
import { temporaryBeside } from '../output-file.ts';
import { shellWord } from '../shell-word.ts';

const fleetFileSchema = z.strictObject({
  fleet: z.string(),
  /** host:port of gRPC of each coordinator, with commas between. */
  coordinator: z.string(),
  /** host:port of the /metrics of each coordinator, in the same order. */
  metrics: z.string(),
  natsUrl: z.string(),
  /** Bearer token of an administrator, for the commands. */
  token: z.string(),
  /** Of a fleet that an earlier release started. */
  natsToken: z.string().optional(),
  /** File of the authority of its certificates; absent in a fleet that does not encrypt. */
  tlsCaFile: z.string().optional(),
  /** Process id of the supervisor, `pocketfleet up`. */
  pid: z.int(),
});
export type FleetFile = Readonly<z.infer<typeof fleetFileSchema>>;

const identitySchema = z.strictObject({
  name: z.string(),
  pid: z.int(),
  /** Start time of the process in clock ticks since boot; empty where the system does not report it. */
  startTicks: z.string(),
});
/** A process that cannot be mistaken for a later one with the same id. */
export type ProcessIdentity = Readonly<z.infer<typeof identitySchema>>;

export function fleetFilePath(dir: string): string {
  return join(resolve(dir), 'fleet.json');
}

/** The file with the tokens that `pocketfleet token` makes for the fleet of a folder. */
export function tokensFilePath(dir: string): string {
  return join(resolve(dir), 'tokens.yaml');
}

/** Undefined when there is none. */
export function readFleetFile(dir: string): FleetFile | undefined {
  const path = fleetFilePath(dir);
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  const parsed = checkShape(fleetFileSchema, parseJson(text, path), ([key]) => /token/i.test(String(key)));
  if (parsed.ok) return parsed.data;
  throw new FleetError(
    'invalidArgument',
    `${path} is not a fleet file (${sentences(parsed.problems).join('; ')}); delete it and start the fleet again`,
  );
}

/** Readable by its owner alone: it holds the tokens. Replaced whole, so that nobody reads half of it. */
export function writeFleetFile(dir: string, file: FleetFile): void {
  writePrivate(fleetFilePath(dir), `${JSON.stringify(file, null, 2)}\n`);
}

export function writePrivate(path: string, text: string): void {
  const temporary = temporaryBeside(path);
  try {
    writeFileSync(temporary, text, { mode: 0o600 });
    renameSync(temporary, path);
  } catch (caught) {
    throw fileFailure(caught, { path, doing: 'it cannot be written' });
  }
}

/** Address of a fleet, and the token that its calls need. */
export interface Address {
  /** host:port of the coordinator; several with commas between, of which one leads. */
  readonly coordinator: string;
  /** Bearer token; empty when the fleet runs without authentication. */
  readonly token: string;
  /** PEM file of the authority that signs the coordinator's certificate; absent or empty: calls are in the clear. */
  readonly tlsCaFile?: string | undefined;
  /** The name that its certificate is to be for; absent or empty: the host of the address. */
  readonly tlsServerName?: string | undefined;
  /** Folder of the fleet.json that says so, for a fleet that `up` started. */
  readonly dir?: string;
}

/** How the user named the fleet: by an address, or by a folder. */
export interface Location {
  readonly dir: string;
  /** The folders above were looked into as well. */
  readonly above?: boolean;
  readonly coordinator?: string | undefined;
  readonly token?: string | undefined;
  /** File that holds the token; it is used where both are given. */
  readonly tokenFile?: string | undefined;
  readonly tlsCaFile?: string | undefined;
  readonly tlsServerName?: string | undefined;
}

export function locateFleet(location: Location): Address {
  if (location.coordinator !== undefined) {
    const refusal = refusalOfAddresses(location.coordinator);
    if (refusal !== undefined) throw new FleetError('invalidArgument', `--coordinator: ${refusal}`);
    const { coordinator, tlsCaFile, tlsServerName } = location;
    return {
      ...{ coordinator, token: tokenOf(location) ?? '' },
      ...(tlsCaFile === undefined ? {} : { tlsCaFile, tlsServerName }),
    };
  }
  const file = readFleetFile(location.dir);
  if (file === undefined)
    throw new FleetError(
      'notFound',
      `no fleet in ${resolve(location.dir)}${location.above ? ' or a folder above' : ''}: fleet.json is not there; start one with \`pocketfleet up\`, or name one with --dir DIR or --coordinator HOST:PORT --token-file FILE`,
    );
  return {
    coordinator: file.coordinator,
    token: tokenOf(location) ?? file.token,
    ...(file.tlsCaFile === undefined ? {} : { tlsCaFile: file.tlsCaFile }),
    dir: resolve(location.dir),
  };
}

function tokenOf({ token, tokenFile }: Location): string | undefined {
  if (tokenFile !== undefined) return tokenIn(tokenFile);
  return token === undefined || token === '' ? token : singleToken(token, '--token');
}

export function identityOf(name: string, pid: number): ProcessIdentity {
  return { name, pid, startTicks: startTicks(pid) };
}

/** False for a process that has ended, also when its id belongs to another by now. */
export function isAlive(identity: ProcessIdentity): boolean {
  try {
    process.kill(identity.pid, 0);
  } catch (caught) {
    // EPERM: the process exists and belongs to another user.
    if ((caught as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  if (statField(identity.pid, 0) === 'Z') return false;
  return identity.startTicks === '' || identity.startTicks === startTicks(identity.pid);
}

/**
 * Field 22 of /proc/PID/stat; the process name before it may hold spaces and brackets, so count from the last
 * bracket.
 */
function startTicks(pid: number): string {
  return statField(pid, 19);
}

function statField(pid: number, afterName: number): string {
  const stat = readIfThere(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[afterName] ?? '';
}

/** What to do about a folder that cannot be used. */
export const OTHER_DIR = 'choose another folder with --dir';

/** Takes the folder for this process, or refuses because a live supervisor has it. The result releases it. */
export function lockDir(dir: string): () => void {
  makeFolder(dir, { mode: 0o700, remedy: OTHER_DIR });
  const path = join(dir, 'up.lock');
  const holder = supervisorOf(dir);
  if (holder !== undefined)
    throw new FleetError(
      'failedPrecondition',
      `${resolve(dir)} is in use by a fleet (pocketfleet up, process ${holder.pid}); stop it with \`pocketfleet down --dir ${shellWord(dir)}\`, or choose another --dir`,
    );
  try {
    rmSync(path, { force: true });
    const file = openSync(path, 'wx', 0o600);
    try {
      writeFileSync(file, JSON.stringify(identityOf('up', process.pid)));
    } finally {
      closeSync(file);
    }
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'EEXIST')
      throw new FleetError(
        'failedPrecondition',
        `another pocketfleet took ${resolve(dir)} at the same moment; choose another --dir`,
        { cause: caught },
      );
    throw fileFailure(caught, {
      path: resolve(dir),
      doing: 'the folder cannot be written to',
      remedy: OTHER_DIR,
    });
  }
  return () => rmSync(path, { force: true });
}

/** What a fleet that has ended leaves for commands to find it by goes; its data stays. */
export function forgetFleet(dir: string): void {
  rmSync(fleetFilePath(dir), { force: true });
  rmSync(join(dir, 'children.json'), { force: true });
}

/** The live supervisor of a folder, if any. */
export function supervisorOf(dir: string): ProcessIdentity | undefined {
  const [identity] = readIdentities(join(dir, 'up.lock'));
  return identity !== undefined && isAlive(identity) ? identity : undefined;
}

/** Children that a supervisor wrote down, so that whoever comes after its kill -9 can end them. */
export function writeChildren(dir: string, children: readonly ProcessIdentity[]): void {
  writePrivate(join(dir, 'children.json'), JSON.stringify(children));
}
export function readChildren(dir: string): readonly ProcessIdentity[] {
  return readIdentities(join(dir, 'children.json'));
}

/** An unreadable file names nobody: it was cut off while being written, and then its writer is gone too. */
function readIdentities(path: string): ProcessIdentity[] {
  const text = readIfThere(path);
  if (text === undefined || text.trim() === '') return [];
  try {
    const value: unknown = JSON.parse(text);
    const parsed = z.array(identitySchema).safeParse(Array.isArray(value) ? value : [value]);
    return parsed.success ? parsed.data : [];
  } catch {
    return [];
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    // A process that ends while its /proc entry is read.
    if ((caught as NodeJS.ErrnoException).code === 'ESRCH') return undefined;
    throw fileFailure(caught, { path, doing: 'it cannot be read' });
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (caught) {
    throw new FleetError('invalidArgument', `${path} is not JSON; delete it and start the fleet again`, {
      cause: caught,
    });
  }
}
