// The two fleets that are attacked: one in which everybody shares a token, as every fleet did before programs had
// identities and tokens had roles, and one as `up` and the chart start it. The attacker has what a worker of the
// fleet has, and in some attacks what somebody has who submits.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../core/clock.ts';
import type { ConnectOptions } from '../../core/net/nats.ts';
import { connectNats } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { createUserKey, createWorkerUsers } from '../../core/net/worker-user.ts';
import { pocketfleet } from '../support/cli.ts';
import { startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { namesOn } from '../support/names.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft } from '../support/processes.ts';

/** A fleet under attack. */
export interface Target {
  /** host:port of its coordinator. */
  readonly endpoint: string;
  readonly natsUrl: string;
  readonly names: Names;
  /** Of gRPC. */
  readonly tokens: { readonly worker: string; readonly submit: string };
  /** What the worker `w1` of this fleet connects to the broker with. */
  readonly worker: ConnectOptions;
  /** What the coordinator does. */
  readonly coordinator: ConnectOptions;
  stop(): Promise<void>;
}

/** One token on the broker and one on gRPC, which every program has. */
export async function startShared(): Promise<Target> {
  const token = 'the-token-of-everybody';
  const nats = await startNats({ token });
  const coordinator = await startLocalCoordinator({ natsUrl: nats.url, natsToken: token, token });
  const access = { url: nats.url, token, name: 'w1' };
  const names = await namesOf(access);
  return {
    ...{ endpoint: coordinator.endpoint, natsUrl: nats.url, names },
    tokens: { worker: token, submit: token },
    ...{ worker: access, coordinator: { ...access, name: 'coordinator' } },
    async stop() {
      await coordinator.close();
      await nats.stop();
      await assertNothingLeft([nats.pid], [nats.port]);
    },
  };
}

/** Identities on the broker, and a token for each role. */
export async function startClosed(): Promise<Target> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-attacks-'));
  const nats = await startNats({ identities: true });
  const tokensFile = join(folder, 'tokens.yaml');
  const made = async (role: string): Promise<string> => {
    const words = ['token', 'create', '--role', role, '--name', `of-${role}`, '--file', tokensFile];
    const { code, out, err } = await pocketfleet(words, folder);
    if (code !== 0) throw new Error(err);
    return out.trim();
  };
  const tokens = { worker: await made('worker'), submit: await made('submit') };
  const coordinator = await startLocalCoordinator({
    ...{ natsUrl: nats.url, natsCredentialsFile: nats.keys!.coordinatorFile },
    ...{ natsWorkersSeedFile: nats.keys!.workersFile, token: 'the-token-of-an-administrator', tokensFile },
  });
  const access = { ...nats.access, name: 'coordinator' };
  const names = await namesOf(access);
  const key = createUserKey();
  const seed = readFileSync(nats.keys!.workersFile, 'utf8');
  const users = createWorkerUsers({ seed, from: 'the file', names, clock: systemClock });
  const { jwt } = await users.sign({ workerId: 'w1', publicKey: key.publicKey });
  return {
    ...{ endpoint: coordinator.endpoint, natsUrl: nats.url, names, tokens },
    worker: {
      ...{ url: nats.url, name: 'w1', worker: { seed: key.seed, jwt } },
      inboxPrefix: names.inboxPrefix('w1'),
    },
    coordinator: access,
    async stop() {
      await coordinator.close();
      await nats.stop();
      rmSync(folder, { recursive: true });
      await assertNothingLeft([nats.pid], [nats.port]);
    },
  };
}

async function namesOf(access: ConnectOptions): Promise<Names> {
  const connection = await connectNats(access);
  try {
    return await namesOn(connection);
  } finally {
    await connection.close();
  }
}
