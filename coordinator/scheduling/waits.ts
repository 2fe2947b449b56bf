// What queued runs wait for, in words and as the label of a metric. Derived from the board when somebody
// asks, and once for all runs that need the same.

import { listed } from '../../core/text/listed.ts';
import { ownerKey, shareOf, usedAt } from '../model/accounts.ts';
import { lookup } from '../model/persistent-map.ts';
import { type Avoided, numberOf, type RunState } from '../model/state.ts';
import { isSuspect } from './blame.ts';
import { avoidedNow, type Board, chooseFree, needsOneClass } from './board.ts';
import { isExclusive } from './devices.ts';
import { fitsClass, type Unfit, whyUnfit } from './fit.ts';
import { borrowersOf } from './loans.ts';
import type { Pools } from './pools.ts';
import { quotaWait } from './quota-wait.ts';
import { requirementText } from './requirement.ts';
import type { Reservation, Reservations } from './reservation.ts';
import { reservationsOn } from './scheduler.ts';
import { notStartable, type Wait } from './wait.ts';

/** What a queued run waits for, and how many wait for what. */
export interface Waits {
  /** undefined: it does not wait. */
  of(runId: string): Wait | undefined;
  /** The number of queued runs by kind of wait. */
  counts(): ReadonlyMap<Wait['kind'], number>;
}

/** The waits of the board as it is now. */
export function waitsOf(board: Board): Waits {
  const byGroup = new Map<string, Wait>();
  let reservations: Reservations | undefined;
  const waitIn = (key: string, number: number): Wait => {
    const known = byGroup.get(key);
    if (known !== undefined) return known;
    const run = board.run(number);
    const obstacle = notStartable(board.state, run) ?? quotaWait(board, run, run.job.workers.min);
    reservations ??= reservationsOn(board);
    const wait: Wait = obstacle ?? shortage(board, run, reservations);
    byGroup.set(key, wait);
    return wait;
  };
  return {
    of(runId) {
      const number = numberOf(runId);
      const run = board.queue.groupOf(number) && board.run(number);
      // Each of them waits for another run.
      if (run?.twinRunId !== undefined) return notStartable(board.state, run);
      const group = board.queue.groupOf(number);
      return group && waitIn(group.key, number);
    },
    counts() {
      const counts = new Map<Wait['kind'], number>();
      for (const { key, numbers } of board.queue.groups()) {
        const { kind } = waitIn(key, numbers.first()!);
        counts.set(kind, (counts.get(kind) ?? 0) + numbers.size);
      }
      return counts;
    },
  };
}

/** What keeps a run from the workers that it needs. */
function shortage(board: Board, run: RunState, reservations: Reservations): Wait {
  const { pools } = board;
  const { min } = run.job.workers;
  const own = reservations.all().find((one) => one.run.id === run.id);
  const keepers = own === undefined ? reservations.against(run) : [];
  const { without = NONE } = own === undefined ? reservations.selectionFor(run) : {};
  const free = chooseFree(board, run, { count: min, without }).length;
  const unfit = unfitWorkers(pools, run);
  const avoided = avoidedNow(board, run);
  const kept = keepers.filter(({ workerIds }) => [...workerIds].some((id) => without.has(id)));
  const parts = [
    ...kept.map((one) => keptText(one, without)),
    ...pausingTexts(board, run),
    oneClassText(board, run),
    pools.live === 0 ? 'no worker is connected' : '',
    fewDevicesText(board, run),
    ...(isExclusive(run) ? sharedTexts(board, run) : busyTexts(board, run, avoided)),
    avoided.length > 0 ? avoidedText(avoided) : '',
    unfit.requirement > 0
      ? `${unfit.requirement} without what it requires (${requirementText(run.job.require)})`
      : '',
    unfit.memory > 0
      ? `${unfit.memory} with too little memory (it was short on a device of ${run.memory?.aboveGb} GB, and the largest that is there has ${largest(pools)} GB)`
      : '',
    unfit.precision > 0
      ? `${unfit.precision} that compute by TensorFlow, in float32 alone, where training.precision is ${run.job.training.precision} (start workers with POCKETFLEET_ENGINE=pjrt)`
      : '',
    unfit.class > 0 ? `${unfit.class} of another device class than ${run.deviceClass}` : '',
    unfit.random > 0
      ? `${unfit.random} whose GPU gives other bits each time (start it with TF_DETERMINISTIC_OPS=1, or submit with training.exact: false)`
      : '',
  ].filter((part) => part !== '');
  const why = parts.length > 0 ? parts.join(', ') : `${pools.live} connected, more are needed`;
  return {
    kind:
      kept.length > 0
        ? 'reserved'
        : unfit.class + unfit.requirement + unfit.memory + unfit.precision > 0
          ? 'model_mismatch'
          : 'insufficient_workers',
    reason: `queued: ${free} of ${min} workers: ${why}${own === undefined ? '' : ownText(own)}${lentText(board, run)}${shareText(board, run)}`,
  };
}

/** Workers that are there and that the run does not take, by the reason. */
function unfitWorkers(pools: Pools, run: RunState): Readonly<Record<Unfit, number>> {
  const counts = { requirement: 0, memory: 0, precision: 0, random: 0, class: 0 };
  for (const pool of pools.all()) {
    const why = whyUnfit(run, pool);
    if (why !== undefined) counts[why] += pool.live;
  }
  return counts;
}

function largest(pools: Pools): number {
  return Math.max(...pools.all().map(({ live, traits }) => (live > 0 ? traits.memoryGb : 0)));
}

/** What the share of the run has used, where several shares wait. */
function shareText(board: Board, run: RunState): string {
  const { owner, account, weight } = shareOf(board.state, run);
  let isAlone = true;
  for (const { share } of board.queue.groups()) isAlone &&= share.account === account;
  if (isAlone) return '';
  const name = account.startsWith('runs ') ? 'its share' : account;
  const ofOwner = owner === '' ? '' : `, ${owner} ${hoursUsed(board, ownerKey(owner))} in all`;
  return `; ${name} has used ${hoursUsed(board, account)} worker-hours of late (weight ${weight})${ofOwner}`;
}

/** Worker-hours that an account has used of late, as a text. */
export function hoursUsed({ state, observed }: Board, key: string): string {
  const account = lookup(state.accounts, key);
  const ms = account === undefined ? 0 : usedAt(account, observed.now, state.usageHalfLifeMs);
  return (ms / 3_600_000).toFixed(1);
}

/** Gangs that give it their workers. */
function pausingTexts(board: Board, run: RunState): string[] {
  return [...board.pausing]
    .map((number) => board.run(number))
    .filter(({ pausing }) => pausing?.forRunId === run.id)
    .map(({ id, gang }) => `${id} pauses and gives it ${gang.length}`);
}

/** Workers of several classes are free, which together would be enough. */
function oneClassText(board: Board, run: RunState): string {
  if (!needsOneClass(run)) return '';
  const pools = board.pools.all().filter((pool) => fitsClass(run, pool) && pool.free > 0);
  const free = pools.reduce((sum, pool) => sum + pool.free, 0);
  const classes = new Set(pools.map(({ deviceClass }) => deviceClass)).size;
  return classes > 1 && free >= run.job.workers.min
    ? `all have to be of one device class, and ${free} are free in ${classes} classes`
    : '';
}

const NONE: ReadonlySet<string> = new Set();

/** Workers that are free and kept for a gang before this run. */
function keptText({ run, workerIds, lacks, deadlineMs }: Reservation, without: ReadonlySet<string>): string {
  const count = [...workerIds].filter((id) => without.has(id)).length;
  const { min } = run.job.workers;
  return `${count} kept for ${run.id}, which needs ${min} and lacks ${lacks} (kept since ${timeText(deadlineMs)})`;
}

/** What is kept for the run itself. */
function ownText({ isDue, deadlineMs, start }: Reservation): string {
  const known = start();
  const estimate = known === undefined ? '' : `; by estimate it starts at ${timeText(known.atMs)}`;
  const since = isDue ? 'since' : 'from';
  return `; free ones are kept for it ${since} ${timeText(deadlineMs)}${isDue ? '' : ' on'}${estimate}`;
}

/** Who has workers on loan of it. */
function lentText(board: Board, run: RunState): string {
  const borrowers = borrowersOf(board, run);
  if (borrowers.length === 0) return '';
  const count = borrowers.reduce((sum, { gang }) => sum + gang.length, 0);
  const named = borrowers.slice(0, 3).map(({ id }) => id);
  const others = borrowers.length > 3 ? ` and ${borrowers.length - 3} others` : '';
  return `; ${count} on loan to ${named.join(', ')}${others}`;
}

/** A time as a reason has it: to the second, in UTC. */
function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** The members of a gang are on devices of their own. */
function fewDevicesText({ pools }: Board, run: RunState): string {
  const fitting = pools.all().filter((pool) => fitsClass(run, pool));
  const live = fitting.reduce((sum, pool) => sum + pool.live, 0);
  const devices = fitting.reduce((sum, pool) => sum + pool.devices, 0);
  return devices < run.job.workers.min && devices < live
    ? `${live} on ${devices} devices, of which a gang takes one each`
    : '';
}

/** Devices that are named in one reason. */
const NAMED_MAX = 3;

/** Who is on the devices that an exclusive run could have. */
function sharedTexts(board: Board, run: RunState): string[] {
  const { pools, devices } = board;
  const fitting = pools.all().filter((pool) => fitsClass(run, pool));
  const held = [...new Set(fitting.flatMap((pool) => pool.deviceIds()))]
    .filter((id) => devices.heldOn(id) > 0)
    .sort();
  if (held.length === 0) return [];
  const holders = (id: string) =>
    [...new Set(devices.workersOn(id).flatMap((worker) => lookup(board.state.workers, worker)!.runs))]
      .map((number) => `run-${number}`)
      .join(', ');
  const named = held.slice(0, NAMED_MAX).map((id) => `${id}: ${holders(id)}`);
  const others = held.length > NAMED_MAX ? `; and ${held.length - NAMED_MAX} others` : '';
  return [
    `${held.length} devices that hold other runs, and it needs whole ones (${named.join('; ')}${others})`,
  ];
}

/** Workers with free slots on devices that an exclusive run has. */
function exclusiveTexts(board: Board, run: RunState): { readonly count: number; readonly text: string } {
  const { pools, devices } = board;
  const holders = new Set<number>();
  let count = 0;
  for (const device of devices.exclusive())
    for (const id of devices.workersOn(device)) {
      const seat = pools.seatOf(id);
      if (seat === undefined || seat.held >= seat.slots || !fitsClass(run, pools.poolOf(seat))) continue;
      holders.add(devices.exclusiveOn(device)!);
      count += 1;
    }
  const named = [...holders].map((number) => `run-${number}`);
  return { count, text: `${count} on devices that ${listed(named, NAMED_MAX)} has for itself` };
}

function busyTexts(board: Board, run: RunState, avoided: readonly Avoided[]): string[] {
  const { pools } = board;
  const suspect = isSuspect(run, board.observed);
  let full = 0;
  let taken = 0;
  for (const pool of pools.all()) {
    if (!fitsClass(run, pool)) continue;
    if (suspect) full += pool.live - pool.idle;
    else {
      full += pool.live - pool.free - pool.taken;
      taken += pool.taken;
    }
  }
  for (const { workerId } of avoided) {
    const seat = pools.seatOf(workerId)!;
    if (suspect ? seat.held > 0 : seat.held >= seat.slots) full -= 1;
    else if (!suspect && seat.isTaken) taken -= 1;
  }
  const exclusive = suspect ? undefined : exclusiveTexts(board, run);
  taken -= exclusive?.count ?? 0;
  const fullText = suspect
    ? `${full} that hold other runs (it needs whole workers, since it may be what killed others)`
    : `${full} without a free slot`;
  const takenText = `${taken} that hold a run alone, which may be what killed other workers`;
  return [
    ...(full > 0 ? [fullText] : []),
    ...((exclusive?.count ?? 0) > 0 ? [exclusive!.text] : []),
    ...(taken > 0 ? [takenText] : []),
  ];
}

/** Which workers the run is kept from for a while, and what went wrong there last. */
function avoidedText(avoided: readonly Avoided[]): string {
  const times = (one: Avoided) => (one.failures > 1 ? ` ${one.failures} times` : '');
  const who = avoided.map((one) => `${one.workerId}${times(one)}`).join(', ');
  const last = avoided.reduce((a, b) => (b.untilMs > a.untilMs ? b : a));
  return `${who} could not go on with it and will be tried again (${last.workerId}: ${last.reason})`;
}
