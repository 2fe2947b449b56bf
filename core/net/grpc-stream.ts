// Writing to a gRPC stream without filling memory: the writer waits for a slow reader and stops when it has
// gone.

import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { FleetError } from '../errors.ts';

interface ServerStream extends Writable {
  readonly cancelled: boolean;
}

/**
 * Writes each message as the reader takes them. Resolves when all are written; throws `cancelled` when the
 * reader has gone.
 */
export async function writeAll<T>(stream: ServerStream, messages: AsyncIterable<T>): Promise<void> {
  const gone = new AbortController();
  const onCancel = () => gone.abort();
  stream.once('cancelled', onCancel);
  try {
    for await (const message of messages) {
      if (stream.cancelled) throw new FleetError('cancelled', 'the caller has gone');
      if (!stream.write(message)) await once(stream, 'drain', { signal: gone.signal });
    }
  } catch (caught) {
    if (gone.signal.aborted) throw new FleetError('cancelled', 'the caller has gone', { cause: caught });
    throw caught;
  } finally {
    stream.removeListener('cancelled', onCancel);
  }
}
