// A proxy for tests of which calls use one: it takes connections on loopback, keeps their first bytes and
// answers none. The variables that lead programs to it are those that libraries read.

import { createServer, type Socket } from 'node:net';

export interface RecordingProxy {
  /** Sets every proxy variable, lower and upper case, and none that excludes an address. */
  readonly env: Readonly<Record<string, string>>;
  /** The first bytes of each connection so far. */
  readonly heard: readonly string[];
  close(): Promise<void>;
}

const VARIABLES = ['http_proxy', 'https_proxy', 'grpc_proxy', 'all_proxy'];

export async function startRecordingProxy(): Promise<RecordingProxy> {
  const heard: string[] = [];
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    const index = heard.push('') - 1;
    socket.on('data', (chunk: Buffer) => {
      heard[index] += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => open.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const url = `http://127.0.0.1:${port}`;
  const names = [...VARIABLES, ...VARIABLES.map((name) => name.toUpperCase())];
  return {
    env: {
      ...Object.fromEntries(names.map((name) => [name, url])),
      no_proxy: '',
      NO_PROXY: '',
      // Node 24 then takes the proxy for fetch and http too.
      NODE_USE_ENV_PROXY: '1',
    },
    heard,
    close: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
