// DIR/tls: what a fleet on this machine needs to encrypt. Decides when a fleet does (where somebody asks for it,
// and always where it listens beyond loopback), and that nats-server takes up changed files, which it does only
// when it is signalled.

import { join } from 'node:path';
import { every } from '../../../core/clock.ts';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import { createTlsSource, watchTls } from '../../../core/net/tls-files.ts';
import { formatHostPort, refusalOfAddress } from '../../../core/text/host-port.ts';
import { excerpt } from '../../../core/text/printable.ts';
import { filesIn, keepCertificates } from './certificates.ts';

/** Where a fleet of one machine listens. */
export const LOOPBACK = '127.0.0.1';

/** Where a fleet listens, and whether it encrypts. */
export interface Encryption {
  readonly host: string;
  /** Folder of its certificates; undefined: it does not encrypt. */
  readonly tlsDir: string | undefined;
}

/** Makes the certificates of a fleet that encrypts, where they are missing. */
export async function encryptionFor(
  dir: string,
  { listen, tls }: { readonly listen?: string | undefined; readonly tls?: boolean | undefined },
): Promise<Encryption> {
  const host = listen ?? LOOPBACK;
  if (
    ['0.0.0.0', '::'].includes(host) ||
    refusalOfAddress(formatHostPort({ host, port: 1 }), 1) !== undefined
  )
    throw new FleetError(
      'invalidArgument',
      `--listen ${excerpt(host)}: give one address or name of this machine, without a port; others call the fleet by it, and its certificate is for it`,
    );
  if (listen === undefined && tls !== true) return { host, tlsDir: undefined };
  const tlsDir = join(dir, 'tls');
  await keepCertificates(tlsDir, host);
  return { host, tlsDir };
}

/** Milliseconds between two looks whether a certificate ends soon. */
const RENEW_EVERY_MS = 6 * 3_600_000;

/**
 * Makes certificates anew before they end, and signals nats-server when its files have changed, until the
 * signal.
 */
export function keepEncryption(options: {
  readonly tlsDir: string;
  readonly host: string;
  /** Process id of nats-server, while it runs. */
  brokerPid(): number | undefined;
  say(text: string): void;
  readonly signal: AbortSignal;
}): void {
  const { tlsDir, host, brokerPid, say, signal } = options;
  const report = (caught: unknown) => say(`certificates in ${tlsDir}: ${toFleetError(caught).message}`);
  const stopRenewing = every(RENEW_EVERY_MS, () => void keepCertificates(tlsDir, host).catch(report));
  const stopWatching = watchTls(createTlsSource(filesIn(tlsDir, 'nats')), {
    change() {
      const pid = brokerPid();
      if (pid !== undefined) process.kill(pid, 'SIGHUP');
      say('nats-server takes up its new certificate');
    },
    trouble: report,
  });
  const stop = () => {
    stopRenewing();
    stopWatching();
  };
  signal.addEventListener('abort', stop, { once: true });
}
