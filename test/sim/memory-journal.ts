// The journal and the lease as a simulated coordinator has them: the interfaces of coordinator/journal over the
// broker of the simulation. Requests and answers take time, in which the process can die, stand still or be
// cut off; a decision is cut into several messages when it is longer than a few events.

import { BEGINNING } from '../../coordinator/journal/chain.ts';
import type { Journal } from '../../coordinator/journal/journal.ts';
import { createJournalIndex } from '../../coordinator/journal/journal-index.ts';
import type { LeaseKey } from '../../coordinator/journal/lease.ts';
import { createStories } from '../../coordinator/journal/stories.ts';
import type { Event } from '../../coordinator/model/events.ts';
import { FleetError } from '../../core/errors.ts';
import { NAMES } from '../support/names.ts';
import type { Broker, StoredGroup } from './broker.ts';
import type { Host } from './host.ts';

/** From a request to its answer, milliseconds: a disk sync lies in it. */
const ANSWER_MS = 2;
/** How long a request waits for an answer that was lost. */
const TIMEOUT_MS = 2_000;
const AGAIN_MS = 250;

interface Parts {
  readonly broker: Broker;
  readonly host: Host;
  /** Events that a message may have. */
  readonly groupEventsMax: number;
}

/** A journal that has read nothing yet. */
export function createMemoryJournal({ broker, host, groupEventsMax }: Parts): Journal {
  const closing = new AbortController();
  const { clock } = host;
  let sequence = 0;
  let group = 0;
  let appending = false;
  let trouble: Journal['trouble'];

  const ask = asking(host);

  async function appendPart(events: readonly Event[], part: number): Promise<void> {
    const message: StoredGroup = { writer: host.name, group: ++group, events };
    for (;;) {
      const fate = broker.fate(host.name, part);
      if (fate === 'killed before') host.kill();
      try {
        const outcome = await ask(() => (fate === 'full' ? 'full' : broker.append(sequence, message)));
        if (fate === 'killed after') host.kill();
        if (!host.alive) return await new Promise<never>(() => undefined);
        if (fate === 'answer lost') {
          const error = new FleetError('deadlineExceeded', 'no answer to an append');
          // Nothing can be placed until the answer is given up.
          trouble = { sinceMs: trouble?.sinceMs ?? clock.now(), error };
          await clock.sleep(TIMEOUT_MS, closing.signal);
          throw error;
        }
        if (outcome === 'full') throw new FleetError('resourceExhausted', 'the store is full');
        if (!outcome && !isOurs(broker.read(sequence + 1), message)) throw otherWriter();
        sequence += 1;
        trouble = undefined;
        return;
      } catch (caught) {
        const error = caught as FleetError;
        if (error.code === 'aborted' || closing.signal.aborted) throw error;
        trouble = { sinceMs: trouble?.sinceMs ?? clock.now(), error };
        if (error.code === 'resourceExhausted' && part === 0) throw error;
        await clock.sleep(AGAIN_MS, closing.signal);
      }
    }
  }

  function otherWriter(): FleetError {
    return new FleetError('aborted', `another coordinator has written message ${sequence + 1}`);
  }

  async function* events(onGroup: (sequence: number) => void, from = 1): AsyncGenerator<Event> {
    const last = await ask(() => broker.lastSequence);
    for (let at = from; at <= last; at++) {
      onGroup(at);
      yield* broker.read(at)!.events;
    }
  }

  return {
    stream: NAMES.journalStream,
    get place() {
      return { ...BEGINNING, sequence };
    },
    index: createJournalIndex(),
    refusalOf: () => undefined,
    get sequence() {
      return sequence;
    },
    get trouble() {
      return trouble;
    },
    prepare: () => ask(() => undefined),
    async *replay(beginning) {
      sequence = beginning?.place.sequence ?? 0;
      const taken = events((at) => {
        sequence = at;
      }, sequence + 1);
      for await (const event of taken) yield [event];
    },
    readOn: () =>
      events((at) => {
        sequence = at;
      }, sequence + 1),
    async append(all) {
      appending = true;
      try {
        for (let from = 0, part = 0; from < all.length; from += groupEventsMax, part++)
          await appendPart(all.slice(from, from + groupEventsMax), part);
      } finally {
        appending = false;
      }
    },
    async confirmLead() {
      if (appending) return;
      const before = group;
      const last = await ask(() => broker.lastSequence);
      if (appending || group !== before || last === sequence) return;
      throw otherWriter();
    },
    remember: () => ask(() => undefined),
    read: () => events(() => undefined),
    story(id, after) {
      const stories = createStories(async (at) => broker.read(at)?.events);
      for (let at = 1; at <= broker.lastSequence; at++)
        stories.take({ sequence: at, events: broker.read(at)!.events });
      return stories.tell(id, after);
    },
    fingerprint: () => ask(() => String(broker.lastSequence)),
    clearTrouble() {
      if (!appending) trouble = undefined;
    },
    close: () => closing.abort(new FleetError('cancelled', 'the journal is closed')),
  };
}

/** What the broker answers. Rejects after the timeout while the process is cut off. */
const asking =
  (host: Host) =>
  <T>(answer: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      const cut = host.cut;
      if (cut) host.lostUntilMs = host.clock.monotonic() + TIMEOUT_MS;
      host.wait(cut ? TIMEOUT_MS : ANSWER_MS, () => {
        if (cut || host.cut) reject(new FleetError('unavailable', 'the broker does not answer'));
        else resolve(answer());
      });
    });

/** The key of the lease at this broker. */
export function memoryLeaseKey({ broker, host }: Pick<Parts, 'broker' | 'host'>): LeaseKey {
  const ask = asking(host);
  const swap = (value: string | undefined, revision: number): number | undefined => {
    if (broker.lease.revision !== revision) return undefined;
    broker.lease = { value, revision: revision + 1 };
    return revision + 1;
  };
  return {
    find: () => ask(() => broker.lease),
    write: (value, revision) => ask(() => swap(value, revision)),
    remove: (revision) => ask(() => void swap(undefined, revision)),
  };
}

function isOurs(stored: StoredGroup | undefined, message: StoredGroup): boolean {
  return stored?.writer === message.writer && stored.group === message.group;
}
