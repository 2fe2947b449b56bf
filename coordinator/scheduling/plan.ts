// Gangs as they will be, while it is being decided who is placed where. A plan takes workers out of the board
// as it gives them to runs, so that the next run sees what is left, and is undone once it has become
// placements: the board follows the events that are made of them.

import { shareOf } from '../model/accounts.ts';
import { awaitedStage } from '../model/holds.ts';
import { heldPriorityOf, numberOf, priorityOf, type RunState } from '../model/state.ts';
import { isSuspect } from './blame.ts';
import type { Board } from './board.ts';
import { isExclusive } from './devices.ts';

/** A gang that changes. */
export interface Placement {
  readonly runId: string;
  /** New gang in rank order; empty: back to the queue. */
  readonly workerIds: readonly string[];
  readonly reason: string;
  /** The gang pauses, and this run gets workers of it then. */
  readonly pausesFor?: string;
  /** Of a queued run, where waiting has raised its priority. */
  readonly agedPriority?: number;
  /** It has workers on loan of this run. */
  readonly lentByRunId?: string;
}

/** How a queued run gets its gang. */
interface Holding {
  /** With which it holds it, where waiting has raised it. */
  readonly priority?: number;
  readonly lentByRunId?: string | undefined;
}

/** The gangs that change, as far as they are decided. */
export interface Plan {
  readonly board: Board;
  /** Worker ids of a run's gang, in rank order. */
  membersOf(run: RunState): readonly string[];
  /** Queued runs that have got a gang. */
  begun(): RunState[];
  /** Gives a run these members. */
  setGang(run: RunState, members: readonly string[], reason: string, how?: Holding): void;
  /** With which a run that has a gang holds it. */
  heldPriorityOf(run: RunState): number;
  /** Has a gang pause, so that its workers are free for another run. */
  pauseFor(victim: RunState, other: RunState): void;
  /** Whether the gang is to pause. */
  pauses(run: RunState): boolean;
  /** Whether the gang is as the board has it. */
  isUnchanged(run: RunState): boolean;
  setReason(run: RunState, reason: string): void;
  reasonOf(run: RunState): string | undefined;
  /** Workers that gangs of this owner have got here, less those that they have lost. */
  givenTo(owner: string): number;
  /** What has changed, and the board as it was. Gangs that lose workers come first. */
  finish(): Placement[];
}

interface Planned {
  readonly run: RunState;
  members: readonly string[];
  reason: string;
  priority: number;
  readonly lentByRunId: string | undefined;
}

/** A plan in which nothing has changed. */
export function createPlan(board: Board): Plan {
  const planned = new Map<number, Planned>();
  const given = new Map<string, number>();
  const pauses = new Map<number, Placement>();
  const membersOf = (run: RunState): readonly string[] =>
    planned.get(numberOf(run.id))?.members ?? run.gang.map(({ workerId }) => workerId);
  const held = (run: RunState) => planned.get(numberOf(run.id))?.priority ?? heldPriorityOf(run);
  return {
    board,
    membersOf,
    begun: () =>
      [...planned.values()]
        .filter(({ run, members }) => run.state === 'queued' && members.length > 0)
        .map(({ run }) => run),
    heldPriorityOf: held,
    setGang(run, members, reason, { priority = held(run), lentByRunId } = {}) {
      const alone = isExclusive(run) ? 'device' : isSuspect(run, board.observed) ? 'worker' : undefined;
      const before = membersOf(run);
      for (const id of before) if (!members.includes(id)) board.lend(id, -1);
      for (const id of members) if (!before.includes(id)) board.lend(id, 1, alone);
      const { owner } = shareOf(board.state, run);
      given.set(owner, (given.get(owner) ?? 0) + members.length - before.length);
      const lender = lentByRunId ?? planned.get(numberOf(run.id))?.lentByRunId;
      planned.set(numberOf(run.id), { run, members, reason, priority, lentByRunId: lender });
    },
    pauseFor(victim, other) {
      const workerIds = membersOf(victim);
      const awaited = awaitedStage(board.state, victim);
      const reason =
        victim.lentByRunId === other.id
          ? `gives back what ${other.id} has lent it, which can start then`
          : awaited !== undefined
            ? `waits for stage ${awaited.stage} of ${awaited.teacher.id}, and gives its workers to ${other.id} meanwhile`
            : `gives its workers to ${other.id}, whose priority is ${priorityOf(other)}`;
      pauses.set(numberOf(victim.id), { runId: victim.id, workerIds, reason, pausesFor: other.id });
    },
    pauses: ({ id }) => pauses.has(numberOf(id)),
    isUnchanged: ({ id }) => !planned.has(numberOf(id)) && !pauses.has(numberOf(id)),
    setReason(run, reason) {
      const one = planned.get(numberOf(run.id));
      if (one !== undefined) one.reason = reason;
    },
    givenTo: (owner) => given.get(owner) ?? 0,
    reasonOf: (run) => planned.get(numberOf(run.id))?.reason,
    finish() {
      board.undo();
      const changed = [...planned.entries()].flatMap(([number, one]) => {
        const { run, members, reason, priority, lentByRunId } = one;
        const before = run.gang.map((member) => member.workerId);
        if (before.length === members.length && before.every((id, i) => id === members[i])) return [];
        const isAged = run.state === 'queued' && priority > priorityOf(run);
        const placement: Placement = {
          ...{ runId: run.id, workerIds: members, reason },
          ...(isAged ? { agedPriority: priority } : {}),
          ...(lentByRunId === undefined ? {} : { lentByRunId }),
        };
        return [{ placement, number, shrinks: members.length < before.length }];
      });
      // A worker is released before it is given to another run.
      changed.sort((a, b) => Number(b.shrinks) - Number(a.shrinks) || a.number - b.number);
      return [...pauses.values(), ...changed.map(({ placement }) => placement)];
    },
  };
}
