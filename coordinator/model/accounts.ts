// Who has used how much of the fleet: worker-milliseconds of each owner, and of what each owner has submitted.
// What was used loses half of its weight in each half-life, in sixty-fourths of it that begin at the same moments
// for all, so that two accounts compare the same whenever they are looked at. Only products and square roots are
// used, which are exact in the same way on every machine.

import type { Quota, Quotas } from '../../core/quotas.ts';
import { entriesOf, lookup, type PersistentMap, withEntry, withoutEntry } from './persistent-map.ts';
import {
  type Account,
  type ByHour,
  type PlanState,
  planWith,
  type RunState,
  type State,
  type SweepState,
  sweepWith,
} from './state.ts';
import { type Edit, rowsOf } from './table.ts';

/** Whose share a run belongs to. */
export interface Share {
  /** Name of the token that submitted it; empty where no token is needed. */
  readonly owner: string;
  /**
   * A plan or a sweep by its id, for the runs that belong to it; runs by themselves of one owner and weight have
   * one account together.
   */
  readonly account: string;
  /** Against the other accounts of the owner. */
  readonly weight: number;
}

const OWNER = 'owner ';

/** The key of an owner's account. */
export function ownerKey(owner: string): string {
  return `${OWNER}${owner}`;
}

/** The share that a run belongs to; it never changes. */
export function shareOf(
  state: Pick<State, 'plans' | 'sweeps'>,
  { planId, sweepId, owner = '', job }: Pick<RunState, 'planId' | 'sweepId' | 'owner' | 'job'>,
): Share {
  const parent =
    planId !== undefined
      ? planWith(state, planId)
      : sweepId !== undefined
        ? sweepWith(state, sweepId)
        : undefined;
  if (parent !== undefined) return shareOfWork(parent);
  const weight = job.weight ?? 1;
  return { owner, account: looseAccount(owner, weight), weight };
}

/** The share of a plan, or of a sweep that belongs to none. */
export function shareOfWork({ owner = '', id, spec }: PlanState | SweepState): Share {
  return { owner, account: id, weight: spec.weight ?? 1 };
}

function looseAccount(owner: string, weight: number): string {
  return `runs ${weight} ${owner}`;
}

/** Parts of a half-life after each of which a little is forgotten. */
const QUANTA = 64;
/** 2^(-1/64). */
const DECAY = Math.sqrt(Math.sqrt(Math.sqrt(Math.sqrt(Math.sqrt(Math.sqrt(0.5))))));
/** Half-lives after which nothing is left. */
const FORGOTTEN = 64;

/** What an account has used at a time, worker-milliseconds, with what its workers have used since it last changed. */
export function usedAt({ usedMs, atMs, workers }: Account, nowMs: number, halfLifeMs: number): number {
  if (nowMs <= atMs) return usedMs;
  const quantumMs = halfLifeMs / QUANTA;
  const quanta = Math.floor(nowMs / quantumMs) - Math.floor(atMs / quantumMs);
  if (quanta === 0) return usedMs + workers * (nowMs - atMs);
  const beganMs = Math.floor(nowMs / quantumMs) * quantumMs;
  const firstMs = (Math.floor(atMs / quantumMs) + 1) * quantumMs - atMs;
  const kept = decayOver(quanta);
  // The part of a quantum at the beginning, whole ones, of which each later one has decayed less, the part at the end.
  const whole = (quantumMs * (DECAY - kept)) / (1 - DECAY);
  return kept * (usedMs + workers * firstMs) + workers * (whole + Math.max(0, nowMs - beganMs));
}

/** DECAY to a whole power, by squaring. */
function decayOver(quanta: number): number {
  if (quanta > QUANTA * FORGOTTEN) return 0;
  let result = 1;
  let square = DECAY;
  for (let rest = quanta; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= square;
    square *= square;
  }
  return result;
}

/** All accounts, and what is needed to change one. */
interface Books {
  accounts: PersistentMap<Account>;
  readonly lastMs: number;
  readonly usageHalfLifeMs: number;
  readonly quotas: Quotas;
  readonly edit: Edit;
  /** Accounts are changed in place: nobody has seen any of them. */
  readonly ownsRows: boolean;
}

/** The gang of a run has so many workers more, or less. */
export function charge(books: Books, { owner, account }: Share, workers: number): void {
  if (workers === 0) return;
  for (const key of [ownerKey(owner), account]) change(books, key, { workers });
}

/** Worker-milliseconds of a run's gang that nothing stored has: without the gang they were for nothing. */
export function unstoredAt(run: RunState, nowMs: number): number {
  const { gang, changedAtMs, checkpoints, pausedStep, unstoredMs = 0 } = run;
  const storedAtMs = Math.max(checkpoints.at(-1)?.storedAtMs ?? 0, pausedStep?.storedAtMs ?? 0);
  const before = storedAtMs >= changedAtMs ? 0 : unstoredMs;
  return before + gang.length * Math.max(0, nowMs - Math.max(changedAtMs, storedAtMs));
}

/** A run of this owner has got workers for the first time. */
export function countAttempt(books: Books, { owner }: Share): void {
  if (quotaOf(books, owner)?.attempts === undefined) return;
  change(books, ownerKey(owner), { attempts: 1 });
}

/** What the gang of a run had computed is lost with it: its owner's worker-hours are without that. */
export function forgive(books: Books, { owner }: Share, lostMs: number): void {
  if (lostMs > 0) change(books, ownerKey(owner), { lostMs });
}

/** Time from then on has passed for nobody: gangs that were there are not charged for it. */
export function skipTime(books: Books, fromMs: number): void {
  const { lastMs: nowMs, usageHalfLifeMs } = books;
  for (const [key, account] of [...entriesOf(books.accounts)]) {
    if (account.workers <= 0) continue;
    const then = { ...books, lastMs: Math.max(account.atMs, fromMs) };
    change(then, key, {});
    const charged = lookup(then.accounts, key) ?? account;
    // What was used counts less by now.
    const usedMs = usedAt({ ...charged, workers: 0 }, nowMs, usageHalfLifeMs);
    set(books, key, { ...charged, usedMs, atMs: nowMs });
  }
}

/** Something of this share begins, or goes on after its end. */
export function openAccount(
  books: Books & Pick<State, 'openPlans' | 'openSweeps' | 'plans' | 'sweeps'>,
  share: Share,
): void {
  if (lookup(books.accounts, share.account) === undefined)
    set(books, share.account, {
      ...NOTHING,
      atMs: books.lastMs,
      usedMs: share.weight * leastOf(books, share),
    });
  change(books, share.account, { open: 1 });
}

/** Something of this share has ended. */
export function closeAccount(books: Books, { account }: Share): void {
  change(books, account, { open: -1 });
}

const NOTHING: Account = { usedMs: 0, atMs: 0, workers: 0, open: 0 };

/** The limits of an owner; undefined: none. */
export function quotaOf({ quotas }: Pick<State, 'quotas'>, owner: string): Quota | undefined {
  return Object.hasOwn(quotas, owner) ? quotas[owner] : quotas['*'];
}

/** A trial of this owner begins, or has ended. */
export function countTrial(books: Books, owner: string, by: 1 | -1): void {
  change(books, ownerKey(owner), { trials: by });
}

const HOUR_MS = 3_600_000;

/** Worker-milliseconds of an account by hour, up to now, within a window of which the running hour is the last. */
export function hoursAt({ hours = [], atMs, workers }: Account, nowMs: number, windowHours: number): ByHour {
  const newest = Math.floor(nowMs / HOUR_MS);
  const oldest = newest - windowHours + 1;
  const used = new Map(hours.filter(([hour]) => hour >= oldest));
  if (workers > 0)
    for (let hour = Math.max(oldest, Math.floor(atMs / HOUR_MS)); hour <= newest; hour++) {
      const passedMs = Math.min(nowMs, (hour + 1) * HOUR_MS) - Math.max(atMs, hour * HOUR_MS);
      if (passedMs > 0) used.set(hour, (used.get(hour) ?? 0) + workers * passedMs);
    }
  return [...used].sort(([a], [b]) => a - b);
}

function change(
  books: Books,
  key: string,
  by: {
    readonly workers?: number;
    readonly open?: number;
    readonly trials?: number;
    readonly lostMs?: number;
    readonly attempts?: number;
  },
): void {
  const { lastMs: nowMs, usageHalfLifeMs } = books;
  const known = lookup(books.accounts, key);
  const before = known ?? { ...NOTHING, atMs: nowMs };
  const workers = before.workers + (by.workers ?? 0);
  const open = before.open + (by.open ?? 0);
  const openTrials = (before.openTrials ?? 0) + (by.trials ?? 0);
  const isOwner = key.startsWith(OWNER);
  // The history of an owner counts further; that of a thing ends with it.
  if (workers <= 0 && open <= 0 && !isOwner) {
    books.accounts = withoutEntry(books.accounts, key, books.edit);
    return;
  }
  const quota = isOwner ? quotaOf(books, key.slice(OWNER.length)) : undefined;
  if (books.ownsRows && known !== undefined && quota === undefined && keepsFields(known, openTrials)) {
    const own: { -readonly [K in keyof Account]: Account[K] } = known;
    own.usedMs = usedAt(known, nowMs, usageHalfLifeMs);
    if (nowMs > known.atMs) own.atMs = nowMs;
    own.workers = workers;
    own.open = open;
    if (openTrials !== 0) own.openTrials = openTrials;
    return;
  }
  const account: { -readonly [K in keyof Account]: Account[K] } = {
    usedMs: usedAt(before, nowMs, usageHalfLifeMs),
    atMs: Math.max(before.atMs, nowMs),
    workers,
    open,
  };
  if (openTrials !== 0) account.openTrials = openTrials;
  if (quota !== undefined) Object.assign(account, countedFor(quota, before, { nowMs, ...by }));
  set(books, key, account);
}

/** Whether an account has the same fields afterwards. */
const keepsFields = ({ openTrials, hours, wallHours, begun }: Account, after: number): boolean =>
  ((openTrials ?? 0) !== 0) === (after !== 0) &&
  hours === undefined &&
  wallHours === undefined &&
  begun === undefined;

/** What of an account's history its limits look at. */
function countedFor(
  { workerHours, wallHours, attempts, windowHours }: Quota,
  before: Account,
  by: { readonly nowMs: number; readonly lostMs?: number; readonly attempts?: number },
): Pick<Account, 'hours' | 'wallHours' | 'begun'> {
  const { nowMs, lostMs = 0, attempts: begun = 0 } = by;
  return {
    ...(workerHours === undefined ? {} : { hours: without(hoursAt(before, nowMs, windowHours), lostMs) }),
    ...(wallHours === undefined ? {} : { wallHours: wallHoursAt(before, nowMs, windowHours) }),
    ...(attempts === undefined ? {} : { begun: begunAt(before, nowMs, windowHours, begun) }),
  };
}

/** As `hoursAt`, of the time with any worker. */
export function wallHoursAt(
  { wallHours = [], atMs, workers }: Account,
  nowMs: number,
  windowHours: number,
): ByHour {
  const busy = { usedMs: 0, open: 0, atMs, workers: Math.min(1, workers), hours: wallHours };
  return hoursAt(busy, nowMs, windowHours);
}

/** Runs that an account has begun by hour, within a window, with so many more now. */
export function begunAt({ begun = [] }: Account, nowMs: number, windowHours: number, more = 0): ByHour {
  const newest = Math.floor(nowMs / HOUR_MS);
  const counts = new Map(begun.filter(([hour]) => hour > newest - windowHours));
  if (more > 0) counts.set(newest, (counts.get(newest) ?? 0) + more);
  return [...counts].sort(([a], [b]) => a - b);
}

/** Less so much, of the newest hours first: what is lost was used last. */
function without(hours: ByHour, lostMs: number): ByHour {
  if (lostMs === 0) return hours;
  let left = lostMs;
  return [...hours]
    .reverse()
    .map(([hour, usedMs]) => {
      const taken = Math.min(left, usedMs);
      left -= taken;
      return [hour, usedMs - taken] as const;
    })
    .reverse();
}

function set(books: Books, key: string, account: Account): void {
  books.accounts = withEntry(books.accounts, key, account, books.edit);
}

/** Open plans and sweeps that are looked at for the least usage. */
const LOOKED_AT = 256;

/**
 * The least that an open account of this owner has used for its weight: a new one begins there, because otherwise
 * it would get everything until it had caught up with the day before.
 */
function leastOf(
  books: Books & Pick<State, 'openPlans' | 'openSweeps' | 'plans' | 'sweeps'>,
  { owner, account }: Share,
): number {
  let least = Number.POSITIVE_INFINITY;
  const consider = (key: string, weight: number) => {
    const other = key === account ? undefined : lookup(books.accounts, key);
    if (other !== undefined)
      least = Math.min(least, usedAt(other, books.lastMs, books.usageHalfLifeMs) / weight);
  };
  consider(looseAccount(owner, 1), 1);
  let looked = 0;
  for (const [numbers, noun] of [
    [books.openPlans, 'plan'],
    [books.openSweeps, 'sweep'],
  ] as const)
    for (const [number] of rowsOf(numbers)) {
      if (++looked > LOOKED_AT) break;
      const id = `${noun}-${number}`;
      const thing = noun === 'plan' ? planWith(books, id) : sweepWith(books, id);
      if ((thing?.owner ?? '') === owner) consider(id, thing?.spec.weight ?? 1);
    }
  return Number.isFinite(least) ? least : 0;
}
