// What a gRPC client needs to encrypt, and for which name the certificate of its server is to be. Decides from the
// settings of a program whether it encrypts at all.

import { parseHostPort } from '../text/host-port.ts';
import { createTlsSource, type TlsFiles, type TlsSource } from './tls-files.ts';

/** How a client encrypts, and whose certificate it takes. */
export interface ClientTls {
  readonly source: TlsSource;
  /** The name that the server's certificate is to be for; empty: the host of the address. */
  readonly serverName: string;
}

/** The host name or IP address that the server's certificate is to be for. */
export const nameFor = (to: { readonly endpoint: string; readonly tls?: ClientTls | undefined }): string =>
  to.tls?.serverName || parseHostPort(to.endpoint).host;

/** Undefined for a client that was given no authority: it does not encrypt. Throws as `readTlsFiles` does. */
export function clientTls(files: TlsFiles | undefined, serverName = ''): ClientTls | undefined {
  return files?.caFile ? { source: createTlsSource(files), serverName } : undefined;
}
