// Snapshots as a simulated coordinator has them: the newest lies at the broker of the simulation, in the product's
// own form and bytes, and a start folds only what came after it. The writing takes no turn of its own: what a
// process does in slices while it goes on is not what the simulation is about.

import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { createJournalIndex } from '../../coordinator/journal/journal-index.ts';
import type { SnapshotStore } from '../../coordinator/journal/snapshots.ts';
import { encodeState } from '../../coordinator/model/snapshot.ts';
import { decodeState } from '../../coordinator/model/snapshot-decoder.ts';
import type { StatePart } from '../../coordinator/model/snapshot-parts.ts';
import type { Broker } from './broker.ts';
import type { Host } from './host.ts';

/** From the request to write a snapshot to the moment in which it is there, milliseconds. */
const WRITE_MS = 500;
/** The rule of coordinator/journal/snapshots.ts: events between two, and the part of a long past. */
const EVENTS_BETWEEN = 20_000;
const PART_BETWEEN = 1 / 5;

interface Parts {
  readonly broker: Broker;
  readonly host: Host;
  /** Events between two snapshots at least. */
  readonly eventsBetween?: number | undefined;
}

/** The store of one process. */
export function createMemorySnapshots({
  broker,
  host,
  eventsBetween = EVENTS_BETWEEN,
}: Parts): SnapshotStore {
  let isWriting = false;
  const isDue = (events: number, patience = 1): boolean => {
    const last = broker.snapshot?.events ?? 0;
    return events - last >= patience * Math.max(eventsBetween, PART_BETWEEN * last);
  };
  return {
    isDue: (events, patience) => !isWriting && isDue(events, patience),
    async newest() {
      const { snapshot } = broker;
      if (snapshot === undefined || host.cut) return undefined;
      return {
        place: snapshot.place,
        state: decodeState(partsOf(snapshot.parts)),
        index: createJournalIndex(),
      };
    },
    async put({ place, state }, signal) {
      if (host.cut) return;
      const parts: Buffer[] = [];
      for (const part of encodeState(state)) parts.push(deflateRawSync(JSON.stringify(part), { level: 1 }));
      isWriting = true;
      host.later(WRITE_MS, () => {
        isWriting = false;
        if (signal?.aborted !== true && !host.cut && isDue(state.events))
          broker.snapshot = { place, events: state.events, parts };
      });
    },
  };
}

function* partsOf(parts: readonly Buffer[]): Generator<StatePart> {
  for (const part of parts) yield JSON.parse(inflateRawSync(part).toString()) as StatePart;
}
