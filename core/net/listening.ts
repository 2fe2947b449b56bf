// How a server listens: at one address, or with a sentence why that is not possible. Decides what `[::]`
// means (every address of the machine, IPv4 too) and what takes its place on a machine whose kernel has no
// IPv6.

import type { Server } from 'node:net';
import { FleetError } from '../errors.ts';
import { formatHostPort, type HostPort, parseHostPort } from '../text/host-port.ts';

/** Listens and returns host:port; the port is the one that was taken when 0 was asked for. */
export async function listenOn(server: Server, listen: string): Promise<string> {
  const asked = parseHostPort(listen);
  let at: HostPort = asked;
  for (;;) {
    const failure = await attempt(server, at);
    if (failure === undefined) break;
    const instead = withoutIpv6(at, failure.code);
    if (instead === undefined) throw refusal(listen, failure);
    at = instead;
  }
  const taken = server.address();
  return formatHostPort({
    host: at.host,
    port: typeof taken === 'object' && taken !== null ? taken.port : asked.port,
  });
}

/**
 * What is tried instead of every address when the kernel has no IPv6: every IPv4 address. Undefined: nothing.
 */
export function withoutIpv6(at: HostPort, code: string | undefined): HostPort | undefined {
  return at.host === '::' && code === 'EAFNOSUPPORT' ? { host: '0.0.0.0', port: at.port } : undefined;
}

function attempt(server: Server, { host, port }: HostPort): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException) => {
      server.removeListener('listening', listening);
      resolve(error);
    };
    const listening = () => {
      server.removeListener('error', failed);
      resolve(undefined);
    };
    server.once('error', failed).once('listening', listening);
    server.listen({ host, port });
  });
}

const ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program has this port; choose another, or 0 for a free one',
  EADDRNOTAVAIL: 'no interface of this machine has this address',
  EACCES: 'this user may not take this port; choose one from 1024 on',
  ENOTFOUND: 'no such host',
};

function refusal(listen: string, failure: NodeJS.ErrnoException): FleetError {
  const advice = ADVICE[failure.code ?? ''];
  return new FleetError('failedPrecondition', `cannot listen on ${listen}: ${advice ?? failure.message}`, {
    cause: failure,
  });
}
