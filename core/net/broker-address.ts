// Where the broker is and how a program proves its identity there: one description for both kinds of
// connection, the official client's and the lean one for gradients. Decides how an address is read, which
// combinations of credentials are refused, and which file each certificate or credential comes from.

import { readFileSync } from 'node:fs';
import {
  type Authenticator,
  credsAuthenticator,
  jwtAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node';
import { FleetError } from '../errors.ts';
import { excerpt, foundText } from '../text/printable.ts';
import type { TlsFiles } from './tls-files.ts';

/** Plain data, so that it can be sent to a thread. */
export interface BrokerAddress {
  /**
   * `nats://host:port`, or `tls://` for an encrypted connection; several servers of one cluster with commas
   * between.
   */
  readonly url: string;
  /** Empty or absent: no token is sent. */
  readonly token?: string;
  readonly user?: string;
  readonly password?: string;
  /** File of a user's JWT and seed, as `nsc` writes it. */
  readonly credentialsFile?: string;
  /**
   * What a worker gets from its coordinator, in place of the three above. A newer JWT takes the place of the
   * one before in this object, and counts from the next connection on.
   */
  readonly worker?: WorkerIdentity | undefined;
  /** PEM file of the authorities that may sign the broker's certificate; without it those that Node has. */
  readonly caFile?: string;
  /** PEM files of the certificate that is shown to the broker, and of its key. */
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** A worker as a user of the broker (worker-user.ts). */
export interface WorkerIdentity {
  readonly seed: string;
  jwt: string;
}

/** One server of the broker: where it is, and whether the connection to it is encrypted. */
export interface Server {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

const DEFAULT_PORT = 4222;

/**
 * The servers of an address. Throws `invalidArgument` with the part that is no address, without a password in
 * it.
 */
export function serversOf(url: string): readonly Server[] {
  return url.split(',').map((part) => {
    const text = part.trim();
    const parsed = URL.canParse(text.includes('://') ? text : `nats://${text}`)
      ? new URL(text.includes('://') ? text : `nats://${text}`)
      : undefined;
    if (parsed === undefined || !/^(nats|tls):$/.test(parsed.protocol) || parsed.hostname === '')
      throw new FleetError(
        'invalidArgument',
        `${foundText(text.replace(/\/\/.*@/, '//'))} is no broker address; write nats://host:port or tls://host:port, an IPv6 address in brackets`,
      );
    if (parsed.username !== '' || parsed.password !== '')
      throw new FleetError(
        'invalidArgument',
        `the broker address of ${excerpt(parsed.host)} carries a user or password; give them as natsUser and natsPassword, which are not logged`,
      );
    // An IPv6 host is in brackets in a URL and without them everywhere else.
    const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
    return { host, port: Number(parsed.port || DEFAULT_PORT), tls: parsed.protocol === 'tls:' };
  });
}

/** The PEM files of an encrypted connection; undefined when the address names no `tls://` server. */
export function tlsFilesOf(address: BrokerAddress): TlsFiles | undefined {
  const encrypted = serversOf(address.url).filter(({ tls }) => tls).length;
  const { caFile = '', certFile = '', keyFile = '' } = address;
  if (encrypted > 0) return { caFile, certFile, keyFile };
  const given = caFile || certFile || keyFile;
  if (given)
    throw new FleetError(
      'invalidArgument',
      `${given} would not be used: the broker address ${address.url} does not begin with tls://`,
    );
  return undefined;
}

/** What proves the program's identity; undefined for a broker without authentication. */
export function authenticatorOf(address: BrokerAddress): Authenticator | undefined {
  const { token, user, password, credentialsFile, worker } = address;
  const given = [token, user, credentialsFile].filter((value) => value);
  if (given.length > 1)
    throw new FleetError(
      'invalidArgument',
      'token, user and credentials file are three ways to prove one identity to the broker; give one',
    );
  if (credentialsFile)
    return credsAuthenticator(Buffer.from(textOfFile(credentialsFile, 'the credentials for the broker')));
  if (user) return usernamePasswordAuthenticator(user, password ?? '');
  if (worker) return jwtAuthenticator(() => worker.jwt, new TextEncoder().encode(worker.seed));
  return token ? tokenAuthenticator(token) : undefined;
}

/** Whether the program has an identity of its own on the broker. */
export const hasOwnIdentity = ({ token, user, credentialsFile }: BrokerAddress): boolean =>
  [token, user, credentialsFile].some((value) => value);

/** What a broker says of a program that has not said in time who it is; trying again is right. */
export const AUTHENTICATION_TIMEOUT = /authentication timeout/i;

/** Why the broker refused a program at its door, as a sentence. */
export function refusalText(
  place: string,
  program: { readonly name: string; readonly address: Omit<BrokerAddress, 'url'> },
): string {
  const { token, user, credentialsFile, worker } = program.address;
  const refuses = (what: string) => `the broker at ${place} refuses ${what} of ${program.name}`;
  if (credentialsFile)
    return `${refuses('the credentials')} (${credentialsFile}); give it those of an account that the broker has`;
  if (user)
    return `${refuses('the credentials')} (user ${user}); give it the natsUser and natsPassword of the broker`;
  if (token) return `${refuses('the token')}; give it the natsToken of the broker`;
  if (worker)
    return `${refuses('the rights')}, which the coordinator signed; give the coordinator the seed of an account that the broker has (natsWorkersSeedFile)`;
  return `${refuses('the credentials')}, which has none; give it natsCredentialsFile, natsUser or natsToken, or the coordinator natsWorkersSeedFile`;
}

export type { Authenticator } from '@nats-io/transport-node';

/** The text of a file; throws `invalidArgument` that names `what` it is. */
export function textOfFile(file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new FleetError('invalidArgument', `${what} cannot be read from ${file}`, { cause });
  }
}
