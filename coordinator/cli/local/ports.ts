// Free TCP ports of this machine. All are held open until the last one is found, so that they
// differ. Another program may still take one before the child binds it; the child then ends with that reason
// in its log.

import { createConnection, createServer, type Server } from 'node:net';
import { FleetError } from '../../../core/errors.ts';
import { systemErrorText } from '../../../core/system/errno.ts';
import type { HostPort } from '../../../core/text/host-port.ts';

/** One port for each wish; port 0 wishes for any free one, another number for exactly that. */
export async function freePorts(wishes: readonly HostPort[]): Promise<number[]> {
  const held: Server[] = [];
  try {
    const ports: number[] = [];
    for (const wish of wishes) {
      const server = await listen(wish);
      held.push(server);
      ports.push((server.address() as { port: number }).port);
    }
    return ports;
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

function listen({ host, port }: HostPort): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      const sentence = ['ENOTFOUND', 'EAI_AGAIN', 'EADDRNOTAVAIL'].includes(error.code ?? '')
        ? `${host} is no address or name of this machine: ${systemErrorText(error)}; give one that it has`
        : `port ${port} of ${host} cannot be used (${error.message}); choose another, or 0 for a free one`;
      reject(new FleetError('failedPrecondition', sentence, { cause: error }));
    });
    server.listen(port, host, () => resolve(server));
  });
}

/** Whether something listens there now. */
export function isListening({ host, port }: HostPort): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    const answer = (listening: boolean) => {
      socket.destroy();
      resolve(listening);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
  });
}
