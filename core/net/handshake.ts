// Why no connection to a gRPC server came to be, found out by a handshake of its own. The library reports a
// failed handshake as a text, which no decision may depend on; Node reports a code. Decides between a certificate
// that is not taken, a server that does not encrypt, and one that does where this program does not.

import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { after } from '../clock.ts';
import { FleetError } from '../errors.ts';
import { parseHostPort } from '../text/host-port.ts';
import { type ClientTls, nameFor } from './client-tls.ts';
import { clientFailure, isPlaintext } from './tls-sentences.ts';

/** How long the server may take, milliseconds. */
const PATIENCE_MS = 1_500;

/** The preface of HTTP/2 and empty settings (RFC 9113, 3.4 and 6.5): a server answers with its own settings. */
const HELLO = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');

/** The reason as a sentence; undefined when it is none of these, for instance because nobody listens there. */
export async function handshakeFailure(
  endpoint: string,
  tls: ClientTls | undefined,
): Promise<FleetError | undefined> {
  const name = `the coordinator at ${endpoint}`;
  const caught = await shakeHands(endpoint, tls);
  if (tls === undefined) {
    if (caught !== undefined) return undefined;
    return new FleetError(
      'failedPrecondition',
      `${name} takes encrypted connections alone; give the authority of its fleet (ca.crt): --tls-ca-file FILE, POCKETFLEET_TLS_CA_FILE`,
    );
  }
  if (caught === undefined) return undefined;
  const failure = clientFailure(caught, { name, caFile: tls.source.files.caFile });
  const speaksPlainly = isPlaintext(codeOf(caught)) || isBroken(caught);
  if (speaksPlainly && (await speaksHttp2(endpoint)))
    return new FleetError(
      'failedPrecondition',
      `${name} does not encrypt, and this program was given certificates for it; leave them out, or give the coordinator tlsCertFile, tlsKeyFile and tlsCaFile`,
      { cause: caught },
    );
  return failure;
}

const codeOf = (caught: unknown): string => String((caught as { code?: unknown }).code);

/** A server that expects HTTP/2 in the clear ends a connection that begins with something else. */
const isBroken = (caught: unknown): boolean => ['ECONNRESET', 'EPIPE'].includes(codeOf(caught));

/** Undefined when the handshake succeeds. Without `tls` every certificate is taken, and nothing is sent. */
function shakeHands(endpoint: string, tls: ClientTls | undefined): Promise<unknown> {
  const { host, port } = parseHostPort(endpoint);
  const wanted = nameFor({ endpoint, tls });
  return answer((settle) =>
    connectTls(
      {
        ...{ host, port, ALPNProtocols: ['h2'] },
        ...tls?.source.current(),
        rejectUnauthorized: tls !== undefined,
        // A certificate names an IP address in another field than a host name.
        ...(isIP(wanted) === 0 ? { servername: wanted } : {}),
      },
      // A word after the handshake, since the server takes a silent end for a refusal of its certificate.
      function (this: Socket) {
        this.write(HELLO, () => settle(undefined));
      },
    ),
  );
}

/** The type of a frame with settings (RFC 9113, 6.5). */
const SETTINGS_FRAME = 4;

async function speaksHttp2(endpoint: string): Promise<boolean> {
  const { host, port } = parseHostPort(endpoint);
  const heard = await answer((settle) =>
    connectTcp({ host, port }, function (this: Socket) {
      this.write(HELLO);
    }).once('data', (bytes) => settle(bytes)),
  );
  return Buffer.isBuffer(heard) && heard[3] === SETTINGS_FRAME;
}

/** What `open` settles with, or the error that ended its socket; the socket is gone afterwards. */
function answer(open: (settle: (value: unknown) => void) => Socket): Promise<unknown> {
  return new Promise((resolve) => {
    const settle = (value: unknown) => {
      stopTimer();
      socket.destroy();
      resolve(value);
    };
    const stopTimer = after(PATIENCE_MS, () => settle(new FleetError('deadlineExceeded', 'no answer')));
    const socket = open(settle);
    socket.once('error', settle).once('close', () => settle(new FleetError('unavailable', 'it was closed')));
  });
}
