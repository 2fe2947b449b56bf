// Blocks of teacher embeddings between workers: the fleet's stream of them as a worker uses it. Decides the form of
// what is there, and what counts as absent: whatever cannot be read, is of another device class, or does not have the
// digest that it names. Nothing is ever repeated here, because everything can be computed instead.
//
// A subject has one message: a claim, which is empty and says how long its maker takes to compute the block, or the
// block itself, which replaces it. A claim is made with the sequence of the message that it replaces, so that of
// several that make one at the same time one alone succeeds.

import { sha256Hex } from '../../core/digest.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { blockHeaders, streamClient, streamManager } from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import type { BlockStream } from '../training/block-supply.ts';
import type { BlockKey } from '../training/teacher-blocks.ts';

/** A request takes so long at most, milliseconds. */
const REQUEST_MS = 2_000;
/** After a request without an answer the stream is not asked for so long, milliseconds: each would cost a step. */
const SILENT_MS = 5_000;
/** The same where the answer came at once: there is no stream, or it is only about to be made. */
const ABSENT_MS = 250;

/** The stream as one run uses it. */
export function createBlockStream(options: {
  readonly connection: NatsConnection;
  readonly names: Names;
  readonly runId: string;
  /** What equal bits depend on beside the key: device class and code; `any` where equal bits are not promised. */
  readonly device: string;
  readonly log: Logger;
  /** Milliseconds of a clock that never runs backwards. */
  readonly now: () => number;
}): BlockStream {
  const { connection, names, runId, device, log, now } = options;
  const client = streamClient(connection, { timeoutMs: REQUEST_MS });
  const manager = streamManager(connection, { timeoutMs: REQUEST_MS });
  manager.catch(() => undefined);
  let silentUntil = Number.NEGATIVE_INFINITY;
  let isAway = false;
  const subjectOf = ({ network, order, step, shard }: BlockKey) =>
    names.blockSubject(orderToken(order, device), network.slice(0, TOKEN_DIGITS), step, shard);

  const answered = () => {
    if (isAway) log.info({ run: runId }, 'the stream of embeddings is back');
    isAway = false;
  };
  const failed = (caught: unknown, askedAt: number) => {
    const { code, message } = toFleetError(caught);
    silentUntil = now() + (now() - askedAt < ABSENT_MS ? ABSENT_MS : SILENT_MS);
    if (!isAway)
      log.warn({ run: runId, code }, `embeddings are computed here, their stream is away: ${message}`);
    isAway = true;
  };

  return {
    async look(key, values) {
      const askedAt = now();
      if (askedAt < silentUntil || connection.isClosed()) return { kind: 'away' };
      try {
        const stored = await (await manager).direct.getMessage(names.embeddingStream, {
          last_by_subj: subjectOf(key),
        });
        answered();
        if (stored === null) return { kind: 'nothing' };
        const { seq: sequence, data, header } = stored;
        const head = blockHeaders.read(header);
        if (data.length === 0) return { kind: 'claim', sequence, by: head.by, forMs: head.forMs };
        const damage = damageOf(data, head, { device, values });
        if (damage !== undefined) return { kind: 'damaged', sequence, reason: damage };
        return { kind: 'block', values: floatsOf(data), by: head.by };
      } catch (caught) {
        failed(caught, askedAt);
        return { kind: 'away' };
      }
    },
    async claim(key, { over, forMs }) {
      const askedAt = now();
      try {
        const headers = blockHeaders.write({ by: runId, device, forMs, digest: '' });
        await client.publish(subjectOf(key), undefined, {
          headers,
          expect: { streamName: names.embeddingStream, lastSubjectSequence: over },
        });
        return true;
      } catch (caught) {
        // Another message has come to this place meanwhile.
        if (toFleetError(caught).code === 'aborted') return false;
        failed(caught, askedAt);
        return true;
      }
    },
    async publish(key, values) {
      const askedAt = now();
      if (askedAt < silentUntil || connection.isClosed()) return false;
      const bytes = new Uint8Array(values.byteLength);
      bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      try {
        const headers = blockHeaders.write({ by: runId, device, forMs: 0, digest: sha256Hex(bytes) });
        await client.publish(subjectOf(key), bytes, {
          headers,
          expect: { streamName: names.embeddingStream },
        });
        answered();
        return true;
      } catch (caught) {
        failed(caught, askedAt);
        return false;
      }
    },
  };
}

const TOKEN_DIGITS = 32;

/** The order and the device class of blocks as one token of their subjects. */
export function orderToken(order: string, device: string): string {
  return sha256Hex(`${device}\n${order}`).slice(0, TOKEN_DIGITS);
}

function damageOf(
  data: Uint8Array,
  head: { readonly device: string; readonly digest: string },
  expected: { readonly device: string; readonly values: number },
): string | undefined {
  if (head.device !== expected.device) return `it is of device class ${head.device}`;
  if (data.byteLength !== expected.values * Float32Array.BYTES_PER_ELEMENT)
    return `it has ${data.byteLength} bytes`;
  return sha256Hex(data) === head.digest ? undefined : 'its bytes do not have their digest';
}

/** A copy that is aligned; a message lies anywhere in what the socket gave. */
function floatsOf(data: Uint8Array): Float32Array {
  return new Float32Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
}
