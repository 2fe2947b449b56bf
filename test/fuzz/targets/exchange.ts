// What members of a gang send each other, and what the broker sends to the data connection.

import { wordsOfHello } from '../../../core/allreduce/agreement.ts';
import { createEnding } from '../../../core/allreduce/ending.ts';
import {
  decodeHeader,
  encodeHeader,
  encodeJson,
  encodeWords,
  HEADER_BYTES,
  type Header,
  hashOf,
  KINDS,
  type Kind,
} from '../../../core/allreduce/message.ts';
import { requestOf } from '../../../core/allreduce/request-words.ts';
import { encodeInventory } from '../../../core/allreduce/residuals.ts';
import { createFetch } from '../../../core/allreduce/state-transfer.ts';
import { createSync } from '../../../core/allreduce/sync.ts';
import type { Wire } from '../../../core/allreduce/wire.ts';
import { systemClock } from '../../../core/clock.ts';
import { digest64 } from '../../../core/digest.ts';
import { decodeStanding, encodeStanding, standingLength } from '../../../core/head/holders.ts';
import { greetingIn } from '../../../core/net/broker-greeting.ts';
import { createFrameReader } from '../../../core/net/frame-reader.ts';
import { stepDigest } from '../../../core/step-digest.ts';
import type { Sections, Target } from '../target.ts';
import { faultOf } from '../verdict.ts';

const WEIGHTS = Float32Array.of(1, 2, 3, 4);
const ELEMENTS = 16;

/** The head of a message of rank 1 of two, in step 5. */
export function headerOf(kind: Kind, fields: Partial<Header> = {}): Header {
  return {
    kind,
    encoding: 'none',
    inMemory: false,
    generation: 1,
    runHash: hashOf('run-1'),
    step: 5,
    source: 1,
    ranks: 2,
    shardFirst: 0,
    shardCount: 0,
    owner: 0,
    chunk: 0,
    offset: 0,
    count: 0,
    digest: stepDigest(WEIGHTS),
    ...fields,
  };
}

const message = (header: Header, data: Uint8Array): Sections => [encodeHeader(header, data.length), data];

const header: Target = {
  name: 'exchange-header',
  decoders: ['core/allreduce/message.ts'],
  corpus: () => KINDS.map((kind) => message(headerOf(kind), new Uint8Array(8))),
  decode([head, data]) {
    const found = decodeHeader(head!, data!.length);
    decodeHeader(encodeHeader(found, data!.length), data!.length);
  },
  cases: 150,
};

/** A wire on which nothing goes out. */
function silentWire(): Wire {
  return {
    rank: 0,
    ranks: 2,
    stats: new Proxy({}, { get: () => 0, set: () => true }) as Wire['stats'],
    stallMs: 100,
    now: () => 0,
    noteQuestion: () => undefined,
    header: (kind, step, fields) => headerOf(kind, { step, source: 0, ...fields }),
    sendTo: (_rank, { source }, data) => void encodeHeader(headerOf('hello', { source }), data?.length ?? 0),
    sendAll: () => undefined,
    sendToHosts: () => undefined,
    nameOf: (rank) => `rank ${rank}`,
    stop: () => undefined,
  };
}

const contents = { lengths: [4, 4, 2], digests: [WEIGHTS, WEIGHTS, WEIGHTS.subarray(0, 2)].map(digest64) };
const residual = { lengths: [2], digests: [digest64(WEIGHTS.subarray(0, 2))] };
const helloData = encodeWords(
  wordsOfHello([0], encodeInventory([{ shard: 1, step: 5, values: new Float32Array(1) }])),
);

const sync: Target = {
  name: 'exchange-sync',
  decoders: [
    'core/allreduce/sync.ts',
    'core/allreduce/agreement.ts',
    'core/allreduce/residuals.ts',
    'core/allreduce/state-transfer.ts',
    'core/allreduce/transfer-pieces.ts',
  ],
  corpus: () => [
    message(headerOf('hello', { chunk: 1 }), helloData),
    message(headerOf('state', { chunk: 0xffff_ffff }), encodeJson(residual)),
    message(headerOf('state', { chunk: 0, count: 4 }), new Uint8Array(16)),
    message(headerOf('ask-state'), encodeWords([0, 1, 2])),
    message(headerOf('ask-state'), new Uint8Array(0)),
  ],
  async decode([head, data]) {
    const found = decodeHeader(head!, data!.length);
    const wire = silentWire();
    const state = { weights: WEIGHTS, momentum: WEIGHTS, running: WEIGHTS };
    const whole = createSync({
      wire,
      provideState: () => state,
      stateNames: ['weights', 'momentum', 'running'],
      elements: ELEMENTS,
      residuals: () => [],
      needed: [1],
      onResidual: () => undefined,
      holds: () => true,
      onAgreed: () => undefined,
    });
    const agreed = whole.agree({ step: 5, digest: stepDigest(WEIGHTS) });
    agreed.catch(() => undefined);
    whole.acceptSync(found, data!);
    const fetch = createFetch({
      wire,
      step: 5,
      provider: 1,
      subject: { kind: 'state' },
      bound: { parts: 3, elements: ELEMENTS },
    });
    fetch.vectors.catch(() => undefined);
    fetch.acceptPiece(headerOf('state', { chunk: 0xffff_ffff }), encodeJson(contents));
    if (found.kind === 'state') fetch.acceptPiece({ ...found, shardFirst: 0, shardCount: 0 }, data!);
    if (found.kind !== 'state') return;
    const other = createFetch({
      wire,
      step: 5,
      provider: 1,
      subject: { kind: 'residual', shard: 1 },
      bound: { parts: 1, elements: ELEMENTS },
    });
    other.vectors.catch(() => undefined);
    other.acceptPiece({ ...found, shardFirst: 1, shardCount: 1 }, data!);
  },
  cases: 150,
};

const words: Target = {
  name: 'exchange-words',
  decoders: ['core/allreduce/request-words.ts', 'core/head/holders.ts'],
  corpus: () => {
    const standing = new Float32Array(standingLength(4));
    encodeStanding({ replica: 7, step: 6, pending: true, shards: [0, 2] }, standing);
    return [[new Uint8Array(standing.buffer)]];
  },
  decode([bytes]) {
    const whole = Buffer.from(bytes!.subarray(0, bytes!.length - (bytes!.length % 4)));
    const copy = new Uint8Array(whole);
    decodeStanding(new Float32Array(copy.buffer));
    for (let at = 0; at < whole.length; at += 4) requestOf(whole.readUInt32LE(at));
  },
};

const line = (text: string): Buffer => Buffer.from(`${text}\r\n`, 'latin1');
const data = message(headerOf('hello'), helloData);

const frames: Target = {
  name: 'broker-frames',
  decoders: ['core/net/frame-reader.ts'],
  corpus: () => [
    [
      line('INFO {"max_payload":1048576}'),
      line('PING'),
      line(`MSG pf.ar.run-1.1 7 ${HEADER_BYTES + data[1]!.length}`),
      Buffer.concat([...data, line('')]),
      line('-ERR \'Permissions Violation for Subscription to "x"\''),
      line('MSG pf.ar.run-1.1 7 0'),
      line(''),
      line('MSG pf.ar.run-1.1 7 reply 5'),
      line('hello'),
    ],
  ],
  decode(sections) {
    const bytes = Buffer.concat(sections);
    const sink = {
      line: (text: string) => void text.length,
      begin: (subscription: number) => (subscription % 2 === 0 ? ('skip' as const) : ('own' as const)),
      message: () => undefined,
    };
    createFrameReader(sink).feed(bytes);
    const pieces = createFrameReader(sink);
    for (let at = 0; at < bytes.length; ) {
      const target = pieces.target();
      const part = bytes.subarray(at, at + Math.min(7, target.length));
      target.set(part);
      pieces.filled(part.length);
      at += part.length;
    }
  },
  cases: 100,
  // A message of the broker's largest size may be announced before it comes.
  memory: { times: 64, plus: 160 << 20 },
};

const INFO = {
  ...{ server_id: 'N', version: '2.12.0', proto: 1, max_payload: 1_048_576, jetstream: true },
  ...{ tls_required: false, tls_available: true, nonce: 'n0nce' },
};

const greeting: Target = {
  name: 'broker-greeting',
  decoders: ['core/net/broker-greeting.ts'],
  corpus: () => [[Buffer.from(JSON.stringify(INFO))]],
  decode([info]) {
    const { maxPayload, nonce = '' } = greetingIn(`INFO ${Buffer.from(info!).toString('latin1')}`);
    if (!Number.isSafeInteger(maxPayload) || maxPayload < 1) throw new Error(`a bound of ${maxPayload}`);
    nonce.length;
  },
  cases: 80,
};

const stop: Target = {
  name: 'exchange-stop',
  decoders: ['core/allreduce/ending.ts', 'core/allreduce/message.ts'],
  corpus: () => [[Buffer.from(encodeJson({ code: 'failedPrecondition', message: 'loss is NaN' }))]],
  decode([data]) {
    const ending = createEnding({
      ...{ clock: systemClock, quietMs: () => 0, nameOf: (rank) => `worker ${rank}` },
      ...{ sendStop: () => undefined, onStopped: () => undefined, onFailed: () => undefined },
    });
    ending.acceptStop(headerOf('stop'), data!);
    ending.repeatStop();
    const failure = ending.failure();
    const fault = failure && faultOf(failure, { charsMax: 5_000 });
    if (fault !== undefined) throw new Error(fault);
  },
  cases: 80,
};

export const exchangeTargets: readonly Target[] = [header, sync, words, stop, frames, greeting];
