// The PEM files of a program's identity: certificate, key, and the authority of its fleet. Decides which files
// belong together, what is wrong with those that cannot be used, and when changed files take the place of those
// in use: at the next look, once they fit together, so that nothing is started again for a new certificate.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Clock, every, systemClock } from '../clock.ts';
import { errnoOf, FleetError, toFleetError } from '../errors.ts';

/** Paths of PEM files; empty or absent: there is none. */
export interface TlsFiles {
  /** Certificate of the program, followed by those of authorities in between. */
  readonly certFile?: string;
  /** Its private key. */
  readonly keyFile?: string;
  /** Authorities that may sign the certificates of the other side; without it those that Node has. */
  readonly caFile?: string;
}

/** What the files hold, as PEM. */
export interface TlsMaterial {
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
}

/** Certificates of a program that is a server, or a client with a certificate of its own: none is missing. */
export type TlsIdentity = Required<TlsMaterial>;

const SETTINGS = { certFile: 'tlsCertFile', keyFile: 'tlsKeyFile', caFile: 'tlsCaFile' } as const;

/**
 * The three files of a program that proves its identity, or undefined when none is given. Throws
 * `invalidArgument` when some are given and others are not.
 */
export function identityFiles(config: {
  readonly tlsCertFile: string;
  readonly tlsKeyFile: string;
  readonly tlsCaFile: string;
}): Required<TlsFiles> | undefined {
  const names = Object.values(SETTINGS);
  const missing = names.filter((name) => config[name] === '');
  if (missing.length === names.length) return undefined;
  if (missing.length > 0)
    throw new FleetError(
      'invalidArgument',
      `${names.join(', ')} go together, and ${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} missing; \`pocketfleet keys generate\` writes all three`,
    );
  return { certFile: config.tlsCertFile, keyFile: config.tlsKeyFile, caFile: config.tlsCaFile };
}

/**
 * Reads and checks the files. Throws `invalidArgument` when one cannot be read or is no PEM, or when
 * certificate and key are not of one pair. A certificate that has expired is read: the other side refuses it.
 */
export function readTlsFiles(files: TlsFiles): TlsMaterial {
  const { certFile, keyFile, caFile } = files;
  if (!certFile !== !keyFile)
    throw new FleetError(
      'invalidArgument',
      `${certFile || keyFile} is half of an identity: a certificate and its key are given together`,
    );
  const cert = certFile ? { pem: textOf(certFile, 'the certificate'), file: certFile } : undefined;
  const key = keyFile ? { pem: textOf(keyFile, 'the key'), file: keyFile } : undefined;
  const ca = caFile ? { pem: textOf(caFile, 'the certificate authority'), file: caFile } : undefined;
  if (ca !== undefined) certificateIn(ca);
  if (cert !== undefined && key !== undefined) {
    const isPair = certificateIn(cert).checkPrivateKey(keyIn(key));
    if (!isPair)
      throw new FleetError(
        'invalidArgument',
        `the key in ${key.file} is not the one of the certificate in ${cert.file}; take both from one pair`,
      );
  }
  return { ...(cert && { cert: cert.pem }), ...(key && { key: key.pem }), ...(ca && { ca: ca.pem }) };
}

interface Pem {
  readonly pem: string;
  readonly file: string;
}

function textOf(file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new FleetError(
      'invalidArgument',
      `${what} cannot be read from ${file} (${errnoOf(cause) ?? 'unknown reason'}); \`pocketfleet keys generate\` writes such files`,
      {
        cause,
      },
    );
  }
}

/** The first certificate of a file. Throws `invalidArgument` for a text that holds none. */
export function certificateIn({ pem, file }: Pem): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new FleetError('invalidArgument', `${file} holds no certificate in PEM`, { cause });
  }
}

function keyIn({ pem, file }: Pem): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new FleetError('invalidArgument', `${file} holds no private key in PEM without a passphrase`, {
      cause,
    });
  }
}

/** When a certificate in PEM ends, milliseconds since 1970. */
export const expiryMs = (pem: string): number => Date.parse(new X509Certificate(pem).validTo);

/** When the certificate in this file ends, as above; undefined where there is none that can be read. */
export function fileExpiryMs(certFile: string): number | undefined {
  if (certFile === '') return undefined;
  try {
    return expiryMs(readFileSync(certFile, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Files that are looked at again and again. */
export interface TlsSource<M extends TlsMaterial = TlsMaterial> {
  readonly files: TlsFiles;
  /**
   * What the files hold: another object than before when they have changed. Files that cannot be used, for
   * instance because they are being written, leave what was there before.
   */
  current(): M;
  /** Why the files cannot be used, from the second look that found it; undefined when they can. */
  trouble(): FleetError | undefined;
}

/** Milliseconds between two looks at the files of a source. */
const LOOK_EVERY_MS = 500;

/** The source of a program that proves its identity. Throws as `readTlsFiles` does. */
export function identitySource(files: Required<TlsFiles>, clock?: Clock): TlsSource<TlsIdentity> {
  return createTlsSource(files, clock) as TlsSource<TlsIdentity>;
}

/** Reads the files, and looks again when it is asked half a second later. Throws as `readTlsFiles` does. */
export function createTlsSource(files: TlsFiles, clock: Pick<Clock, 'monotonic'> = systemClock): TlsSource {
  let material = readTlsFiles(files);
  let lookedAt = clock.monotonic();
  let failures = 0;
  let failure: FleetError | undefined;
  return {
    files,
    current() {
      if (clock.monotonic() - lookedAt < LOOK_EVERY_MS) return material;
      lookedAt = clock.monotonic();
      try {
        const found = readTlsFiles(files);
        if (!isSame(found, material)) material = found;
        failures = 0;
        failure = undefined;
      } catch (caught) {
        failures += 1;
        failure = toFleetError(caught);
      }
      return material;
    },
    trouble: () => (failures > 1 ? failure : undefined),
  };
}

const isSame = (a: TlsMaterial, b: TlsMaterial): boolean =>
  a.cert === b.cert && a.key === b.key && a.ca === b.ca;

/** Milliseconds between two looks for a program that is idle. */
const WATCH_EVERY_MS = 1_000;

/**
 * Calls `onChange` when the files hold something else, and `onTrouble` once when they cannot be used, until the
 * returned function is called.
 */
export function watchTls<M extends TlsMaterial>(
  source: TlsSource<M>,
  on: { change(material: M): void; trouble(error: FleetError): void },
): () => void {
  let seen = source.current();
  let told = '';
  return every(WATCH_EVERY_MS, () => {
    const material = source.current();
    const trouble = source.trouble();
    if (trouble !== undefined && trouble.message !== told) on.trouble(trouble);
    told = trouble?.message ?? '';
    if (material === seen) return;
    seen = material;
    on.change(material);
  });
}
