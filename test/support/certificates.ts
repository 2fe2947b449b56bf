// Certificates for one test: an authority, and what it signs, in a folder that goes with the test. Each is made
// anew, in a few milliseconds, so that an end, a name or a signer can be what the test is about.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Holder, type KeyPair, makeAuthority, makeCertificate } from '../../core/net/authority.ts';
import type { TlsFiles } from '../../core/net/tls-files.ts';

export interface TestCertificates {
  readonly caFile: string;
  /** Writes a certificate of this authority under a name, over one that is there. */
  make(name: string, options: CertificateOptions): Promise<Required<TlsFiles>>;
  /** Removes the folder. */
  remove(): void;
}

export interface CertificateOptions {
  readonly holder: Holder;
  readonly names?: readonly string[];
  readonly days?: number;
  readonly fromMs?: number;
}

const DAY_MS = 86_400_000;
/** Days in which a certificate was valid that has ended yesterday. */
export const expired = () => ({ days: 1, fromMs: Date.now() - 2 * DAY_MS });

export async function createCertificates(): Promise<TestCertificates> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-tls-'));
  const authority: KeyPair = await makeAuthority('test');
  const caFile = join(folder, 'ca.crt');
  writeFileSync(caFile, authority.cert);
  return {
    caFile,
    async make(name, { holder, names = ['127.0.0.1', 'localhost'], days = 1, ...rest }) {
      const { cert, key } = await makeCertificate({ authority, holder, names, days, ...rest });
      const files = { caFile, certFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
      writeFileSync(files.certFile, cert);
      writeFileSync(files.keyFile, key);
      return files;
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** The lines of a nats-server's configuration that make it encrypt and ask each client for a certificate. */
export const natsTls = ({ certFile, keyFile, caFile }: Required<TlsFiles>, verify = true): string =>
  `tls { cert_file: ${JSON.stringify(certFile)}, key_file: ${JSON.stringify(keyFile)}, ca_file: ${JSON.stringify(caFile)}, verify: ${verify} }\n`;
