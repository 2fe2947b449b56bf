// Which nats-server program is started, and with what configuration. Decides by version: 2.12 or newer, for
// what its JetStream does.

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, programSearch } from '../config.ts';
import { FleetError } from '../errors.ts';
import type { TlsFiles } from './tls-files.ts';

const OLDEST = [2, 12] as const;

/**
 * Path of a nats-server: the one that POCKETFLEET_NATS_SERVER names, else the newest in the cache, else the
 * first on PATH.
 */
export function findNatsServer(env?: NodeJS.ProcessEnv): string {
  const { natsServer, path } = programSearch(env);
  if (natsServer !== undefined) {
    if (isRecent(versionOf(natsServer))) return natsServer;
    throw new FleetError(
      'failedPrecondition',
      `POCKETFLEET_NATS_SERVER names ${natsServer}, which is not a nats-server of version ${OLDEST.join('.')} or newer; correct or unset it`,
    );
  }
  const cached = newestCached(cacheFolder(env));
  if (cached !== undefined) return cached;
  for (const folder of path) {
    const program = join(folder, 'nats-server');
    if (existsSync(program) && isRecent(versionOf(program))) return program;
  }
  throw new FleetError(
    'failedPrecondition',
    `no nats-server ${OLDEST.join('.')} or newer is in the cache or on PATH; run \`npm run setup\`, or name one in POCKETFLEET_NATS_SERVER`,
  );
}

/**
 * Settings of Go's garbage collector for the broker. Each large message leaves garbage of its own size, and
 * little else is alive. With collections at five times the live memory instead of twice, a gigabyte of int8
 * gradients costs the broker a third less processor time, and at seventeen times another tenth less
 * (bench/allreduce). GOMEMLIMIT is no failure: beyond it garbage is collected as often as needed. The chart
 * has the same values.
 */
export const NATS_ENVIRONMENT = { GOGC: '1600', GOMEMLIMIT: '512MiB' } as const;

/**
 * The configuration of a broker for one machine. It listens on loopback unless `host` names something else,
 * and every append is on disk before it is acknowledged.
 */
export function natsServerConfig(options: {
  readonly host?: string;
  readonly port: number;
  /** Lines about who may connect; without them anybody may. */
  readonly authorization?: string;
  /** PEM files; with them it encrypts, and takes clients with a certificate of this authority alone. */
  readonly tls?: Required<TlsFiles> | undefined;
  /** Folder of JetStream's files; without it the server keeps no streams. */
  readonly storeDir?: string;
  /**
   * Bytes that its streams may take together; without it the server takes three quarters of what is free when
   * it starts.
   */
  readonly storeBytesMax?: number;
  readonly serverName: string;
}): string {
  const lines = [
    `server_name: ${JSON.stringify(options.serverName)}`,
    `host: ${JSON.stringify(options.host ?? '127.0.0.1')}`,
    `port: ${options.port}`,
    'max_payload: 2MB',
    'max_pending: 256MB',
  ];
  if (options.storeDir !== undefined)
    lines.push(
      `jetstream { store_dir: ${JSON.stringify(options.storeDir)}, sync_interval: always${
        options.storeBytesMax === undefined ? '' : `, max_file_store: ${options.storeBytesMax}`
      } }`,
    );
  if (options.tls !== undefined) lines.push(tlsLine(options.tls));
  return `${lines.join('\n')}\n${options.authorization ?? ''}`;
}

function tlsLine({ certFile, keyFile, caFile }: Required<TlsFiles>): string {
  const files = Object.entries({ cert_file: certFile, key_file: keyFile, ca_file: caFile });
  return `tls { ${files.map(([name, file]) => `${name}: ${JSON.stringify(file)}`).join(', ')}, verify: true }`;
}

type Version = readonly [number, number, number];

function newestCached(folder: string): string | undefined {
  if (!existsSync(folder)) return undefined;
  const found = readdirSync(folder)
    .map((name) => ({ name, version: parseVersion(/^nats-server-(.+)$/.exec(name)?.[1] ?? '') }))
    .filter((entry) => isRecent(entry.version) && existsSync(join(folder, entry.name, 'nats-server')))
    .sort((a, b) => compare(b.version!, a.version!));
  return found[0] === undefined ? undefined : join(folder, found[0].name, 'nats-server');
}

/** Undefined when the program cannot be run or prints no version. */
function versionOf(program: string): Version | undefined {
  try {
    return parseVersion(execFileSync(program, ['--version'], { encoding: 'utf8', timeout: 5000 }));
  } catch {
    // It is no program, not for this machine, or it hangs: in each case it is not usable.
    return undefined;
  }
}

function parseVersion(text: string): Version | undefined {
  const match = /(\d+)\.(\d+)\.(\d+)\s*$/.exec(text.trim());
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3])];
}

const compare = (a: Version, b: Version): number => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];

function isRecent(version: Version | undefined): boolean {
  return version !== undefined && compare(version, [OLDEST[0], OLDEST[1], 0]) >= 0;
}
