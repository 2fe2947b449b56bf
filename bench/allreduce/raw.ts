// How fast bytes go from one process to another on this machine with nothing done to them: the ceiling of
// everything else.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const WRITE_BYTES = 256 * 1024;

/** Listens for one connection and reports how long its bytes took, from the first to the last. */
export async function receiveRaw(told: (seconds: number) => void): Promise<number> {
  const server = createServer((socket) => {
    server.close();
    let startedAt: number | undefined;
    socket.on('data', () => {
      startedAt ??= performance.now();
    });
    socket.on('end', () => {
      told((performance.now() - startedAt!) / 1000);
      socket.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export async function sendRaw(port: number, bytes: number): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  const block = Buffer.alloc(WRITE_BYTES, 7);
  for (let sent = 0; sent < bytes; sent += WRITE_BYTES) {
    if (!socket.write(block)) await once(socket, 'drain');
  }
  socket.end();
  await once(socket, 'close');
}
