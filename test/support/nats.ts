// A real nats-server for one test: loopback, a free port, a store of its own, every write on disk before it is
// acknowledged. It can be killed and started again on the same port and store.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerAddress } from '../../core/net/broker-address.ts';
import { BROKER_KEYS, type BrokerKeys, makeBrokerKeys } from '../../core/net/broker-keys.ts';
import { findNatsServer, natsServerConfig } from '../../core/net/nats-binary.ts';
import { deliver, freePort, type Program, startProgram } from './processes.ts';

export interface TestNats {
  readonly url: string;
  readonly port: number;
  /** Empty when the server takes anybody, or has identities. */
  readonly token: string;
  /** How a program reaches it that may do everything there. */
  readonly access: BrokerAddress;
  /** The keys of a server with identities. */
  readonly keys:
    | { readonly account: string; readonly coordinatorFile: string; readonly workersFile: string }
    | undefined;
  /** Of the server that runs now, or ran last. */
  readonly pid: number;
  readonly storeDir: string;
  /** What the server that runs now has logged. */
  output(): string;
  /** Starts the server again on the same port and store; stops it first (SIGTERM) when it runs. */
  restart(change?: { readonly storeBytesMax: number }): Promise<void>;
  /** Has the running server read its configuration with this in the place of what was added; connections stay. */
  reload(config: string): Promise<void>;
  /** As `deliver`; the store stays. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Ends the server and removes the store. */
  stop(): Promise<void>;
}

export interface NatsOptions {
  readonly jetstream?: boolean;
  readonly token?: string;
  /** Accounts of a fleet and its workers, with keys of its own, as `up` makes them. */
  readonly identities?: boolean | BrokerKeys;
  /** Bytes of JetStream; another number may be given at a restart. */
  readonly storeBytesMax?: number;
  /** Folder of the store; it stays when the server stops. */
  readonly storeDir?: string;
  /** Added to the configuration as it is: users, certificates, limits. */
  readonly config?: string;
  /** Unique in a cluster. */
  readonly serverName?: string;
  /** Scheme of `url`. */
  readonly scheme?: 'nats' | 'tls';
}

export async function startNats(options: NatsOptions = {}): Promise<TestNats> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-nats-'));
  const storeDir = options.storeDir ?? join(folder, 'store');
  let { storeBytesMax } = options;
  let added = options.config ?? '';
  const token = options.token ?? '';
  const configFile = join(folder, 'nats.conf');
  const { identities = false } = options;
  const made = identities === true ? await makeBrokerKeys() : identities || undefined;
  const keys = made && {
    account: made.account,
    coordinatorFile: join(folder, BROKER_KEYS.coordinator),
    workersFile: join(folder, BROKER_KEYS.workers),
  };
  if (keys !== undefined) {
    writeFileSync(keys.coordinatorFile, made!.coordinator, { mode: 0o600 });
    writeFileSync(keys.workersFile, made!.workers, { mode: 0o600 });
  }
  const authorization =
    made?.server ?? (token === '' ? '' : `authorization { token: ${JSON.stringify(token)} }\n`);
  let port = 0;
  let program: Program | undefined;

  async function start(): Promise<void> {
    const limit = storeBytesMax === undefined ? {} : { storeBytesMax };
    const withStore = options.jetstream === false ? {} : { storeDir, ...limit };
    const config = natsServerConfig({
      ...{ port, authorization, serverName: options.serverName ?? 'test' },
      ...withStore,
    });
    writeFileSync(configFile, `${config}${added}`);
    program = startProgram(findNatsServer(), ['-c', configFile]);
    await program.untilOutput(/Server is ready/, 60_000);
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (program !== undefined) await deliver(program, signal);
  }

  for (let attempt = 1; ; attempt++) {
    port = await freePort();
    try {
      await start();
      break;
    } catch (cause) {
      // Another test may have taken the port between our look and the server's bind; anything else repeats
      // and shows.
      if (attempt === 3) throw cause;
    }
  }

  const url = `${options.scheme ?? 'nats'}://127.0.0.1:${port}`;
  return {
    ...{ url, port, token, keys },
    access: { url, ...(keys === undefined ? { token } : { credentialsFile: keys.coordinatorFile }) },
    get pid() {
      return program!.pid;
    },
    storeDir,
    output: () => program!.output(),
    async restart(change) {
      await end('SIGTERM');
      storeBytesMax = change?.storeBytesMax ?? storeBytesMax;
      await start();
    },
    async reload(config) {
      writeFileSync(
        configFile,
        readFileSync(configFile, 'utf8').replace(added, () => config),
      );
      added = config;
      program!.child.kill('SIGHUP');
      await program!.untilOutput(/Reloaded server configuration/);
    },
    kill: (signal = 'SIGKILL') => end(signal),
    async stop() {
      program?.child.kill('SIGCONT');
      await end('SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
