// The order in which runs get workers: priority, then the owner that has used least of the fleet, then of its
// plans, sweeps and runs the one that has used least for its weight, then age. A run that waits ages: its
// priority rises, but not above the highest that waits, so that it has no effect among equals.

import { ownerKey, type Share, shareOf, usedAt } from '../model/accounts.ts';
import { lookup } from '../model/persistent-map.ts';
import { heldPriorityOf, numberOf, type RunState } from '../model/state.ts';
import type { Board } from './board.ts';
import type { Group } from './queue.ts';

/** After so long a run that waits has one more priority, milliseconds: priority 0 becomes 50 within five hours. */
const AGE_MS = 360_000;
/**
 * Workers that an account has count as if they had been used for so long already, milliseconds: what becomes free
 * at once is shared out at once.
 */
const HELD_MS = 60_000;

/** The first run of a group. */
export interface Head {
  readonly group: Group;
  readonly number: number;
}

/** The order of the runs that wait, while they are placed. */
export interface Order {
  /** The first of these. */
  firstOf(heads: readonly Head[]): (Head & { readonly agedPriority: number }) | undefined;
  /** Negative when `a` gets workers before `b`, of runs that train. */
  compare(a: RunState, b: RunState): number;
  /** A run of this share has got so many workers. */
  placed(share: Share, workers: number): void;
}

/** The order by what was used up to now. */
export function createOrder(board: Board): Order {
  const { accounts, usageHalfLifeMs } = board.state;
  const { now } = board.observed;
  const given = new Map<string, number>();
  const ranks = new Map<string, number>();

  /** What an account has used for its weight, with what it has just got. */
  function rankOf(key: string, weight: number): number {
    const known = ranks.get(key);
    if (known !== undefined) return known;
    const account = lookup(accounts, key);
    const used = account === undefined ? 0 : usedAt(account, now, usageHalfLifeMs);
    const held = (account?.workers ?? 0) + (given.get(key) ?? 0);
    const rank = (used + held * HELD_MS) / weight;
    ranks.set(key, rank);
    return rank;
  }

  function byShare(a: Share, b: Share): number {
    return (
      (a.owner === b.owner ? 0 : rankOf(ownerKey(a.owner), 1) - rankOf(ownerKey(b.owner), 1)) ||
      (a.account === b.account ? 0 : rankOf(a.account, a.weight) - rankOf(b.account, b.weight))
    );
  }

  function agedPriority({ group, number }: Head, highest: number): number {
    if (group.priority >= highest) return group.priority;
    const waitedMs = Math.max(0, now - board.run(number).queuedAtMs);
    return Math.min(highest, group.priority + Math.floor(waitedMs / AGE_MS));
  }

  return {
    firstOf(heads) {
      let highest = 0;
      for (const { group } of heads) highest = Math.max(highest, group.priority);
      let best: Head | undefined;
      let priority = 0;
      for (const head of heads) {
        const aged = agedPriority(head, highest);
        const isFirst =
          best === undefined ||
          aged > priority ||
          (aged === priority &&
            (byShare(head.group.share, best.group.share) || head.number - best.number) < 0);
        if (!isFirst) continue;
        best = head;
        priority = aged;
      }
      return best && { ...best, agedPriority: priority };
    },
    compare: (a, b) =>
      heldPriorityOf(b) - heldPriorityOf(a) ||
      byShare(shareOf(board.state, a), shareOf(board.state, b)) ||
      numberOf(a.id) - numberOf(b.id),
    placed({ owner, account }, workers) {
      for (const key of [ownerKey(owner), account]) {
        given.set(key, (given.get(key) ?? 0) + workers);
        ranks.delete(key);
      }
    },
  };
}
