// What the journal says after a run with faults: every trial has ended once and done, no run has finished
// twice, and how long the fleet was without a leader after each fault.

import assert from 'node:assert/strict';
import { openJournal } from '../../../coordinator/journal/journal.ts';
import { connectNats } from '../../../core/net/nats.ts';
import { createWitness } from '../../sim/witness.ts';
import { namesOn } from '../../support/names.ts';
import type { Done, FaultKind } from './faults.ts';

/** What was counted. */
export interface Books {
  readonly trials: number;
  readonly events: number;
  /** Ends by the kind of the event. */
  readonly ends: Readonly<Record<string, number>>;
  /** When a coordinator took the lead, milliseconds since the epoch. */
  readonly leadsAtMs: readonly number[];
}

/** Reads the whole journal of the fleet; throws when something was lost or doubled. */
export async function auditJournal(natsUrl: string, fleet: string, trials: number): Promise<Books> {
  const connection = await connectNats({ url: natsUrl, token: '', name: 'books' });
  try {
    const journal = openJournal({
      ...{ connection, names: await namesOn(connection, fleet) },
      ...{ fleet, version: 'test' },
    });
    const leadsAtMs: number[] = [];
    let events = 0;
    const witness = createWitness((event) => {
      events += 1;
      if (event.kind === 'coordinator.started') leadsAtMs.push(event.atMs);
    });
    for await (const event of journal.read()) witness.stored([event]);
    assert.deepEqual([...witness.open], [], 'something has begun and not ended');
    assert.equal(witness.ends.get('trial.ended done'), trials, 'every trial has ended, done and once');
    assert.equal(witness.ends.get('run.finished'), trials, 'one run has finished for each trial');
    return { trials, events, ends: Object.fromEntries(witness.ends), leadsAtMs };
  } finally {
    await connection.close();
  }
}

/** A fault that takes the leader away, and how long the fleet was without one. */
export interface Takeover {
  /** Of the fault among all faults, from 1. */
  readonly number: number;
  readonly kind: FaultKind;
  readonly ms: number;
  /** Promised, milliseconds. */
  readonly atMost: number;
}

/** From each fault that takes the leader away to the next lead. */
export function takeoversOf(done: readonly Done[], { leadsAtMs }: Books): Takeover[] {
  return done.flatMap(({ kind, atMs, takeoverMs }, i) => {
    if (takeoverMs === undefined) return [];
    const next = leadsAtMs.find((ms) => ms >= atMs);
    assert.ok(next !== undefined, `nobody took the lead after ${kind}`);
    return [{ number: i + 1, kind, ms: next - atMs, atMost: takeoverMs }];
  });
}
