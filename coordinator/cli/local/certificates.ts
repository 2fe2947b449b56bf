// Certificates of a fleet as files of a folder or as secrets of a cluster. Decides which names they are for, and
// when the authority that is there signs or a new one is made. Every file is
// readable by its owner alone.

import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { systemClock } from '../../../core/clock.ts';
import { FleetError } from '../../../core/errors.ts';
import type { Holder, KeyPair } from '../../../core/net/authority.ts';
import { certificateIn } from '../../../core/net/tls-files.ts';
import { fileFailure, makeFolder } from '../../../core/system/folder.ts';
import { writePrivate } from './fleet-file.ts';

const HOLDERS: readonly Holder[] = ['coordinator', 'nats', 'worker'];

/** Names that every server has besides those that it is given: of this machine, as seen from itself. */
const OWN_NAMES = ['localhost', '127.0.0.1', '::1'];

export interface CertificatesAsked {
  /** Host names and IP addresses of coordinator and broker, besides localhost. */
  readonly names: readonly string[];
  /** How long they are valid, days. */
  readonly days: number;
  /** Folder of the authority, which is made there where it is missing; undefined: one that is not kept. */
  readonly authorityDir: string | undefined;
}

/** The name of this machine, where it is one that a certificate can have. */
const ownHost = (): string[] => (/^[A-Za-z0-9][A-Za-z0-9.-]*$/.test(hostname()) ? [hostname()] : []);

/** Paths of the certificate, the key and the authority of one program in a folder. */
export const filesIn = (dir: string, holder: Holder) => ({
  certFile: join(dir, `${holder}.crt`),
  keyFile: join(dir, `${holder}.key`),
  caFile: join(dir, 'ca.crt'),
});

/** Writes the certificates of all programs into `dir` and returns the paths, those of the authority included. */
export async function writeCertificates(dir: string, asked: CertificatesAsked): Promise<string[]> {
  makeFolder(dir, { mode: 0o700 });
  const { authority, pairs } = await makeAll({ ...asked, namesOf: () => [...ownHost(), ...asked.names] });
  const caFile = join(dir, 'ca.crt');
  if (asked.authorityDir !== dir) writePrivate(caFile, authority.cert);
  for (const [holder, { cert, key }] of pairs) {
    const files = filesIn(dir, holder);
    // A reader that comes in between finds a key of another pair, and looks again.
    writePrivate(files.keyFile, key);
    writePrivate(files.certFile, cert);
  }
  const written = pairs.flatMap(([holder]) => [filesIn(dir, holder).certFile, filesIn(dir, holder).keyFile]);
  return [
    ...new Set([caFile, ...(asked.authorityDir ? authorityPaths(asked.authorityDir) : []), ...written]),
  ];
}

/** The same as Kubernetes secrets in YAML, for a release of the chart. */
export async function certificateSecrets(
  asked: CertificatesAsked & { readonly namespace: string | undefined; readonly fullname: string },
): Promise<string> {
  const { fullname, namespace } = asked;
  const namesOf = (holder: Holder) => {
    const service = `${fullname}-${holder}`;
    const within = namespace === undefined ? [] : [`${service}.${namespace}`, `${service}.${namespace}.svc`];
    const whole = namespace === undefined ? [] : [`${service}.${namespace}.svc.cluster.local`];
    return [service, ...within, ...whole, ...asked.names];
  };
  const { authority, pairs } = await makeAll({ ...asked, namesOf });
  const secrets = pairs.map(([holder, { cert, key }]) =>
    stringify({
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/tls',
      metadata: { name: `${fullname}-${holder}-tls`, ...(namespace === undefined ? {} : { namespace }) },
      stringData: { 'tls.crt': cert, 'tls.key': key, 'ca.crt': authority.cert },
    }),
  );
  return secrets.join('---\n');
}

async function makeAll(
  asked: CertificatesAsked & { namesOf(holder: Holder): readonly string[] },
): Promise<{ authority: KeyPair; pairs: [Holder, KeyPair][] }> {
  // The library of certificates takes longer to load than all the rest.
  const { makeCertificate } = await import('../../../core/net/authority.ts');
  const authority = await authorityIn(asked.authorityDir);
  const pairs: [Holder, KeyPair][] = [];
  for (const holder of HOLDERS) {
    const names = holder === 'worker' ? [] : [...new Set([...asked.namesOf(holder), ...OWN_NAMES])];
    pairs.push([holder, await makeCertificate({ authority, holder, names, days: asked.days })]);
  }
  return { authority, pairs };
}

const authorityPaths = (dir: string): [string, string] => [join(dir, 'ca.crt'), join(dir, 'ca.key')];

/** The authority of a folder; a new one where the folder has none. */
async function authorityIn(dir: string | undefined): Promise<KeyPair> {
  const { makeAuthority } = await import('../../../core/net/authority.ts');
  if (dir === undefined) return makeAuthority('fleet');
  const [certFile, keyFile] = authorityPaths(dir);
  const there = [certFile, keyFile].filter((file) => existsSync(file));
  if (there.length === 1)
    throw new FleetError(
      'failedPrecondition',
      `${dir} has ${there[0]} and not the other half of the authority; put it there, or choose another folder`,
    );
  if (there.length === 2) return { cert: textOf(certFile), key: textOf(keyFile) };
  makeFolder(dir, { mode: 0o700 });
  const made = await makeAuthority('fleet');
  writePrivate(keyFile, made.key);
  writePrivate(certFile, made.cert);
  return made;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (caught) {
    throw fileFailure(caught, { path, doing: 'it cannot be read' });
  }
}

/** How long the certificates of a local fleet are valid, days. */
const OWN_DAYS = 365;
/** A certificate that ends sooner is made anew, milliseconds: 60 days. */
const RENEW_MS = 60 * 86_400_000;

/**
 * Certificates of a fleet on this machine that is reached at `host`: makes those that are missing, end soon, or
 * are for other names, and returns whether it did. The authority stays, so programs that trust it go on doing so.
 */
export async function keepCertificates(dir: string, host: string): Promise<boolean> {
  const good = HOLDERS.every((holder) => isGood(filesIn(dir, holder), holder === 'worker' ? [] : [host]));
  if (good) return false;
  await writeCertificates(dir, { names: [host], days: OWN_DAYS, authorityDir: dir });
  return true;
}

function isGood(files: ReturnType<typeof filesIn>, hosts: readonly string[]): boolean {
  if (Object.values(files).some((file) => !existsSync(file))) return false;
  try {
    const certificate = new X509Certificate(textOf(files.certFile));
    const hasName = (host: string) =>
      (certificate.checkIP(host) ?? certificate.checkHost(host)) !== undefined;
    return (
      Date.parse(certificate.validTo) - systemClock.now() > RENEW_MS &&
      certificate.verify(new X509Certificate(textOf(files.caFile)).publicKey) &&
      hosts.every(hasName)
    );
  } catch {
    // What is no certificate is made anew.
    return false;
  }
}

/** A certificate as a person looks at it. */
export interface ShownCertificate {
  readonly file: string;
  readonly subject: string;
  readonly names: string;
  /** Milliseconds since 1970. */
  readonly validUntilMs: number;
}

/** The certificates of a folder, in the order in which the programs are named. Throws when there is none. */
export function certificatesIn(dir: string): ShownCertificate[] {
  const files = ['ca', ...HOLDERS].map((name) => join(dir, `${name}.crt`)).filter((file) => existsSync(file));
  if (files.length === 0)
    throw new FleetError(
      'notFound',
      `${dir} holds no certificates; pocketfleet keys generate --out DIR makes some, and \`up --tls\` keeps those of a local fleet in DIR/tls`,
    );
  return files.map((file) => {
    const { subject, subjectAltName = '', validTo } = certificateIn({ pem: textOf(file), file });
    return {
      file,
      subject: subject.replaceAll('\n', ', '),
      names: subjectAltName.replaceAll('IP Address:', '').replaceAll('DNS:', ''),
      validUntilMs: Date.parse(validTo),
    };
  });
}
