// Failed handshakes as sentences: what is wrong with which certificate, seen from the side that failed, and
// what to do. Decides by the codes of Node and OpenSSL, never by their texts. Pure.

import { FleetError } from '../errors.ts';

/** Codes of a certificate that another authority has signed than those that are trusted here. */
const OTHER_AUTHORITY: ReadonlySet<string> = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  // An authority of the same name, with another key.
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
]);

/** Other codes of a certificate that was looked at here and not accepted. */
const REFUSED: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is signed by no authority',
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet (are the clocks of both machines right?)',
  INVALID_PURPOSE: 'is for another purpose',
};

/** What is wrong with a certificate; `trusted`: the authorities that it was compared with. */
const refusalOf = (code: string, trusted: string): string | undefined =>
  OTHER_AUTHORITY.has(code) ? `is signed by another authority than ${trusted}` : REFUSED[code];

/** Alerts by which the other side has refused the certificate of this program (RFC 8446, 6.2). */
const ALERTS: Readonly<Record<string, string>> = {
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'is signed by an authority that it does not know',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'has expired',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'is not one that it takes',
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: 'is for another purpose',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'is not one that it takes',
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: 'is not one that it takes',
};

/** Bytes that are no record of TLS. */
const NOT_TLS: ReadonlySet<string> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_HTTP_REQUEST',
  'ERR_SSL_HTTPS_PROXY_REQUEST',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'ERR_SSL_BAD_RECORD_TYPE',
  'ERR_SSL_UNKNOWN_PROTOCOL',
]);

/** The alert for a client without a certificate. */
const NONE_GIVEN = 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED';

/** How a person gets certificates that fit. */
const REMEDY = 'give both the files of one `pocketfleet keys generate`';

/** Whether these bytes were sent by somebody who does not encrypt. */
export const isPlaintext = (code: string): boolean => NOT_TLS.has(code);

/** What mends a server's certificate, or what this program trusts. */
const remedyFor = (code: string): string =>
  code in REFUSED
    ? 'give it a new one, which it takes up without a restart: pocketfleet keys generate'
    : "give the authority of that server's fleet (ca.crt)";

/** What a person calls the other side, e.g. `the coordinator at 10.0.0.1:7070`, and the file of its authority. */
export interface Peer {
  readonly name: string;
  readonly caFile?: string | undefined;
}

/**
 * Why a client got no encrypted connection; undefined for an error that has nothing to do with certificates. All
 * are `failedPrecondition`: another attempt with the same files fails in the same way.
 */
export function clientFailure(caught: unknown, { name, caFile }: Peer): FleetError | undefined {
  const failed = (text: string) => new FleetError('failedPrecondition', text, { cause: caught });
  const code = codeOf(caught);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return failed(
      `the certificate of ${name} is for ${namesText(caught)} and not for this address; call it by one of these names, or make one for the address: pocketfleet keys generate --name`,
    );
  const refusal = refusalOf(code, caFile ? `that in ${caFile}` : 'those that Node knows');
  if (refusal !== undefined) return failed(`the certificate of ${name} ${refusal}; ${remedyFor(code)}`);
  if (code === NONE_GIVEN) return failed(`${name} wants a certificate, and none was given; ${REMEDY}`);
  if (ALERTS[code] !== undefined)
    return failed(`${name} refuses the certificate of this program: it ${ALERTS[code]}; ${REMEDY}`);
  if (isPlaintext(code)) return failed(`${name} does not encrypt`);
  return undefined;
}

/** Why a server does not take the certificate that a client has shown. */
export function refusedClient(code: string, caFile: string): string {
  const refusal = refusalOf(code, `that in ${caFile} of the coordinator`) ?? 'is not one that it takes';
  return `the certificate of this program ${refusal}; ${REMEDY}`;
}

/** Why a handshake with a client failed, for the log of a server. */
export function serverFailure(caught: unknown): string | undefined {
  const code = codeOf(caught);
  if (isPlaintext(code)) return 'it does not encrypt; it must be given the authority of this fleet (ca.crt)';
  if (code === 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA')
    return "it does not know the authority of this server's certificate; give it this fleet's ca.crt";
  if (code === 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED') return "this server's certificate has expired";
  if (ALERTS[code] !== undefined || code === NONE_GIVEN) return "it does not take this server's certificate";
  if (code.startsWith('ERR_SSL_')) return `no encrypted connection came to be (${code})`;
  return undefined;
}

/** The names of the certificate in an error about them: `127.0.0.1, localhost`. */
function namesText(caught: unknown): string {
  const names = (caught as { cert?: { subjectaltname?: unknown } }).cert?.subjectaltname;
  return typeof names === 'string' && names !== ''
    ? names.replaceAll('IP Address:', '').replaceAll('DNS:', '')
    : 'no name';
}

function codeOf(caught: unknown): string {
  for (let at = caught; typeof at === 'object' && at !== null; at = (at as { cause?: unknown }).cause) {
    const { code } = at as { code?: unknown };
    if (typeof code === 'string' && /^[A-Z]/.test(code)) return code;
  }
  return '';
}
