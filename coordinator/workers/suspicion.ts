// What members say of each other: who of a gang is waited for in vain although it still reports here. Decides whom the gang goes
// on without, and how long such a worker gets no new place; limits of time are the members' own, which follow from the steps
// and answers they saw (core/allreduce/patience.ts). Volatile: after a start it is there again with the next heartbeats.
//
// A broken link makes both of its ends complain. Believed is a complaint only about whoever most members complain of, and only from
// a member that has fewer complaints against itself: of two that complain of each other neither is. A member whose own link to
// the broker is dead knows it before it would complain.

import type { RunState } from '../model/state.ts';

/** What matters of a run here. */
type Gang = Pick<RunState, 'id' | 'generation' | 'gang'>;

/** What one member says of one run, as of its last heartbeat. */
export interface Testimony {
  readonly runId: string;
  readonly generation: number;
  /** It has joined the exchange of this generation, so that its gang may expect answers. */
  readonly inExchange: boolean;
  readonly suspects: readonly Complaint[];
}

export interface Complaint {
  readonly workerId: string;
  readonly kind: 'silent' | 'idle';
  readonly ms: number;
  readonly limitMs: number;
}

export interface Conviction {
  readonly workerId: string;
  readonly reason: string;
  /** Since when it has done nothing. */
  readonly ms: number;
}

/** Newest testimonies by worker; those of workers that were not heard lately left out, except as accused. */
export type Testimonies = ReadonlyMap<
  string,
  { readonly recent: boolean; readonly said: readonly Testimony[] }
>;

/** Workers that their gangs go on without. */
export function convictionsOf(
  runs: readonly Gang[],
  testimonies: Testimonies,
  /** It has something in hand that is no run. */
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
  // A worker computes for one run at a time: who lets one wait may only be busy with another.
  const isBusy = (workerId: string): boolean =>
    isOccupied(workerId) ||
    runs.some(
      (run) => run.gang.some((member) => member.workerId === workerId) && !charged.get(workerId)?.has(run.id),
    );
  return [...convicted.values()].filter(({ kind, workerId }) => kind === 'silent' || !isBusy(workerId));
}

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
      const believed = complaints.filter(
        ({ by, complaint }) => complaint.workerId === id && against(by) < most,
      );
      // Silence says more than idleness.
      const worst = believed.find(({ complaint }) => complaint.kind === 'silent') ?? believed[0];
      return worst === undefined ? [] : [worst];
    });
}

function reasonOf(run: Gang, { kind, ms, limitMs }: Complaint, by: string): string {
  const limit = kind === 'silent' ? 'answers were' : 'steps were';
  const what = kind === 'silent' ? 'says nothing to its gang' : 'contributes nothing to the open step';
  return `it ${what} for ${seconds(ms)} in ${run.id}, as ${by} sees it; by how slow ${limit} lately, ${seconds(limitMs)} were enough`;
}

export interface SuspicionBoard {
  /** A heartbeat. */
  heard(workerId: string, said: readonly Testimony[]): void;
  forget(workerId: string): void;
  /** Whom to take for lost now. Each is told once, and gets no place for a while. */
  judge(runs: readonly Gang[], isOccupied?: (workerId: string) => boolean): Conviction[];
  /** Of these workers those that may get a place. */
  placeable(connected: ReadonlySet<string>): ReadonlySet<string>;
}

/** A complaint counts for so many heartbeats after it was said. */
const RECENT_HEARTBEATS = 2;
/** A worker is kept out for as long as it held its gang up, twice as long each time it does so again soon. */
const KEPT_OUT_MS_MAX = 300_000;
/** Convictions further apart than so many times the last pause have nothing to do with each other. */
const PAUSES_APART = 10;

export function createSuspicionBoard(options: {
  readonly now: () => number;
  readonly heartbeatIntervalMs: number;
}): SuspicionBoard {
  const { now, heartbeatIntervalMs } = options;
  const heardOf = new Map<string, Heard>();
  const keptOut = new Map<string, { readonly untilMs: number; readonly pauseMs: number }>();

  /**
   * Who has only just joined may still be complained of in what others said before it came: it counts as there when whatever is still
   * believed was said a heartbeat after it was.
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
    forget: (workerId) => void heardOf.delete(workerId),
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
        ([workerId, { untilMs }]) => now() < untilMs && connected.has(workerId),
      );
      if (out.length === 0) return connected;
      const allowed = new Set(connected);
      for (const [workerId] of out) allowed.delete(workerId);
      return allowed;
    },
  };
}

interface Heard {
  readonly atMs: number;
  readonly said: readonly Testimony[];
  /** When it was first heard to be in an exchange. */
  readonly joinedAt: ReadonlyMap<string, number>;
}

const exchangeOf = ({ runId, generation }: Testimony): string => `${runId} ${generation}`;

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}
