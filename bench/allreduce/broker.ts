// The nats-server of a measurement: no streams, a free port, and the garbage collector as `up` sets it. Tells
// its processor time.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { filesIn, writeCertificates } from '../../coordinator/cli/local/certificates.ts';
import { childEnvironment } from '../../core/config.ts';
import { findNatsServer, NATS_ENVIRONMENT, natsServerConfig } from '../../core/net/nats-binary.ts';
import type { TlsFiles } from '../../core/net/tls-files.ts';
import { cpuSeconds, TICKS_PER_SECOND } from '../processor-time.ts';

export interface Broker {
  readonly url: string;
  readonly token: string;
  /** PEM files of a member; undefined: it does not encrypt. */
  readonly tls: Required<TlsFiles> | undefined;
  /** Milliseconds so far; undefined where the system does not report it. */
  cpuMs(): number | undefined;
  stop(): Promise<void>;
}

/** Clock ticks of /proc are 10 ms on every Linux that Node runs on. */
const TICK_MS = 1000 / TICKS_PER_SECOND;

export async function startBroker(options: {
  readonly gogc: string;
  readonly tls: boolean;
}): Promise<Broker> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-bench-'));
  const file = join(folder, 'nats.conf');
  const port = await freePort();
  const token = 'bench';
  if (options.tls) await writeCertificates(folder, { names: [], days: 1, authorityDir: folder });
  writeFileSync(
    file,
    natsServerConfig({
      ...{ port, serverName: 'bench', authorization: `authorization { token: ${token} }\n` },
      tls: options.tls ? filesIn(folder, 'nats') : undefined,
    }),
  );
  const child = spawn(findNatsServer(), ['-c', file], {
    env: childEnvironment({ ...NATS_ENVIRONMENT, GOGC: options.gogc }),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('Server is ready')) resolve();
    });
    child.once('exit', () => reject(new Error(`nats-server ended: ${said}`)));
  });
  return {
    url: `${options.tls ? 'tls' : 'nats'}://127.0.0.1:${port}`,
    tls: options.tls ? filesIn(folder, 'worker') : undefined,
    token,
    cpuMs: () => cpuMsOf(child.pid!),
    async stop() {
      process.off('exit', onExit);
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function cpuMsOf(pid: number): number | undefined {
  try {
    return 1000 * cpuSeconds([pid]);
  } catch {
    return undefined;
  }
}

/** Of all processors since the start of the machine: total and idle. */
export function machineMs(): { readonly busy: number; readonly total: number } | undefined {
  try {
    const [line] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
    const values = line!.trim().split(/\s+/).slice(1).map(Number);
    const total = values.slice(0, 8).reduce((sum, value) => sum + value, 0);
    return { busy: (total - values[3]! - values[4]!) * TICK_MS, total: total * TICK_MS };
  } catch {
    return undefined;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
