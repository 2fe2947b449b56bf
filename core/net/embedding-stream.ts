// The stream in which students of one order share the embeddings of their teacher. It is in the broker's memory and
// bounded, because everything in it can be computed again: where it is full the oldest messages go, and a broker that
// starts again has none of it. Decides its properties; who wants it is the coordinator's decision
// (coordinator/store/embedding-sharing.ts).

import { DiscardPolicy, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import { isStreamMissing, type JetStreamManager } from './jetstream.ts';
import type { Names } from './subjects.ts';

/** Creates the stream with this bound, or gives an existing one the bound. */
export async function ensureEmbeddingStream(
  manager: JetStreamManager,
  names: Names,
  bytesMax: number,
): Promise<void> {
  try {
    const { config } = await manager.streams.info(names.embeddingStream);
    if (config.max_bytes !== bytesMax)
      await manager.streams.update(names.embeddingStream, { max_bytes: bytesMax });
  } catch (caught) {
    if (!isStreamMissing(caught)) throw caught;
    await manager.streams.add({
      name: names.embeddingStream,
      subjects: [names.anyBlockSubjects],
      description: 'embeddings of teachers that students share, in memory',
      storage: StorageType.Memory,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      // A block takes the place of the claim of whoever computed it.
      max_msgs_per_subject: 1,
      max_bytes: bytesMax,
      allow_direct: true,
      num_replicas: 1,
    });
  }
}

/** Ends the stream with all that is in it; without effect where there is none. */
export async function removeEmbeddingStream(manager: JetStreamManager, names: Names): Promise<void> {
  try {
    await manager.streams.delete(names.embeddingStream);
  } catch (caught) {
    if (!isStreamMissing(caught)) throw caught;
  }
}
