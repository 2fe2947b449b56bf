// Free TCP ports of the loopback interface. All are held open until the last one is found, so that they
// differ. Another program may still take one before the child binds it; the child then ends with that reason
// in its log.

import { createConnection, createServer, type Server } from 'node:net';
import { FleetError } from '../../../core/errors.ts';

/** One port for each wish; 0 wishes for any free one, another number for exactly that. */
export async function freePorts(wishes: readonly number[]): Promise<number[]> {
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

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) =>
      reject(
        new FleetError(
          'failedPrecondition',
          `port ${port} of 127.0.0.1 cannot be used (${error.message}); choose another, or 0 for a free one`,
          { cause: error },
        ),
      ),
    );
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

/** Whether something listens there now. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    const answer = (listening: boolean) => {
      socket.destroy();
      resolve(listening);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
  });
}
