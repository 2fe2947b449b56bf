// A wire that a test can damage: a TCP proxy on loopback in front of a real server. On request it cuts
// connections, stops them, or passes bytes through a filter.

import { createServer, connect as dial, type Socket } from 'node:net';

export interface TcpProxy {
  readonly port: number;
  /** Ends every connection at once, as a broken cable does; how many there were. */
  cut(): number;
  /** Nothing passes in either direction for a while; how many connections stood still. */
  hold(ms: number): number;
  /** Ends every hold now. */
  release(): void;
  close(): Promise<void>;
}

/** Sees what a client sends, in order, and returns what the server is to receive. */
export type Filter = (chunk: Buffer) => readonly Buffer[];

export async function startTcpProxy(options: {
  /** Port of the server on loopback. */
  readonly to: number;
  /** Made anew for each connection. */
  readonly filter?: () => Filter;
}): Promise<TcpProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  const timers = new Set<NodeJS.Timeout>();
  const held = new Set<Socket>();
  const goOn = (socket: Socket) => {
    if (!held.has(socket)) socket.resume();
  };
  const server = createServer((client) => {
    const upstream = dial({ port: options.to, host: '127.0.0.1' });
    const pair = [client, upstream] as const;
    pairs.add(pair);
    const filter = options.filter?.() ?? ((chunk: Buffer) => [chunk]);
    client.on('data', (chunk: Buffer) => {
      for (const part of filter(chunk)) if (!upstream.write(part)) client.pause();
    });
    upstream.on('drain', () => goOn(client));
    upstream.on('data', (chunk: Buffer) => {
      if (!client.write(chunk)) upstream.pause();
    });
    client.on('drain', () => goOn(upstream));
    for (const socket of pair) {
      socket.setNoDelay(true);
      const end = () => {
        pairs.delete(pair);
        for (const other of pair) other.destroy();
      };
      socket.on('error', end);
      socket.on('close', end);
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  const release = () => {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    const sockets = [...held];
    held.clear();
    for (const socket of sockets) socket.resume();
  };
  const cut = (): number => {
    const count = pairs.size;
    for (const pair of pairs) for (const socket of pair) socket.destroy();
    return count;
  };
  return {
    port: address.port,
    cut,
    hold(ms) {
      const sockets = [...pairs].flat();
      for (const socket of sockets) {
        held.add(socket);
        socket.pause();
      }
      const timer = setTimeout(() => {
        timers.delete(timer);
        for (const socket of sockets) {
          held.delete(socket);
          socket.resume();
        }
      }, ms);
      timers.add(timer);
      return sockets.length / 2;
    },
    release,
    async close() {
      for (const timer of timers) clearTimeout(timer);
      cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
