// Digests of large memory, computed in a thread of their own: a checkpoint of half a gigabyte takes a second
// of hashing, in which the main thread has heartbeats to send. Decides from which size on that is worth a
// thread. Memory that threads share is not copied on the way.

import { createThreadPool } from '../thread-pool.ts';
import { bytesOf, type Pieces } from './chunks.ts';
import { type DigestWork, digested } from './digest-work.ts';

/** Digests of artefacts. */
export interface Digesting {
  /** SHA-256 of each chunk of a part, in order, hex. */
  chunks(pieces: Pieces, chunkBytes: number): Promise<string[]>;
  /** The 64-bit digest of each vector alone, and of all of them as one state; 16 hex digits each. */
  vectors(vectors: readonly Float32Array[]): Promise<{ each: string[]; state: string }>;
  /** Ends the thread. */
  close(): Promise<void>;
}

/** Up to so many bytes are digested at once in the caller's thread: about 2 ms. */
const AT_ONCE_BYTES_MAX = 1024 * 1024;

/** Starts a thread when the first large part comes, and ends it when none has come for a while. */
export function createDigesting(): Digesting {
  const threads = createThreadPool<DigestWork, string[]>({
    file: new URL('./digest-thread.ts', import.meta.url),
    work: 'digesting a checkpoint',
    threads: 1,
    waitingMax: 1_000,
    memoryMiB: 256,
  });
  const digest = async (work: DigestWork, bytes: number): Promise<string[]> =>
    bytes <= AT_ONCE_BYTES_MAX ? digested(work) : threads.call(work);
  return {
    chunks: (pieces, chunkBytes) => digest({ kind: 'chunks', pieces, chunkBytes }, bytesOf(pieces)),
    async vectors(vectors) {
      const bytes = vectors.reduce((sum, { byteLength }) => sum + byteLength, 0);
      const [state = '', ...each] = await digest({ kind: 'vectors', vectors }, bytes);
      return { state, each };
    },
    close: threads.close,
  };
}
