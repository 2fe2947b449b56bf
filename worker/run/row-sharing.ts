// Rows of single images between the workers that keep them, over core NATS: whoever computes some says so to all who keep
// rows of the same stage, data and device class, in whichever run. Decides who hears what. Nothing waits for a row and
// none is asked for: whoever misses one computes it.

import { sha256Hex } from '../../core/digest.ts';
import type { Logger } from '../../core/log.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { BLOCK_BYTES_MAX } from '../../core/spec/share.ts';
import { decodeRows, encodeRows, rowMessageBytes } from '../training/row-message.ts';
import type { ComputedRow, RowSharing, RowsKey, RowsSize, TeacherRows } from '../training/teacher-rows.ts';

/** Stages that are listened to at the same time: the one in use, the next, and what other epochs go back to. */
const STAGES_MAX = 4;
const TOKEN_DIGITS = 32;

/** As one run uses it. */
export function createRowSharing(options: {
  readonly connection: Pick<NatsConnection, 'publish' | 'subscribe' | 'isClosed'>;
  readonly names: Names;
  /** Where rows are kept. */
  readonly rows: TeacherRows;
  readonly log: Logger;
}): RowSharing {
  const { connection, names, rows, log } = options;
  /** The one that was followed last comes last. */
  const followed = new Map<string, ReturnType<typeof connection.subscribe>>();
  const subjectOf = (key: RowsKey, { images, flips, embedding }: RowsSize) =>
    names.rowsSubject(sha256Hex(canonicalJson({ ...key, images, flips, embedding })).slice(0, TOKEN_DIGITS));
  const drop = (subject: string) => {
    followed.get(subject)?.unsubscribe();
    followed.delete(subject);
  };

  return {
    follow(key, size) {
      const subject = subjectOf(key, size);
      const known = followed.get(subject);
      followed.delete(subject);
      if (connection.isClosed()) return;
      const listens =
        known ??
        connection.subscribe(subject, {
          callback(error, message) {
            if (error !== null) return;
            const kept = rows.kept(key, size);
            if (kept === undefined) return drop(subject);
            const heard = decodeRows(message.data, size);
            if (typeof heard === 'string') {
              log.warn(`rows of embeddings that another worker has sent are left out: ${heard}`);
              return;
            }
            for (const { image, isMirrored, values } of heard)
              if (!kept.has(image, isMirrored)) kept.keep(image, isMirrored, values);
          },
        });
      followed.set(subject, listens);
      for (const oldest of [...followed.keys()].slice(0, -STAGES_MAX)) drop(oldest);
    },
    tell(key, size, computed) {
      const subject = subjectOf(key, size);
      for (const part of inMessages(computed, size))
        if (!connection.isClosed()) connection.publish(subject, encodeRows(part, size));
    },
    close() {
      for (const subject of [...followed.keys()]) drop(subject);
    },
  };
}

/** As many rows in each as a message has room for. */
function inMessages(computed: readonly ComputedRow[], size: RowsSize): (readonly ComputedRow[])[] {
  const rowBytes = rowMessageBytes(1, size) - rowMessageBytes(0, size);
  const most = Math.max(1, Math.floor((BLOCK_BYTES_MAX - rowMessageBytes(0, size)) / rowBytes));
  const count = Math.ceil(computed.length / most);
  return Array.from({ length: count }, (_, i) => computed.slice(i * most, (i + 1) * most));
}
