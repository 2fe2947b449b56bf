// The door to JetStream: what the rest of the tree uses of it is named here. Decides how long a request may
// take, what an absent stream and a refusal look like, and nothing about what is stored.

import {
  DeliverPolicy,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import { headers, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';

export type { JetStreamManager, StoredMsg, StreamInfo } from '@nats-io/jetstream';
export type { KvEntry } from '@nats-io/kv';

/**
 * Publishes to streams and reads them; a request takes 5 s at most where `timeoutMs` does not give another
 * bound.
 */
export function streamClient(
  connection: NatsConnection,
  options: { readonly timeoutMs?: number } = {},
): JetStreamClient {
  return options.timeoutMs === undefined
    ? jetstream(connection)
    : jetstream(connection, { timeout: options.timeoutMs });
}

/**
 * Looks at streams and changes them. Without options one request asks first whether the account has
 * JetStream; with a bound of its own the caller is one that asks again and again, for which that request
 * would be one too many.
 */
export function streamManager(
  connection: NatsConnection,
  options: { readonly timeoutMs?: number } = {},
): Promise<JetStreamManager> {
  return options.timeoutMs === undefined
    ? jetstreamManager(connection)
    : jetstreamManager(connection, { timeout: options.timeoutMs, checkAPI: false });
}

/**
 * A key-value bucket that exists. `direct`: any server of a cluster may answer a read, which can be older
 * than the newest write; false: the leader of the bucket's stream answers; absent: as the bucket is
 * configured.
 */
export function openBucket(
  through: NatsConnection | JetStreamClient,
  name: string,
  options: { readonly direct?: boolean } = {},
): Promise<KV> {
  return new Kvm(through).open(name, options.direct === undefined ? {} : { allow_direct: options.direct });
}

/** The header with which a message to a bucket deletes its key. */
export function deletionHeaders(): MsgHdrs {
  const of = headers();
  of.set('KV-Operation', 'PURGE');
  return of;
}

/** What a message of the stream of embeddings says of itself beside its values. */
export interface BlockHead {
  /** The run that computed it, or does. */
  readonly by: string;
  readonly device: string;
  /** Of a claim: how long computing takes, milliseconds; 0 for a block. */
  readonly forMs: number;
  /** Of the values as they travel, SHA-256, hex; empty for a claim. */
  readonly digest: string;
  /** What the values are, float32 or float16 (worker/training/block-form.ts). */
  readonly form: string;
}

/** That as the headers of a message; what is absent there is empty, 0 or float32. */
export const blockHeaders = {
  write({ by, device, forMs, digest, form }: BlockHead): MsgHdrs {
    const of = headers();
    of.set('Block-By', by);
    of.set('Block-Device', device);
    of.set('Block-For', String(forMs));
    of.set('Block-Digest', digest);
    if (form !== 'float32') of.set('Block-Form', form);
    return of;
  },
  read(of: MsgHdrs): BlockHead {
    const forMs = Number(of.get('Block-For'));
    return {
      by: of.get('Block-By'),
      device: of.get('Block-Device'),
      forMs: Number.isFinite(forMs) ? forMs : 0,
      digest: of.get('Block-Digest'),
      form: of.get('Block-Form') || 'float32',
    };
  },
};

/** Options of a consumer whose first message is the one of this sequence, or the next that exists. */
export const deliverFrom = (sequence: number) =>
  ({ deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: sequence }) as const;

/** A message of a stream without its content. */
export interface StoredHeader {
  readonly subject: string;
  readonly sequence: number;
  /** Of its content. */
  readonly bytes: number;
  /** When the broker took it, milliseconds since the epoch by the broker's clock. */
  readonly storedAtMs: number;
}

/** The last message of each subject that matches, at this time; their contents do not travel. */
export async function* headersOfLast(
  connection: NatsConnection,
  stream: string,
  filter: string,
): AsyncGenerator<StoredHeader> {
  const consumer = await jetstream(connection).consumers.get(stream, {
    filter_subjects: filter,
    headers_only: true,
    deliver_policy: DeliverPolicy.LastPerSubject,
  });
  let incoming: Awaited<ReturnType<typeof consumer.consume>> | undefined;
  try {
    if ((await consumer.info()).num_pending === 0) return;
    incoming = await consumer.consume({ max_messages: 1_000 });
    for await (const { subject, seq: sequence, info, headers } of incoming) {
      const bytes = Number(headers?.get('Nats-Msg-Size') ?? 0);
      yield { subject, sequence, bytes, storedAtMs: info.timestampNanos / 1e6 };
      if (info.pending === 0) return;
    }
  } finally {
    incoming?.stop();
    // An ordered consumer would stay at the broker until it is noticed to be idle.
    await consumer.delete().catch(() => false);
  }
}

/** The server's code for a stream that does not exist. */
const STREAM_NOT_FOUND = 10059;

/** Whether a request failed because the stream that it names does not exist. */
export function isStreamMissing(caught: unknown): boolean {
  return (caught as { code?: unknown }).code === STREAM_NOT_FOUND;
}

/**
 * Whether the server understood a request and refused it. Status 408 and those from 500 on mean that it is
 * not ready.
 */
export function isRefusal(caught: unknown): boolean {
  return caught instanceof JetStreamApiError && caught.status < 500 && caught.status !== 408;
}
