// The broker of a simulated fleet: the messages of the journal, as bytes, and the rule that each append names
// the sequence that it expects to be the last. Whatever can happen to an append on its way happens here, by a
// plan that the test gives: the process dies before the message, after it or between two messages of one
// decision, the answer is lost, or the store is full.

import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Place } from '../../coordinator/journal/chain.ts';
import type { FoundLease } from '../../coordinator/journal/lease.ts';
import type { Event } from '../../coordinator/model/events.ts';

/** One message of the journal. */
export interface StoredGroup {
  readonly writer: string;
  readonly group: number;
  readonly events: readonly Event[];
}

/** What happens to one message on its way to the broker and back. */
export type AppendFate =
  | 'stored'
  /** The process is killed before the broker has the message. */
  | 'killed before'
  /** The message is stored, and the process is killed before it knows. */
  | 'killed after'
  /** The message is stored; the process waits for the answer in vain and asks again. */
  | 'answer lost'
  /** The store takes nothing. */
  | 'full';

/** The journal's stream. */
export interface Broker {
  readonly lastSequence: number;
  /** The process that has written the last message. */
  readonly lastWriter: string;
  /** Bytes of all messages before they are compressed. */
  readonly bytes: number;
  /** Stores a message and returns true, unless another sequence is the last. */
  append(expected: number, message: StoredGroup): boolean;
  /** The message at a sequence, from 1; undefined beyond the end. */
  read(sequence: number): StoredGroup | undefined;
  /** The newest snapshot: the parts of the state at a place, deflated. */
  snapshot: { readonly place: Place; readonly events: number; readonly parts: readonly Buffer[] } | undefined;
  /** The key of the lease, as it was written last. */
  lease: FoundLease;
  /** Of the next message that this process sends; `part`: its number among those of one decision, from 0. */
  fate: (process: string, part: number) => AppendFate;
  /** Sees each message once, when it is stored. */
  onStored: (events: readonly Event[], sequence: number) => void;
}

/** Bytes from which a message is kept compressed: a soak keeps a million trials. */
const DEFLATED_FROM = 2_000;

/** A broker with an empty stream, to which nothing happens. */
export function createBroker(): Broker {
  const messages: { readonly bytes: Buffer; readonly isDeflated: boolean }[] = [];
  const broker: Broker & { bytes: number; lastWriter: string } = {
    get lastSequence() {
      return messages.length;
    },
    bytes: 0,
    lastWriter: '',
    snapshot: undefined,
    lease: { value: undefined, revision: 0 },
    append(expected, message) {
      if (expected !== messages.length) return false;
      const text = JSON.stringify(message);
      broker.bytes += text.length;
      broker.lastWriter = message.writer;
      const isDeflated = text.length > DEFLATED_FROM;
      messages.push({
        bytes: isDeflated ? deflateRawSync(text, { level: 1 }) : Buffer.from(text),
        isDeflated,
      });
      broker.onStored(message.events, messages.length);
      return true;
    },
    read(sequence) {
      const message = messages[sequence - 1];
      if (message === undefined) return undefined;
      const { bytes, isDeflated } = message;
      return JSON.parse((isDeflated ? inflateRawSync(bytes) : bytes).toString()) as StoredGroup;
    },
    fate: () => 'stored',
    onStored: () => undefined,
  };
  return broker;
}
