// The faults of the control plane, each by name, and when each of them is over. Decides how a fault is done
// and that it has happened; which come when is the run's.

import { deliver, until } from '../../support/processes.ts';
import type { ControlFleet, Place } from './control-fleet.ts';

/** What a fault has done. */
export interface Done {
  readonly kind: FaultKind;
  /** When it happened, milliseconds since the epoch. */
  readonly atMs: number;
  /** Milliseconds in which another coordinator must have taken the lead; undefined: nothing is promised. */
  readonly takeoverMs?: number;
}

/** Names of the faults, with how often each comes among a hundred. */
export const FAULTS = {
  'kill leader': 14,
  'kill standby': 8,
  'kill both': 6,
  'end leader': 10,
  'stop leader': 10,
  'stop standby': 5,
  'cut leader': 10,
  'kill broker': 6,
  'stop broker': 6,
  'kill workers': 15,
  'stop workers': 10,
} as const;

export type FaultKind = keyof typeof FAULTS;

/** A leader that is killed, stopped or cut off is replaced within this. */
const TAKEOVER_MS = 5_000;
/** After SIGTERM. */
const HANDOVER_MS = 1_000;
/** How long something stays stopped or cut off: beyond the lease of the lead. */
const STOPPED_MS = 7_000;
/** How long the broker stands still: less than anybody gives up. */
const BROKER_MS = 1_500;
/** How long a killed process is away. */
const AWAY_MS = 1_000;

const pass = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Does it, and puts back what it took away. */
export async function perform(kind: FaultKind, fleet: ControlFleet, chance: () => number): Promise<Done> {
  const { nats, places } = fleet;
  const leader = await fleet.leaderWithStandbys();
  const standby = places.find((place) => place !== leader) ?? leader;
  const index = Math.floor(chance() * fleet.workers.length);
  const atMs = Date.now();
  switch (kind) {
    case 'kill leader':
      await restart([leader], 'SIGKILL');
      return { kind, atMs, takeoverMs: TAKEOVER_MS };
    case 'kill standby':
      await restart([standby], 'SIGKILL');
      return { kind, atMs };
    case 'kill both':
      await restart(places, 'SIGKILL');
      return { kind, atMs };
    case 'end leader':
      await restart([leader], 'SIGTERM');
      return { kind, atMs, takeoverMs: HANDOVER_MS };
    case 'stop leader':
      await standStill(leader);
      return { kind, atMs, takeoverMs: TAKEOVER_MS };
    case 'stop standby':
      await standStill(standby);
      return { kind, atMs };
    case 'cut leader': {
      // One that dials the broker again just now has no connection that could be cut.
      await until('the leader was cut off', () => leader.broker.hold(STOPPED_MS) > 0);
      const cutAtMs = Date.now();
      await pass(STOPPED_MS);
      return { kind, atMs: cutAtMs, takeoverMs: TAKEOVER_MS };
    }
    case 'kill broker':
      await nats.kill('SIGKILL');
      await pass(AWAY_MS * chance());
      await nats.restart();
      return { kind, atMs };
    case 'stop broker':
      await nats.kill('SIGSTOP');
      await pass(BROKER_MS);
      await nats.kill('SIGCONT');
      return { kind, atMs };
    case 'kill workers':
      await fleet.restartWorkers(index);
      return { kind, atMs };
    case 'stop workers': {
      const { child } = fleet.workers[index]!;
      child.kill('SIGSTOP');
      await pass(STOPPED_MS);
      child.kill('SIGCONT');
      return { kind, atMs };
    }
  }
}

async function restart(places: readonly Place[], signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  await Promise.all(places.map(({ program }) => deliver(program, signal)));
  await pass(AWAY_MS);
  for (const place of places) place.start();
}

async function standStill({ program }: Place): Promise<void> {
  await deliver(program, 'SIGSTOP');
  await pass(STOPPED_MS);
  await deliver(program, 'SIGCONT');
}
