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
import type { BlockForm } from '../../core/spec/distillation.ts';
import { excerpt } from '../../core/text/printable.ts';
import { decodeBlock, encodeBlock } from '../training/block-form.ts';
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
  /** Of the blocks of this order. */
  readonly form: BlockForm;
  readonly log: Logger;
  /** Milliseconds of a clock that never runs backwards. */
  readonly now: () => number;
}): BlockStream {
  const { connection, names, runId, device, form, log, now } = options;
  const client = streamClient(connection, { timeoutMs: REQUEST_MS });
  const manager = streamManager(connection, { timeoutMs: REQUEST_MS });
  manager.catch(() => undefined);
  let silentUntil = Number.NEGATIVE_INFINITY;
  let isAway = false;
  /** A block did not take the form. */
  let isWide = false;
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
        const found = readBlock(data, head, { device, form, length: values });
        if (typeof found === 'string') return { kind: 'damaged', sequence, reason: found };
        return { kind: 'block', values: found, by: head.by };
      } catch (caught) {
        failed(caught, askedAt);
        return { kind: 'away' };
      }
    },
    async claim(key, { over, forMs }) {
      const askedAt = now();
      try {
        const headers = blockHeaders.write({ by: runId, device, forMs, digest: '', form });
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
      const { bytes, form: found } = encodeBlock(values, form);
      if (found !== form && !isWide) {
        log.warn({ run: runId }, `embeddings are out of the range of ${form}; their blocks stay ${found}`);
        isWide = true;
      }
      try {
        const digest = sha256Hex(bytes);
        const headers = blockHeaders.write({ by: runId, device, forMs: 0, digest, form: found });
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

/** The values of a block in these bytes, or why it is none that may be used, as part of a sentence. */
export function readBlock(
  data: Uint8Array,
  head: { readonly device: string; readonly digest: string; readonly form: string },
  expected: { readonly device: string; readonly form: BlockForm; readonly length: number },
): Float32Array | string {
  if (head.device !== expected.device) return `it is of device class ${excerpt(head.device)}`;
  if (sha256Hex(data) !== head.digest) return 'its bytes do not have their digest';
  return decodeBlock(data, head.form, expected);
}
