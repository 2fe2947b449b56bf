// What somebody tries who has a worker's rights, or those of someone who submits, or none: each attack looks
// afterwards whether it has worked, and does not trust what it was told.

import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import { toFleetError } from '../../core/errors.ts';
import { createFleetClient, unary } from '../../core/net/grpc-client.ts';
import { connectNats, type NatsConnection } from '../../core/net/nats.ts';
import { isAbsent } from '../../core/net/presence.ts';
import type { FleetServiceClient } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { runText } from '../support/coordinator-in-process.ts';
import { until } from '../support/processes.ts';
import { dialRawWorker } from '../support/raw-worker.ts';
import type { Target } from './fleets.ts';

/** How an attack has ended. */
export interface Outcome {
  readonly worked: boolean;
  /** What the attacker got, or the sentence of the refusal. */
  readonly what: string;
}

/** One attack. */
export interface Attack {
  readonly name: string;
  /** Whose rights the attacker has. */
  readonly as: 'nobody' | 'worker' | 'submitter';
  attempt(target: Target): Promise<Outcome>;
}

const TIMEOUT_MS = 2_000;
const bytes = (text: string) => new TextEncoder().encode(text);

/** It has worked when the promise resolves; the text is what came of it. */
async function outcomeOf(attempt: () => Promise<string>): Promise<Outcome> {
  try {
    return { worked: true, what: await attempt() };
  } catch (caught) {
    return { worked: false, what: toFleetError(caught).message };
  }
}

type AsWorker = (broker: {
  readonly connection: NatsConnection;
  readonly js: ReturnType<typeof jetstream>;
  readonly jsm: Awaited<ReturnType<typeof jetstreamManager>>;
  /** With all rights, to see what has happened. */
  readonly fleet: NatsConnection;
  readonly truth: Awaited<ReturnType<typeof jetstreamManager>>;
  readonly target: Target;
}) => Promise<string>;

/** An attack on the broker with what the worker w1 has. */
function onBroker(name: string, attempt: AsWorker): Attack {
  return {
    ...{ name, as: 'worker' },
    async attempt(target) {
      const connection = await connectNats(target.worker);
      const coordinator = await connectNats(target.coordinator);
      try {
        const parts = {
          ...{ connection, target, js: jetstream(connection, { timeout: TIMEOUT_MS }) },
          jsm: await jetstreamManager(connection, { timeout: TIMEOUT_MS, checkAPI: false }),
          ...{ fleet: coordinator, truth: await jetstreamManager(coordinator) },
        };
        return await outcomeOf(() => attempt(parts));
      } finally {
        await connection.close();
        await coordinator.close();
      }
    },
  };
}

/** Subjects of what is heard, each of which is answered, and the refusal to hear. */
interface Heard {
  readonly subjects: string[];
  refusal: Error | undefined;
}

function listen(connection: NatsConnection, subject: string): Heard {
  const heard: Heard = { subjects: [], refusal: undefined };
  connection.subscribe(subject, {
    callback(error, message) {
      if (error === null) {
        heard.subjects.push(message.subject);
        message.respond();
      } else heard.refusal = error;
    },
  });
  return heard;
}

/** An attack on gRPC by one call. */
function byCall(
  name: string,
  as: Attack['as'],
  token: (target: Target) => string,
  call: (client: FleetServiceClient) => Promise<unknown>,
): Attack {
  return {
    ...{ name, as },
    async attempt(target) {
      const client = createFleetClient({ endpoint: target.endpoint, token: token(target) });
      try {
        return await outcomeOf(async () => {
          await call(client);
          return 'answered';
        });
      } finally {
        client.close();
      }
    },
  };
}

/** An attack on gRPC by a stream of a worker: it has worked when a command comes. */
function byStream(
  name: string,
  as: Attack['as'],
  token: (target: Target) => string,
  id: string,
  before?: string,
): Attack {
  return {
    ...{ name, as },
    async attempt(target) {
      const first =
        before && dialRawWorker({ endpoint: target.endpoint, token: target.tokens.worker, id: before });
      if (first) await until('the living worker is welcome', () => first.received.includes('welcome'));
      const worker = dialRawWorker({ endpoint: target.endpoint, token: token(target), id });
      await until('an answer', () => worker.end !== undefined || worker.received.length > 0);
      worker.close();
      if (first) first.close();
      const [command] = worker.received;
      return { worked: command !== undefined, what: command ?? worker.end! };
    },
  };
}

const submission = { yaml: runText('attack'), baseDir: '', dryRun: false, overrides: {} };
const ofWorker = ({ tokens }: Target): string => tokens.worker;
const ofSubmitter = ({ tokens }: Target): string => tokens.submit;

/** All of them, in the order of the table: those after which a fleet decides nothing more come last. */
export const ATTACKS: readonly Attack[] = [
  {
    ...{ name: 'connect to the broker without credentials', as: 'nobody' },
    attempt: ({ natsUrl }) =>
      outcomeOf(async () => {
        await (await connectNats({ url: natsUrl, name: 'stranger' })).close();
        return 'connected';
      }),
  },
  {
    ...{ name: 'connect to the broker with the token of gRPC', as: 'worker' },
    attempt: ({ natsUrl, tokens }) =>
      outcomeOf(async () => {
        await (await connectNats({ url: natsUrl, name: 'w1', token: tokens.worker })).close();
        return 'connected';
      }),
  },
  onBroker('read the journal', async ({ jsm, target: { names } }) => {
    const message = await jsm.streams.getMessage(names.journalStream, { seq: 1 });
    return `message 1, ${message!.data.length} bytes`;
  }),
  onBroker('list the streams', async ({ jsm }) => {
    const found = [];
    for await (const { config } of jsm.streams.list()) found.push(config.name);
    return found.join(' ');
  }),
  onBroker('purge a stream', async ({ jsm, truth, target: { names } }) => {
    await jsm.streams.purge(names.logStream);
    return `${(await truth.streams.info(names.logStream)).state.messages} messages left`;
  }),
  onBroker('lift the protection of a stream, then delete it', async ({ jsm, target: { names } }) => {
    await jsm.streams.update(names.logStream, { description: 'mine' });
    return 'its configuration was changed';
  }),
  onBroker('hear everything (>)', async ({ connection, fleet, target: { names } }) => {
    const heard = listen(connection, '>');
    await connection.flush();
    fleet.publish(names.logSubject('run-1', 'w2'), bytes('x'));
    await until('a message or a refusal', () => heard.subjects.length > 0 || heard.refusal !== undefined);
    if (heard.refusal !== undefined) throw heard.refusal;
    return heard.subjects.join(' ');
  }),
  onBroker('answer that another worker is there', async ({ connection, fleet, target: { names } }) => {
    const heard = listen(connection, names.presenceSubject('w2', '*'));
    await connection.flush();
    if (!(await isAbsent(fleet, names, { workerId: 'w2', incarnation: 'i' }))) return 'it counts as there';
    await until('a refusal', () => heard.refusal !== undefined);
    throw heard.refusal;
  }),
  onBroker('write log lines of another worker', async ({ js, target: { names } }) => {
    await js.publish(names.logSubject('run-1', 'ghost'), bytes('x'));
    return 'stored';
  }),
  onBroker('change what the fleet remembers of its journal', async ({ js, target: { names } }) => {
    await js.publish(`$KV.${names.fleetBucket}.attack`, bytes('x'));
    return 'stored';
  }),
  onBroker('write a snapshot of the state', async ({ js, target: { names } }) => {
    await js.publish(names.snapshotSubject(0, 'head'), bytes('x'));
    return 'stored';
  }),
  onBroker('take all manifests away with a rollup', async ({ js, target: { names } }) => {
    const rollup = headers();
    rollup.set('Nats-Rollup', 'all');
    const subject = `$KV.${names.manifestBucket}.${names.checkpointKey('run-1', 1)}`;
    await js.publish(subject, bytes('x'), { headers: rollup });
    return 'stored';
  }),
  byCall(
    'submit without a token',
    'nobody',
    () => '',
    (client) => unary(client, client.submit, submission),
  ),
  byCall(
    'list workers with a token that was guessed',
    'nobody',
    () => 'guess',
    (client) => unary(client, client.listWorkers, {}),
  ),
  byCall('submit', 'worker', ofWorker, (client) => unary(client, client.submit, submission)),
  byCall('list what others train', 'worker', ofWorker, (client) =>
    unary(client, client.listRuns, { planId: '', sweepId: '' }),
  ),
  byCall('cancel', 'worker', ofWorker, (client) => unary(client, client.cancel, { id: 'run-1', reason: '' })),
  byCall('truncate the journal', 'submitter', ofSubmitter, (client) =>
    unary(client, client.truncateJournal, { after: 10_000, lastSequence: 10_000, reason: '' }),
  ),
  byStream('attach as a worker', 'submitter', ofSubmitter, 'of-a-submitter'),
  byStream('attach without a token', 'nobody', () => '', 'of-nobody'),
  byStream('attach with the id of a worker that lives', 'worker', ofWorker, 'w7', 'w7'),
  byStream('attach with an id that colours a terminal', 'worker', ofWorker, '../../\u001b[31mred'),
  onBroker('write to the journal, which ends the fleet', async ({ js, truth, target: { names } }) => {
    const ack = await js.publish(`${names.journalSubject}.truncated`, bytes('garbage'));
    await truth.streams.deleteMessage(names.journalStream, ack.seq).catch(() => false);
    return `acknowledged at sequence ${ack.seq}`;
  }),
  onBroker('aim an acknowledgement at the journal', async ({ connection, js, truth, target: { names } }) => {
    const length = async () => (await truth.streams.info(names.journalStream)).state.last_seq;
    const before = await length();
    connection.publish(names.historySubject('run-1'), bytes('x'), {
      reply: `${names.journalSubject}.truncated`,
    });
    await js.publish(names.historySubject('run-1'), bytes('y'));
    if ((await length()) === before)
      throw new Error('nothing was written: the answer stays in the account of the workers');
    return 'written';
  }),
];
