// Makes the certificates of a fleet: an authority of its own, and for each program a certificate that the
// authority signs. Decides what a certificate is good for: coordinator and broker are servers, a worker is a
// client, and a coordinator is a client of the broker as well. Keys are on the curve P-256. Nothing is written.

import 'reflect-metadata';
import { createPrivateKey, X509Certificate as NodeCertificate, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { systemClock } from '../clock.ts';
import { FleetError } from '../errors.ts';
import { randomHex } from '../rng.ts';

/** The programs that have a certificate. */
export const HOLDERS = ['coordinator', 'nats', 'worker'] as const;
/** One of these programs. */
export type Holder = (typeof HOLDERS)[number];

const USES: Readonly<Record<Holder, readonly ExtendedKeyUsage[]>> = {
  coordinator: [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth],
  nats: [ExtendedKeyUsage.serverAuth],
  worker: [ExtendedKeyUsage.clientAuth],
};

/** A certificate and its key, as PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

const DAY_MS = 86_400_000;
/** A certificate is valid from a moment ago: the clocks of two machines differ. */
const BACKDATED_MS = 5 * 60_000;
const AUTHORITY_DAYS = 3_650;
const CURVE = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' };

/** A new authority for the fleet of this name, valid for ten years. */
export async function makeAuthority(fleet: string): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...validity(AUTHORITY_DAYS),
    serialNumber: serialNumber(),
    name: `O=pocketfleet, CN=${fleet} authority ${randomHex(4)}`,
    keys,
    signingAlgorithm: SIGNING,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
    ],
  });
  return { cert: pemOf(certificate), key: await keyPem(keys.privateKey) };
}

/** A certificate for one program, signed by `authority`. A client needs no names. Throws as `readAuthority`. */
export async function makeCertificate(options: {
  readonly authority: KeyPair;
  readonly holder: Holder;
  /** Host names and IP addresses at which it is reached. */
  readonly names: readonly string[];
  /** How long it is valid, days. */
  readonly days: number;
  /** From when on, milliseconds since 1970; a moment ago without it. */
  readonly fromMs?: number;
}): Promise<KeyPair> {
  const { authority, holder, names, days, fromMs } = options;
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify']);
  const { issuer, signingKey } = await readAuthority(authority);
  const certificate = await X509CertificateGenerator.create({
    ...validity(days, fromMs),
    serialNumber: serialNumber(),
    subject: `O=pocketfleet, CN=${holder}`,
    issuer: issuer.subject,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([...USES[holder]]),
      await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      await AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
      ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names.map(nameOf))]),
    ],
  });
  return { cert: pemOf(certificate), key: await keyPem(keys.privateKey) };
}

function validity(days: number, fromMs = systemClock.now() - BACKDATED_MS) {
  return { notBefore: new Date(fromMs), notAfter: new Date(fromMs + BACKDATED_MS + days * DAY_MS) };
}

/** Sixteen bytes, of which the first bit is 0: a serial number is positive (RFC 5280, 4.1.2.2). */
const serialNumber = (): string => `5${randomHex(16).slice(1)}`;

function nameOf(name: string): { type: 'ip' | 'dns'; value: string } {
  if (isIP(name) !== 0) return { type: 'ip', value: name };
  if (/^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(name)) return { type: 'dns', value: name };
  throw new FleetError(
    'invalidArgument',
    `${JSON.stringify(name)} is neither a host name nor an IP address; write it without port and brackets`,
  );
}

/**
 * Certificate and key of an authority. Throws `invalidArgument` for texts that are not in PEM, and for a key that
 * is on another curve or of another certificate: what it would sign nobody would take.
 */
export async function readAuthority({
  cert,
  key,
}: KeyPair): Promise<{ readonly issuer: X509Certificate; readonly signingKey: webcrypto.CryptoKey }> {
  const issuer = await orRefused('certificate', 'in PEM', () => new X509Certificate(cert));
  const signingKey = await orRefused('key', 'on the curve P-256 in PEM (PKCS #8)', () => {
    const [der] = PemConverter.decode(key);
    return webcrypto.subtle.importKey('pkcs8', der!, CURVE, false, ['sign']);
  });
  const isPair = await orRefused('key', 'in PEM', () =>
    new NodeCertificate(cert).checkPrivateKey(createPrivateKey(key)),
  );
  if (!isPair)
    throw new FleetError(
      'invalidArgument',
      'the key of the authority is not the one of its certificate; take both from one pair',
    );
  return { issuer, signingKey };
}

async function orRefused<T>(what: string, form: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new FleetError(
      'invalidArgument',
      `the ${what} of the authority cannot be read: expected one ${form}`,
      { cause },
    );
  }
}

const pemOf = (certificate: X509Certificate): string => `${certificate.toString('pem')}\n`;

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}
