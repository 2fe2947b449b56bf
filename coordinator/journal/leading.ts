// What a leader does, from its claim to the loss of the lead: turn after turn while inputs wait, and beside that
// it holds on to the lease. It decides nothing about runs. It decides that the first group begins with the claim,
// which keeps whoever led before from writing, and when a search that found nothing goes on.

import { type FleetError, toFleetError } from '../../core/errors.ts';
import type { State } from '../model/state.ts';
import type { Waiting } from './inbox.ts';
import type { Lease } from './lease.ts';
import { keepLease } from './lease-keeping.ts';
import { knownTo } from './seat.ts';
import { keepSnapshots } from './snapshot-keeping.ts';
import type { SnapshotStore } from './snapshots.ts';
import { createTurns, type TurnParts } from './turns.ts';

/** What the leader needs. */
export interface LeadingParts extends TurnParts {
  readonly lease: Lease;
  readonly snapshots?: SnapshotStore | undefined;
  readonly version: string;
  /** Decisions begin, or go on after a pause, with this state: workers are expected to dial. */
  readonly onLead: (state: State) => void;
  /** Before the first decision of a lead: what would hold up the event loop if decisions had to make it. */
  readonly beforeDecisions?: ((state: State) => Promise<void>) | undefined;
  /** Nothing is taken in any more: workers are better off with another coordinator. */
  readonly onPause: (error: FleetError) => void;
  readonly onLeaseRenewed?: (outcome: 'ok' | 'error', seconds: number) => void;
  /** There is something to show. */
  readonly onBegun: () => void;
}

/** The lead of one coordinator. */
export interface Leading {
  /** Inputs wait. */
  wake(): void;
  /** Callers whose decision is in the append under way. */
  readonly inAppend: readonly Waiting[];
  /** Claims the lead and decides until that ends, also when the signal is aborted. */
  lead(): Promise<End>;
}

/** How a lead has ended. */
export interface End {
  readonly error: FleetError;
  /** false: a part of the last group is in the journal and not in the state. */
  readonly isExact: boolean;
}

/**
 * Rest after a slice of a search that found nothing, milliseconds: several times what a slice takes, because a
 * search may go on for days.
 */
const SEARCH_REST_MS = 40;

/** Leads when it is asked to, as often as it is. */
export function createLeading(parts: LeadingParts): Leading {
  const { seat, inbox, clock, signal } = parts;
  const turns = createTurns(parts);
  let working = false;
  let wake: () => void = () => undefined;

  /** Decides group by group; rejects with the reason of the end. */
  async function decide(ending: AbortSignal): Promise<never> {
    let isRested = false;
    await parts.beforeDecisions?.(knownTo(seat));
    for (;;) {
      ending.throwIfAborted();
      const mayGoOn = turns.left === 'work' || (turns.left === 'search' && isRested);
      if ((inbox.size === 0 && !mayGoOn) || seat.halted !== undefined) {
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const rested = turns.left === 'search' ? clock.sleep(SEARCH_REST_MS, ending) : woken;
        await untilEither(Promise.race([woken, rested]), ending);
        isRested = true;
        continue;
      }
      isRested = false;
      working = true;
      try {
        // One microtask turn before each group, so that inputs that arrive together are journalled together.
        await Promise.resolve();
        await turns.take();
      } finally {
        working = false;
      }
      const { snapshots, journal } = parts;
      if (snapshots !== undefined && turns.isExact)
        keepSnapshots({ snapshots, journal, state: knownTo(seat), signal, leads: true });
    }
  }

  return {
    get inAppend() {
      return turns.inAppend;
    },
    wake: () => wake(),
    async lead() {
      const ending = new AbortController();
      const onStop = () => ending.abort(signal.reason);
      if (signal.aborted) onStop();
      signal.addEventListener('abort', onStop, { once: true });
      turns.begin();
      const reign = begin(parts);
      const watch = {
        ...parts,
        ...reign,
        until: ending.signal,
        isWorking: () => working,
        wake: () => wake(),
      };
      const both = [decide(ending.signal), keepLease(watch)];
      const error = await Promise.race(both).catch(toFleetError);
      ending.abort(error);
      await Promise.allSettled(both);
      signal.removeEventListener('abort', onStop);
      return { error, isExact: turns.isExact };
    },
  };
}

/** One time of leading: whether its first append is stored. */
interface Reign {
  readonly isClaimed: () => boolean;
}

/** Takes the post. The first append is the claim of the lead: whoever led before cannot write any more. */
function begin({ journal, seat, inbox, log, version, onLead, onBegun }: LeadingParts): Reign {
  let claimed = false;
  seat.take({ kind: 'leading', claimed });
  const claim: Waiting = {
    input: { kind: 'started', version },
    resolve() {
      claimed = true;
      log.info({ epoch: seat.state?.epoch, sequence: journal.sequence }, 'this coordinator leads');
      if (seat.post.kind === 'leading') seat.take({ kind: 'leading', claimed });
      journal.remember().catch((caught) => log.warn(toFleetError(caught).message));
    },
    reject: () => undefined,
  };
  inbox.putFirst([claim]);
  onLead(knownTo(seat));
  onBegun();
  return { isClaimed: () => claimed };
}

/** Resolves with the promise, rejects with the signal's reason when that comes first. */
async function untilEither(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}
