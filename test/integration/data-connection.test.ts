// The lean connection against a real broker: framing, placement, identity, encryption, outages.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nkeys } from '@nats-io/transport-node';
import { FleetError } from '../../core/errors.ts';
import { connectData, type DataConnection, type Receiver } from '../../core/net/data-connection.ts';
import { connectNats } from '../../core/net/nats.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { until } from '../support/processes.ts';

const certificate = (name: string): string =>
  fileURLToPath(new URL(`../support/tls/${name}.pem`, import.meta.url));
const tlsConfig = `tls { cert_file: ${JSON.stringify(certificate('server'))}, key_file: ${JSON.stringify(certificate('server-key'))} }\n`;

let nats: TestNats;
before(async () => {
  nats = await startNats({ jetstream: false, token: 'data-token' });
});
after(() => nats.stop());

const rejectsWith = (code: string, pattern: RegExp) => (error: unknown) =>
  error instanceof FleetError && error.code === code && pattern.test(error.message);

/** Bytes that tell where they came from. */
const pattern = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 0xff);

interface Heard {
  readonly head: Uint8Array;
  readonly data: Uint8Array;
}

/** Collects messages; `place` as in Receiver. */
function collector(place: Receiver['begin'] = () => 'own'): Receiver & { readonly heard: Heard[] } {
  const heard: Heard[] = [];
  return {
    heard,
    begin: place,
    message: (head, data) => heard.push({ head: Uint8Array.from(head), data: Uint8Array.from(data) }),
  };
}

async function pair(
  server: TestNats,
  options: Partial<Parameters<typeof connectData>[0]> = {},
): Promise<{ readonly from: DataConnection; readonly to: DataConnection; close(): void }> {
  const common = { url: server.url, token: server.token, ...options };
  const [from, to] = await Promise.all([
    connectData({ ...common, name: 'from' }),
    connectData({ ...common, name: 'to' }),
  ]);
  return {
    from,
    to,
    close() {
      from.close();
      to.close();
    },
  };
}

/** A subscription that the broker is known to have: what was told to itself has come back. */
async function subscribed(connection: DataConnection, subject: string, receiver: Receiver): Promise<void> {
  connection.subscribe(subject, receiver);
  const probe = collector();
  const told = `probe.${Math.random()}`;
  connection.subscribe(told, probe);
  await until('the subscription is known', () => {
    if (probe.heard.length === 0) connection.publish(told, new Uint8Array(1));
    return probe.heard.length > 0;
  });
}

const SIZES = [0, 1, 63, 64, 65, 66, 1_000, 16_383, 16_384, 65_536, 262_144, 1_000_001];

async function exchangesAllSizes(server: TestNats, options: Partial<Parameters<typeof connectData>[0]> = {}) {
  const { from, to, close } = await pair(server, options);
  try {
    const receiver = collector();
    await subscribed(to, 'sizes', receiver);
    for (const size of SIZES) {
      const bytes = pattern(size, size);
      assert.ok(from.publish('sizes', bytes.subarray(0, 64), bytes.subarray(64)));
    }
    await until('all messages', () => receiver.heard.length === SIZES.length);
    receiver.heard.forEach(({ head, data }, i) => {
      assert.deepEqual(
        Buffer.concat([head, data]),
        Buffer.from(pattern(SIZES[i]!, SIZES[i]!)),
        `size ${SIZES[i]}`,
      );
      assert.equal(head.length, Math.min(64, SIZES[i]!));
    });
  } finally {
    close();
  }
}

test('messages of every size arrive as they were sent, in order', () => exchangesAllSizes(nats));

test('data is read into shared memory where the receiver wants it, and skipped data disturbs nothing', async () => {
  const { from, to, close } = await pair(nats);
  try {
    const length = 300_000;
    const shared = new Uint8Array(new SharedArrayBuffer(4 * length));
    const receiver = collector((head) =>
      head[0] === 255 ? 'skip' : shared.subarray(head[0]! * length, (head[0]! + 1) * length),
    );
    await subscribed(to, 'placed', receiver);
    const source = new Uint8Array(new SharedArrayBuffer(length));
    for (const slot of [2, 255, 0, 255, 3]) {
      const bytes = slot === 255 ? pattern(length, 9) : source;
      if (slot !== 255) source.set(pattern(length, slot));
      from.publish('placed', new Uint8Array(64).fill(slot), Uint8Array.from(bytes));
    }
    await until('three of five messages', () => receiver.heard.length === 3);
    for (const slot of [0, 2, 3])
      assert.deepEqual(shared.slice(slot * length, (slot + 1) * length), pattern(length, slot));
    assert.ok(
      shared.subarray(length, 2 * length).every((byte) => byte === 0),
      'nothing was read elsewhere',
    );
  } finally {
    close();
  }
});

test('it speaks with the official client in both directions', async () => {
  const official = await connectNats({ url: nats.url, token: nats.token, name: 'official' });
  const lean = await connectData({ url: nats.url, token: nats.token, name: 'lean' });
  try {
    const receiver = collector();
    await subscribed(lean, 'both.lean', receiver);
    const heard: Uint8Array[] = [];
    official.subscribe('both.official', { callback: (_error, { data }) => void heard.push(data) });
    await official.flush();
    official.publish('both.lean', pattern(100_000, 1), { reply: 'answer.here' });
    lean.publish('both.official', pattern(64, 2), pattern(100_000, 3));
    await until('both have heard', () => heard.length === 1 && receiver.heard.length === 1);
    const [message] = receiver.heard;
    assert.deepEqual(Buffer.concat([message!.head, message!.data]), Buffer.from(pattern(100_000, 1)));
    assert.deepEqual(Buffer.from(heard[0]!), Buffer.concat([pattern(64, 2), pattern(100_000, 3)]));
  } finally {
    lean.close();
    await official.close();
  }
});

test('without echo it hears others and not itself; unsubscribed it hears nobody', async () => {
  const { from, to, close } = await pair(nats);
  const silent = await connectData({ url: nats.url, token: nats.token, name: 'silent', noEcho: true });
  try {
    const own = collector();
    const other = collector();
    const { unsubscribe } = silent.subscribe('echo', own);
    await subscribed(to, 'echo', other);
    silent.publish('echo', pattern(10, 1));
    await until('the other has heard', () => other.heard.length === 1);
    await until('it hears others', () => {
      from.publish('echo', pattern(10, 2));
      return own.heard.length > 0;
    });
    assert.ok(own.heard.every(({ head }) => Buffer.from(head).equals(Buffer.from(pattern(10, 2)))));
    unsubscribe();
    const { length } = own.heard;
    const before = other.heard.length;
    from.publish('echo', pattern(10, 3));
    await until('the other has heard again', () => other.heard.length > before);
    assert.ok(own.heard.length <= length + 1);
  } finally {
    silent.close();
    close();
  }
});

test('a user with password works, and wrong credentials are refused at once', async () => {
  await assert.rejects(
    connectData({ url: nats.url, token: 'wrong', name: 'intruder' }),
    rejectsWith('unauthenticated', /refuses the token of intruder; give it the natsToken/),
  );
  const users = await startNats({
    jetstream: false,
    config: 'authorization { users: [{ user: "fleet", password: "p@ss:word" }] }\n',
  });
  try {
    await exchangesAllSizes(users, { user: 'fleet', password: 'p@ss:word' });
    await assert.rejects(
      connectData({ url: users.url, user: 'fleet', password: 'x', name: 'intruder' }),
      rejectsWith('unauthenticated', /refuses the credentials of intruder \(user fleet\)/),
    );
    const official = await connectNats({
      url: users.url,
      token: '',
      user: 'fleet',
      password: 'p@ss:word',
      name: 'o',
    });
    await official.close();
  } finally {
    await users.stop();
  }
});

test('a broker that has waited in vain for who it is is dialled again, by both connections', async () => {
  const info = {
    server_id: 'late',
    version: '2.15.1',
    proto: 1,
    headers: true,
    max_payload: 1024,
    auth_required: true,
  };
  const late = `INFO ${JSON.stringify(info)}\r\n-ERR 'Authentication Timeout'\r\n`;
  let dials = 0;
  const door = createServer((socket) => {
    socket.on('error', () => undefined);
    dials += 1;
    if (dials === 1) return socket.end(late, () => socket.destroy());
    const inner = connect(Number(new URL(nats.url).port), '127.0.0.1').on('error', () => socket.destroy());
    inner.on('close', () => socket.destroy());
    socket.on('close', () => inner.destroy());
    return socket.pipe(inner).pipe(socket);
  });
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
  const url = `nats://127.0.0.1:${(door.address() as AddressInfo).port}`;
  for (const dial of [connectData, connectNats]) {
    dials = 0;
    const connection = await dial({ url, token: nats.token, name: 'slow' });
    assert.ok(dials >= 2, 'the first was refused');
    await connection.close();
  }
  await new Promise((resolve) => door.close(resolve));
});

test('a file of credentials works: the JWT of a user of an account, with its seed', async () => {
  const [operator, account, user] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createUser()];
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-creds-'));
  const accountJwt = jwtOf(operator, account, { type: 'account', limits: UNLIMITED });
  const own = await startNats({
    jetstream: false,
    config: [
      `operator: ${jwtOf(operator, operator, { type: 'operator' })}`,
      'resolver: MEMORY',
      `resolver_preload: { ${account.getPublicKey()}: ${accountJwt} }`,
      '',
    ].join('\n'),
  });
  try {
    const credentialsFile = join(folder, 'user.creds');
    const userJwt = jwtOf(account, user, { type: 'user', subs: -1, data: -1, payload: -1 });
    writeFileSync(
      credentialsFile,
      `-----BEGIN NATS USER JWT-----\n${userJwt}\n------END NATS USER JWT------\n\n` +
        `-----BEGIN USER NKEY SEED-----\n${Buffer.from(user.getSeed())}\n------END USER NKEY SEED------\n`,
    );
    await exchangesAllSizes(own, { credentialsFile });
    const official = await connectNats({ url: own.url, credentialsFile, name: 'official' });
    await official.close();
    await assert.rejects(
      connectData({ url: own.url, name: 'nobody' }),
      rejectsWith('unauthenticated', /refuses the credentials of nobody, which has none/),
    );
    await assert.rejects(
      connectData({ url: own.url, name: 'both', credentialsFile, token: 'too' }),
      rejectsWith('invalidArgument', /three ways/),
    );
  } finally {
    await own.stop();
    rmSync(folder, { recursive: true });
  }
});

const UNLIMITED = {
  subs: -1,
  data: -1,
  payload: -1,
  imports: -1,
  exports: -1,
  wildcards: true,
  conn: -1,
  leaf: -1,
};

/** What `nsc` would make: claims about one key, signed by another. */
function jwtOf(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, claims: Record<string, unknown>): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part({
    jti: 'test',
    iat: 1_600_000_000,
    iss: issuer.getPublicKey(),
    name: 'test',
    sub: subject.getPublicKey(),
    nats: { ...claims, version: 2 },
  })}`;
  return `${body}.${Buffer.from(issuer.sign(Buffer.from(body))).toString('base64url')}`;
}

test('an encrypted connection works with the authority that signed the broker, and with no other', async () => {
  const encrypted = await startNats({
    jetstream: false,
    token: 'tls-token',
    config: tlsConfig,
    scheme: 'tls',
  });
  try {
    const caFile = certificate('ca');
    await exchangesAllSizes(encrypted, { caFile });
    const official = await connectNats({ url: encrypted.url, token: 'tls-token', caFile, name: 'official' });
    await official.flush();
    await official.close();
    await assert.rejects(
      connectData({ url: encrypted.url, token: 'tls-token', name: 'trusting' }),
      rejectsWith('failedPrecondition', /certificate/),
    );
    await assert.rejects(
      connectNats({ url: encrypted.url, token: 'tls-token', name: 'trusting', waitMs: 50 }),
      rejectsWith('failedPrecondition', /certificate/),
    );
    await assert.rejects(
      connectData({ url: encrypted.url.replace('tls', 'nats'), token: 'tls-token', name: 'plain' }),
      rejectsWith('failedPrecondition', /write tls:\/\/127/),
    );
    await assert.rejects(
      connectData({ url: encrypted.url, caFile: '/nowhere/ca.pem', name: 'lost' }),
      rejectsWith('invalidArgument', /cannot be read from \/nowhere\/ca.pem/),
    );
  } finally {
    await encrypted.stop();
  }
});

test('after an outage it is subscribed again, says so, and delivers nothing of what was published meanwhile', async () => {
  const own = await startNats({ jetstream: false, token: 'outage' });
  const states: boolean[] = [];
  const { from, to, close } = await pair(own, { onStatus: (up) => states.push(up) });
  try {
    const receiver = collector();
    await subscribed(to, 'outage', receiver);
    await own.kill();
    await until('both have noticed', () => states.filter((up) => !up).length === 2);
    assert.equal(from.publish('outage', pattern(10, 1)), false);
    await own.restart();
    await until('both are back', () => states.filter((up) => up).length === 2);
    await until('a new message arrives', () => {
      from.publish('outage', pattern(10, 2));
      return receiver.heard.length > 0;
    });
    assert.ok(receiver.heard.every(({ head }) => Buffer.from(head).equals(Buffer.from(pattern(10, 2)))));
  } finally {
    close();
    await own.stop();
  }
});

test('of several servers it takes one that answers', async () => {
  const connection = await connectData({
    url: `nats://127.0.0.1:1,${nats.url}`,
    token: nats.token,
    name: 'several',
  });
  assert.ok(connection.publish('any', pattern(10, 1)));
  connection.close();
  assert.ok(connection.isClosed());
  assert.equal(connection.publish('any', pattern(10, 1)), false);
});

test('a message that the broker would not take is refused with both sizes, not sent', async () => {
  const connection = await connectData({ url: nats.url, token: nats.token, name: 'large' });
  try {
    assert.throws(
      () => connection.publish('large', new Uint8Array(64), new Uint8Array(2 * 1024 * 1024)),
      rejectsWith('failedPrecondition', /takes messages of 2097152 bytes and one of 2097216/),
    );
  } finally {
    connection.close();
  }
});

test('what a receiver throws ends the link, which comes back; the process lives', async () => {
  const states: boolean[] = [];
  const { from, to, close } = await pair(nats, { onStatus: (up) => states.push(up) });
  try {
    let thrown = false;
    const receiver = collector(() => {
      if (thrown) return 'own';
      thrown = true;
      throw new Error('on purpose');
    });
    to.subscribe('throwing', receiver);
    await until('the message after the failure', () => {
      from.publish('throwing', pattern(200, 1).subarray(0, 64), pattern(200, 1).subarray(64));
      return receiver.heard.length > 0;
    });
    assert.ok(thrown);
    assert.deepEqual(states, [false, true]);
  } finally {
    close();
  }
});

test('addresses that are none are refused without showing a password', async () => {
  const refused = (url: string, pattern: RegExp) =>
    assert.rejects(
      connectData({ url, name: 'x' }),
      (error: unknown) =>
        rejectsWith('invalidArgument', pattern)(error) && !/hunter2/.test((error as Error).message),
    );
  await refused('http://host:1', /no broker address; write nats:\/\/host:port/);
  await refused('nats://me:hunter2@host:4222', /carries a user or password/);
  await refused('nats://ho st', /no broker address/);
  assert.ok(readFileSync(certificate('server'), 'utf8').includes('BEGIN CERTIFICATE'));
});
