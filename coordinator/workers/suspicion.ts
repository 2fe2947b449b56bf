// Complaints of members about each other: which member of a gang is waited for in vain although it still
// reports to the coordinator. Decides which worker the gang goes on without, and for how long that worker
// gets no new place. How long is too long is the members' own judgement (core/allreduce/patience.ts), which
// follows from the steps and answers that they saw. Volatile: after a start everything is there again with
// the next heartbeats.
//
// A broken link makes both of its ends complain, so a complaint counts only under two conditions: it is about
// the member that most members complain of, and it comes from a member that fewer complain of. Of two members
// that complain of each other neither is taken for lost. A member whose own link to the broker is dead
// notices that before it would complain.

import { lookup, type PersistentMap, withoutEntry } from '../model/persistent-map.ts';
import type { RunState } from '../model/state.ts';

/** The part of a run that matters here. */
type Gang = Pick<RunState, 'id' | 'generation' | 'gang'>;

/** What one member reports of one run, as of its last heartbeat. */
export interface Testimony {
  readonly runId: string;
  readonly generation: number;
  /** It has joined the exchange of this generation, so that its gang may expect answers. */
  readonly inExchange: boolean;
  readonly suspects: readonly Complaint[];
}

/** One member complains of another. */
export interface Complaint {
  /** The member that is complained of. */
  readonly workerId: string;
  /** `silent`: it does not answer; `idle`: it answers and contributes nothing. */
  readonly kind: 'silent' | 'idle';
  /** For how long, milliseconds. */
  readonly ms: number;
  /** How long was acceptable by what the complaining member saw before, milliseconds. */
  readonly limitMs: number;
}

/** A worker that its gang goes on without. */
export interface Conviction {
  readonly workerId: string;
  readonly reason: string;
  /** For how long it has done nothing, milliseconds. */
  readonly ms: number;
}

/**
 * The newest testimonies by worker. One that is not recent makes no complaint count, but shows that its
 * worker had joined.
 */
export type Testimonies = ReadonlyMap<
  string,
  { readonly recent: boolean; readonly said: readonly Testimony[] }
>;

/** Workers that their gangs go on without. */
export function convictionsOf(
  runs: readonly Gang[],
  testimonies: Testimonies,
  /** The worker has something in hand that is no run. */
  isOccupied: (workerId: string) => boolean = () => false,
): Conviction[] {
  const convicted = new Map<string, Conviction & { readonly kind: Complaint['kind'] }>();
  const charged = new Map<string, Set<string>>();
  for (const run of runs)
    for (const { complaint, by } of chargesOf(run, testimonies)) {
      const { workerId, kind, ms } = complaint;
      charged.set(workerId, (charged.get(workerId) ?? new Set()).add(run.id));
      if (convicted.get(workerId)?.kind === 'silent') continue;
      convicted.set(workerId, { workerId, kind, ms, reason: reasonOf(run, complaint, by) });
    }
  // A worker computes for one run at a time: one that is idle for a gang may be busy with another run.
  const isBusy = (workerId: string): boolean =>
    isOccupied(workerId) ||
    runs.some(
      (run) => run.gang.some((member) => member.workerId === workerId) && !charged.get(workerId)?.has(run.id),
    );
  return [...convicted.values()].filter(({ kind, workerId }) => kind === 'silent' || !isBusy(workerId));
}

/**
 * The complaints within one gang that count, at most one against each member, with the member that makes it.
 */
function chargesOf(
  run: Gang,
  testimonies: Testimonies,
): { readonly complaint: Complaint; readonly by: string }[] {
  const members = run.gang.map(({ workerId }) => workerId);
  const saidBy = (workerId: string): Testimony | undefined =>
    testimonies
      .get(workerId)
      ?.said.find(({ runId, generation }) => runId === run.id && generation === run.generation);
  const complaints = members.flatMap((by) => {
    const heard = testimonies.get(by)?.recent ? (saidBy(by)?.suspects ?? []) : [];
    return heard
      .filter(({ workerId }) => members.includes(workerId) && workerId !== by)
      .map((complaint) => ({ by, complaint }));
  });
  const against = (id: string): number =>
    complaints.filter(({ complaint }) => complaint.workerId === id).length;
  const most = Math.max(0, ...members.map(against));
  return members
    .filter((id) => against(id) === most && saidBy(id)?.inExchange === true)
    .flatMap((id) => {
      const counting = complaints.filter(
        ({ by, complaint }) => complaint.workerId === id && against(by) < most,
      );
      // Silence is the graver charge: a member that is only idle may be busy with another run.
      const worst = counting.find(({ complaint }) => complaint.kind === 'silent') ?? counting[0];
      return worst === undefined ? [] : [worst];
    });
}

function reasonOf(run: Gang, { kind, ms, limitMs }: Complaint, by: string): string {
  const limit = kind === 'silent' ? 'answers were' : 'steps were';
  const what = kind === 'silent' ? 'says nothing to its gang' : 'contributes nothing to the open step';
  return `it ${what} for ${seconds(ms)} in ${run.id}, as ${by} sees it; by how slow ${limit} lately, ${seconds(limitMs)} were enough`;
}

/** What all members report of each other, and who is kept out. */
export interface SuspicionBoard {
  /** Takes what a worker reports with a heartbeat. */
  heard(workerId: string, said: readonly Testimony[]): void;
  /** Drops what a worker reported: its stream has ended. */
  removeWorker(workerId: string): void;
  /** Which workers to take for lost now. Each is returned once, and gets no place for a while. */
  judge(runs: readonly Gang[], isOccupied?: (workerId: string) => boolean): Conviction[];
  /** Those of these workers that may get a place. */
  placeable(connected: PersistentMap<true>): PersistentMap<true>;
}

/** A testimony counts for so many heartbeats after it came. */
const RECENT_HEARTBEATS = 2;
/**
 * A worker is kept out for as long as it held its gang up, and twice as long each time it does so again soon;
 * at most this, milliseconds.
 */
const KEPT_OUT_MS_MAX = 300_000;
/** Convictions further apart than so many times the last pause have nothing to do with each other. */
const PAUSES_APART = 10;

/** A board without testimonies. */
export function createSuspicionBoard(options: {
  readonly now: () => number;
  readonly heartbeatIntervalMs: number;
}): SuspicionBoard {
  const { now, heartbeatIntervalMs } = options;
  const heardOf = new Map<string, Heard>();
  const keptOut = new Map<string, { readonly untilMs: number; readonly pauseMs: number }>();

  /**
   * What was heard, with those that have joined only just counted as not there yet: complaints that are still
   * recent may have been made before they came. A member counts as there once every testimony that counts was
   * made a heartbeat after it joined.
   */
  function settled({ said, joinedAt }: Heard): readonly Testimony[] {
    const since = now() - (RECENT_HEARTBEATS + 1) * heartbeatIntervalMs;
    return said.map((testimony) => ({
      ...testimony,
      inExchange: (joinedAt.get(exchangeOf(testimony)) ?? Number.POSITIVE_INFINITY) <= since,
    }));
  }

  function keepOut({ workerId, ms }: Conviction): void {
    const before = keptOut.get(workerId);
    const isAgain = before !== undefined && now() - before.untilMs < PAUSES_APART * before.pauseMs;
    const pauseMs = Math.min(KEPT_OUT_MS_MAX, isAgain ? 2 * before.pauseMs : ms);
    keptOut.set(workerId, { pauseMs, untilMs: now() + pauseMs });
  }

  return {
    heard(workerId, said) {
      const before = heardOf.get(workerId)?.joinedAt;
      const joinedAt = new Map<string, number>();
      for (const testimony of said) {
        const exchange = exchangeOf(testimony);
        if (testimony.inExchange) joinedAt.set(exchange, before?.get(exchange) ?? now());
      }
      heardOf.set(workerId, { atMs: now(), said, joinedAt });
    },
    removeWorker: (workerId) => void heardOf.delete(workerId),
    judge(runs, isOccupied) {
      const quiet = [...heardOf.values()].every(({ said }) =>
        said.every(({ suspects }) => suspects.length === 0),
      );
      if (quiet) return [];
      const testimonies = new Map(
        [...heardOf].map(([workerId, heard]) => [
          workerId,
          { said: settled(heard), recent: now() - heard.atMs <= RECENT_HEARTBEATS * heartbeatIntervalMs },
        ]),
      );
      const convictions = convictionsOf(runs, testimonies, isOccupied);
      for (const conviction of convictions) {
        keepOut(conviction);
        heardOf.delete(conviction.workerId);
      }
      return convictions;
    },
    placeable(connected) {
      const out = [...keptOut].filter(
        ([workerId, { untilMs }]) => now() < untilMs && lookup(connected, workerId) === true,
      );
      return out.reduce((allowed, [workerId]) => withoutEntry(allowed, workerId), connected);
    },
  };
}

/** What a worker reported with its last heartbeat. Times are on the monotonic clock, milliseconds. */
interface Heard {
  readonly atMs: number;
  readonly said: readonly Testimony[];
  /** By exchange: when the worker was first reported to be in it. */
  readonly joinedAt: ReadonlyMap<string, number>;
}

const exchangeOf = ({ runId, generation }: Testimony): string => `${runId} ${generation}`;

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}
