// Every method of every service, asked with every role, on a real server: the table is the one below, and no
// method is left out of it.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  Client,
  credentials,
  Metadata,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { createAccess, type RefusedCall } from '../../../core/net/grpc-access.ts';
import { type GrpcServer, startGrpcServer } from '../../../core/net/grpc-server.ts';
import { ROLES, type Role } from '../../../core/net/roles.ts';
import { createTokenBook, type TokenBook } from '../../../core/net/token-book.ts';
import { newToken, type TokenEntry, tokenDigest, tokensText } from '../../../core/net/token-file.ts';
import { FleetServiceService } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { WorkerServiceService } from '../../../proto/gen/pocketfleet/v1/worker.ts';
import { assertNothingLeft, until } from '../../support/processes.ts';

/** Which roles may call what. */
const MAY: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    [
      ...['Find', 'GetPlan', 'GetSweep', 'GetTrial', 'GetRun', 'GetWorker', 'GetStore', 'GetEvaluation'],
      'GetGoodput',
      ...['ListPlans', 'ListSweeps', 'ListTrials', 'ListRuns', 'ListWorkers', 'ListCheckpoints'],
      ...['Leaderboard', 'ListArtefacts', 'GetLedger', 'Watch', 'Logs', 'History', 'Why', 'CheckJournal'],
    ].map((name) => [name, 'admin submit read']),
  ),
  ...Object.fromEntries(
    [
      ...['Submit', 'ImportTeacher', 'ImportStage', 'Inspect', 'Cancel', 'Resume', 'Pause', 'Prioritise'],
      ...['Verify', 'Export', 'Replay', 'KeepCheckpoint'],
    ].map((name) => [name, 'admin submit']),
  ),
  ...Object.fromEntries(
    ['DeleteArtefacts', 'Remove', 'Drain', 'ExportJournal', 'ImportJournal', 'TruncateJournal'].map(
      (name) => [name, 'admin'],
    ),
  ),
  Attach: 'admin worker',
};

/** The services as they are, with messages that are empty. */
const DEFINITIONS: readonly ServiceDefinition[] = [FleetServiceService, WorkerServiceService].map(
  (definition) =>
    Object.fromEntries(
      Object.entries(definition as ServiceDefinition).map(([name, method]) => [
        name,
        { ...method, responseSerialize: () => Buffer.alloc(0), requestDeserialize: () => ({}) },
      ]),
    ),
);
const METHODS = DEFINITIONS.flatMap((definition) => Object.values(definition));

const entry = (name: string, role: Role, token: string, more: Partial<TokenEntry> = {}): TokenEntry => ({
  ...{ name, role, sha256: tokenDigest(token), created: '2026-01-01T00:00:00Z', createdBy: 'test' },
  ...more,
});

interface Served {
  readonly server: GrpcServer;
  readonly client: Client;
  readonly file: string;
  readonly refused: RefusedCall[];
  readonly book: TokenBook;
  write(tokens: readonly TokenEntry[]): void;
}

/** A server with all methods, which answer at once, except for streams: they stay open. */
async function served(t: TestContext, tokens: readonly TokenEntry[] | undefined): Promise<Served> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-roles-'));
  const file = join(folder, 'tokens.yaml');
  const write = (entries: readonly TokenEntry[]) => writeFileSync(file, tokensText(entries));
  if (tokens !== undefined) write(tokens);
  const book = createTokenBook({ tokensFile: file });
  const refused: RefusedCall[] = [];
  const access = createAccess({ book, onRefused: (call) => refused.push(call) });
  const server = await startGrpcServer({
    listen: '127.0.0.1:0',
    access,
    healthOf: [],
    services: DEFINITIONS.map((definition) => ({
      definition,
      implementation: Object.fromEntries(
        Object.entries(definition).map(([name, { responseStream }]) => [
          name,
          responseStream
            ? (call: { write(message: object): void; on(event: string, listener: () => void): void }) => {
                call.on('error', () => undefined);
                call.write({});
              }
            : (_call: unknown, answer: (error: null, response: object) => void) => answer(null, {}),
        ]),
      ),
    })),
  });
  const client = new Client(server.endpoint, credentials.createInsecure());
  t.after(async () => {
    client.close();
    access.close();
    book.close();
    await server.close(0);
    rmSync(folder, { recursive: true });
    await assertNothingLeft([], [Number(server.endpoint.split(':')[1])]);
  });
  return { server, client, file, refused, book, write };
}

const carrying = (token: string): Metadata => {
  const metadata = new Metadata();
  if (token !== '') metadata.set('authorization', `Bearer ${token}`);
  return metadata;
};

type Method = (typeof METHODS)[number];

/** The call's end: undefined when the server answered. */
function called(client: Client, method: Method, token: string): Promise<ServiceError | undefined> {
  const { path, requestStream, responseStream } = method;
  const write = () => Buffer.alloc(0);
  const read = (bytes: Buffer) => bytes;
  return new Promise((resolve) => {
    if (!responseStream) {
      client.makeUnaryRequest(path, write, read, {}, carrying(token), (error) => resolve(error ?? undefined));
      return;
    }
    const stream = requestStream
      ? client.makeBidiStreamRequest(path, write, read, carrying(token))
      : client.makeServerStreamRequest(path, write, read, {}, carrying(token));
    stream.on('error', (error: ServiceError) => resolve(error));
    stream.on('data', () => {
      resolve(undefined);
      stream.cancel();
    });
  });
}

test('each role may call what the table says and nothing else, and the table has every method', async (t) => {
  assert.deepEqual(METHODS.map(({ path }) => path.split('/')[2]).sort(), Object.keys(MAY).sort());
  const tokens = new Map(ROLES.map((role) => [role, newToken(role)]));
  const { client, refused } = await served(
    t,
    [...tokens].map(([role, token]) => entry(`the-${role}`, role, token)),
  );
  for (const [role, token] of tokens)
    await Promise.all(
      METHODS.map(async (method) => {
        const name = method.path.split('/')[2]!;
        const error = await called(client, method, token);
        if (MAY[name]!.split(' ').includes(role)) return assert.equal(error, undefined, `${role} ${name}`);
        assert.equal(error?.code, status.PERMISSION_DENIED, `${role} ${name}`);
        const [fingerprint, roles] = [tokenDigest(token).slice(0, 12), MAY[name]!.replaceAll(' ', ' or ')];
        const sentence = `the token the-${role} (${role}, ${fingerprint}) may not call ${name}, which takes the role ${roles}`;
        assert.equal(error?.details, sentence);
      }),
    );
  const denied = (role: Role) => refused.filter(({ principal }) => principal?.role === role).length;
  assert.deepEqual(ROLES.map(denied), [0, 7, 19, METHODS.length - 1]);
  assert.ok(refused.every(({ reason }) => reason === 'role'));
});

test('no token, a wrong one, one that has expired and one that was revoked are refused, each with a sentence', async (t) => {
  const tokens = { old: newToken('read'), gone: newToken('submit') };
  const { client, refused } = await served(t, [
    entry('old', 'read', tokens.old, { expires: '2026-02-01T00:00:00Z' }),
    entry('gone', 'submit', tokens.gone, { revoked: '2026-03-01T00:00:00Z', revokedBy: 'mia' }),
  ]);
  const sentences: string[] = [];
  for (const token of ['', newToken('admin'), tokens.old, tokens.gone]) {
    const error = await called(client, FleetServiceService.listRuns, token);
    assert.equal(error?.code, status.UNAUTHENTICATED);
    sentences.push(error.details);
  }
  assert.match(sentences[0]!, /^this fleet needs a token: send/);
  assert.equal(sentences[1], 'the token is none of this fleet');
  assert.match(sentences[2]!, /^the token old \(read, [0-9a-f]{12}\) expired at 2026-02-01T00:00:00Z; ask /);
  assert.match(
    sentences[3]!,
    /^the token gone \(submit, [0-9a-f]{12}\) was revoked at 2026-03-01T00:00:00Z; ask /,
  );
  assert.deepEqual(
    refused.map(({ reason }) => reason),
    ['none', 'unknown', 'expired', 'revoked'],
  );
});

test('a file of tokens is read again: a new token is taken, and the open stream of a revoked one ends', async (t) => {
  const token = newToken('worker');
  const { client, book, file, write } = await served(t, undefined);
  assert.equal((await called(client, WorkerServiceService.attach, token))?.code, status.UNAUTHENTICATED);
  const known = entry('w-1', 'worker', token);
  write([known]);
  await until('the token is taken', async () => {
    return (await called(client, WorkerServiceService.attach, token)) === undefined;
  });
  const stream = client.makeBidiStreamRequest(
    WorkerServiceService.attach.path,
    () => Buffer.alloc(0),
    (bytes: Buffer) => bytes,
    carrying(token),
  );
  let end: ServiceError | undefined;
  let answered = 0;
  stream.on('data', () => {
    answered += 1;
  });
  stream.on('error', (error: ServiceError) => {
    end = error;
  });
  await until('the stream is open', () => answered > 0);
  writeFileSync(file, 'tokens: [');
  await until('the fault is known', () => book.trouble !== undefined);
  assert.match(book.trouble!, /tokens\.yaml|line/);
  assert.match(book.trouble!, /the tokens that it had stay in force$/);
  assert.equal(end, undefined);
  write([{ ...known, revoked: '2026-03-01T00:00:00Z', revokedBy: 'mia' }]);
  await until('the stream has ended', () => end !== undefined);
  const { code, details } = end as unknown as ServiceError;
  assert.equal(code, status.UNAUTHENTICATED);
  assert.match(details, /^the token w-1 .* was revoked at/);
  assert.equal(book.trouble, undefined);
});

test('refusals beyond fifty a second are held back, and a caller with a right is not', async (t) => {
  const token = newToken('read');
  const { client, refused } = await served(t, [entry('reader', 'read', token)]);
  let answered = 0;
  const flood = Array.from({ length: 400 }, () =>
    called(client, FleetServiceService.submit, newToken('admin')).then((error) => {
      answered += 1;
      return error?.code;
    }),
  );
  // 256 calls of one connection are open at once.
  await until('all that fit have been judged', () => refused.length >= 200);
  const waiting = 400 - answered;
  assert.ok(waiting >= 200, `${waiting} are held back`);
  const other = new Client(
    client.getChannel().getTarget().split(':///').pop() ?? '',
    credentials.createInsecure(),
  );
  t.after(() => other.close());
  assert.equal(await called(other, FleetServiceService.listRuns, token), undefined);
  assert.ok(answered < 400, 'the right caller did not wait for the flood');
  assert.deepEqual([...new Set(await Promise.all(flood))], [status.UNAUTHENTICATED]);
});
