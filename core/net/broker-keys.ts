// The keys of a fleet's own broker: an operator, whom the server trusts, the account of the fleet and that of
// its workers (rights.ts), the coordinator as a user of the one, and the seed of the other, with which the
// coordinator makes a user of each worker. Decides what is made and under which name it is kept; whoever keeps
// it makes all of it or nothing, because the parts know each other. The seeds of the operator and of the
// fleet's account are not kept: nobody can add an account or another coordinator later, and new keys are made
// as a whole.

import {
  type Account,
  type AccountLimits,
  createAccount,
  createOperator,
  createUser,
  encodeAccount,
  encodeOperator,
  encodeUser,
  fmtCreds,
  type JetStreamLimits,
  type NatsLimits,
} from '@nats-io/jwt';
import { SERVICES_OF_FLEET, SERVICES_OF_WORKERS } from './rights.ts';

/** What is kept, by name of file or key of a secret. */
export const BROKER_KEYS = {
  /** Part of the server's configuration: the operator and its accounts. No secret. */
  server: 'nats-accounts.conf',
  /** Public key of the fleet's account, which is the name of its folder in the store. No secret. */
  account: 'nats-account',
  /** JWT and seed of the coordinator's user. */
  coordinator: 'nats-coordinator.creds',
  /** Seed of the workers' account. */
  workers: 'nats-workers.seed',
} as const;

/** The texts of one set of keys. */
export type BrokerKeys = Readonly<Record<keyof typeof BROKER_KEYS, string>>;

/** None, where the server's own limits are all that shall hold. */
const NO_LIMITS: NatsLimits & AccountLimits = {
  ...{ subs: -1, data: -1, payload: -1 },
  ...{ imports: -1, exports: -1, conn: -1, leaf: -1, wildcards: true, disallow_bearer: true },
};
const NO_STORE_LIMITS: Partial<JetStreamLimits> = {
  ...{ mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 },
};

/** Makes a new set. */
export async function makeBrokerKeys(): Promise<BrokerKeys> {
  const [operator, system, fleet, workers] = [
    createOperator(),
    createAccount(),
    createAccount(),
    createAccount(),
  ];
  const user = createUser();
  const ids = {
    system: system.getPublicKey(),
    fleet: fleet.getPublicKey(),
    workers: workers.getPublicKey(),
  };
  const accounts: Readonly<Record<string, string>> = {
    [ids.system]: await encodeAccount('system', system, { limits: NO_LIMITS }, { signer: operator }),
    [ids.fleet]: await encodeAccount(
      'fleet',
      fleet,
      {
        limits: { ...NO_LIMITS, ...NO_STORE_LIMITS },
        exports: exportsOf(SERVICES_OF_FLEET),
        imports: importsOf(SERVICES_OF_WORKERS, ids.workers),
      },
      { signer: operator },
    ),
    [ids.workers]: await encodeAccount(
      'workers',
      workers,
      {
        limits: NO_LIMITS,
        exports: exportsOf(SERVICES_OF_WORKERS),
        imports: importsOf(SERVICES_OF_FLEET, ids.fleet),
      },
      { signer: operator },
    ),
  };
  const trusted = await encodeOperator('pocketfleet', operator, { system_account: ids.system });
  const coordinator = await encodeUser('coordinator', user, fleet);
  return {
    server: [
      `operator: ${trusted}`,
      `system_account: ${ids.system}`,
      'resolver: MEMORY',
      'resolver_preload: {',
      ...Object.entries(accounts).map(([id, jwt]) => `  ${id}: ${jwt}`),
      '}',
      '',
    ].join('\n'),
    account: ids.fleet,
    coordinator: new TextDecoder().decode(fmtCreds(coordinator, user)),
    workers: new TextDecoder().decode(workers.getSeed()),
  };
}

const nameOf = (subject: string): string => subject.replaceAll('*', 'any').replaceAll('.', '-');

const exportsOf = (subjects: readonly string[]): NonNullable<Account['exports']> =>
  subjects.map((subject) => ({ name: nameOf(subject), subject, type: 'service' }));

const importsOf = (subjects: readonly string[], account: string): NonNullable<Account['imports']> =>
  subjects.map((subject) => ({ name: nameOf(subject), subject, account, type: 'service' }));
