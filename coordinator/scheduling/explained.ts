// What the scheduler would do now and why, as sentences: the order of the queue with what it follows from, why a
// worker holds what it holds, and who is in a gang. Nothing of it is journalled; it is true for the moment in which it
// is asked.

import { ownerKey } from '../model/accounts.ts';
import { byNumbers, hasGang, type RunState, runOf, type WorkerState, workerWith } from '../model/state.ts';
import { avoidedNow, type Board } from './board.ts';
import { type Unfit, whyUnfit } from './fit.ts';
import { requirementText } from './requirement.ts';
import type { Reservations } from './reservation.ts';
import { reservationsOn } from './scheduler.ts';
import { createOrder, type Head } from './shares.ts';
import { hoursUsed, type Waits } from './waits.ts';

/** Groups of the queue that have a sentence each. */
const GROUPS_MAX = 100;

/** Runs that a sentence about a free worker looks at. */
const LOOKED_AT = 3;

/**
 * Who waits, in the order in which they would get workers now, with the priority and the use of the fleet that the
 * order follows from; runs that need the same are one sentence.
 */
export function queueTexts(board: Board, waits: Waits): string[] {
  const { queue, pools, running } = board;
  const count = [...running.values()].reduce((sum, numbers) => sum + numbers.size, 0);
  const there = `${pools.live} ${pools.live === 1 ? 'worker is' : 'workers are'} there, ${pools.free} with a free slot, and ${count} ${count === 1 ? 'run trains' : 'runs train'}`;
  if (queue.size === 0) return [`no run waits; ${there}`];
  const places = placesOf(board);
  const shown = places.slice(0, GROUPS_MAX);
  const left = shown.reduce((sum, { group }) => sum - group.numbers.size, queue.size);
  return [
    `${queue.size} ${queue.size === 1 ? 'run waits' : 'runs wait'}; ${there}`,
    ...shown.map((place, at) => placeText(board, waits, { ...place, at })),
    ...(left > 0 ? [`${left} more wait behind them`] : []),
  ];
}

type Place = Head & { readonly agedPriority: number };

/** The first run of each group, in the order in which they are placed. */
function placesOf(board: Board): Place[] {
  const order = createOrder(board);
  let heads: Head[] = [];
  for (const group of board.queue.groups()) {
    const number = group.numbers.first();
    if (number !== undefined) heads.push({ group, number });
  }
  const places: Place[] = [];
  while (places.length < GROUPS_MAX) {
    const next = order.firstOf(heads);
    if (next === undefined) break;
    places.push(next);
    heads = heads.filter(({ group }) => group !== next.group);
  }
  return places;
}

function placeText(
  board: Board,
  waits: Waits,
  { at, group, number, agedPriority }: Place & { at: number },
): string {
  const { id, queuedAtMs } = board.run(number);
  const others = group.numbers.size - 1;
  const more = others === 0 ? '' : ` and ${others} ${others === 1 ? 'run' : 'runs'} like it`;
  const waited = Math.max(0, Math.round((board.observed.now - queuedAtMs) / 1000));
  const aged = agedPriority === group.priority ? '' : `, ${agedPriority} by waiting`;
  const { owner, account, weight } = group.share;
  const name = account.startsWith('runs ') ? 'runs by themselves' : account;
  const ofOwner = owner === '' ? '' : ` of ${owner}, who used ${hoursUsed(board, ownerKey(owner))} in all`;
  const reason = waits.of(id)?.reason.replace(/^queued: /, '') ?? 'it can start';
  return `${at + 1}. ${id}${more}: priority ${group.priority}${aged}, ${name} used ${hoursUsed(board, account)} worker-hours of late (weight ${weight})${ofOwner}, waits for ${waited} s: ${reason}`;
}

/** What a worker does now, and why it has no more to do. */
export function workerText(board: Board, waits: Waits, workerId: string): string {
  const worker = workerWith(board.state, workerId);
  if (worker === undefined || worker.state === 'lost') return `${workerId} is gone and holds nothing`;
  const held = worker.runs.map((number) => heldText(board.run(number), workerId)).join(', ');
  const does = held === '' ? `${workerId} holds no run` : `${workerId} holds ${held}`;
  if (worker.state === 'draining') return `${does}; it drains and gets no other: ${worker.reason}`;
  const seat = board.pools.seatOf(workerId);
  if (seat === undefined)
    return `${does}; it has no stream to the coordinator and gets no other until it has`;
  const free = seat.slots - seat.held;
  if (seat.isTaken) return `${does}, alone: what it holds may be what killed other workers`;
  if (free <= 0) return `${does}; its ${seat.slots === 1 ? 'slot is' : `${seat.slots} slots are`} taken`;
  return `${does}; ${free} of ${seat.slots} ${seat.slots === 1 ? 'slot' : 'slots'} free: ${freeText(board, waits, worker)}`;
}

function heldText(run: RunState, workerId: string): string {
  const member = run.gang.find((one) => one.workerId === workerId);
  if (member === undefined) return run.id;
  const last = member.shardFirst + member.shardCount - 1;
  return `${run.id} (shards ${member.shardFirst} to ${last} of ${run.job.training.shards})`;
}

/** Why nobody takes the free slot of a worker. */
function freeText(board: Board, waits: Waits, worker: WorkerState): string {
  if (board.queue.size === 0) return 'no run waits';
  const reservations: Reservations = reservationsOn(board);
  const keeper = reservations.all().find(({ workerIds }) => workerIds.has(worker.id));
  if (keeper !== undefined) {
    const { run, workerIds } = keeper;
    const { min } = run.job.workers;
    return `it is kept for ${run.id}, which needs ${min} workers and lacks ${min - workerIds.size}`;
  }
  const places = placesOf(board);
  const said = places
    .slice(0, LOOKED_AT)
    .map(({ number }) => `${board.run(number).id} ${refusalText(board, waits, board.run(number), worker)}`);
  const more = places.length - said.length;
  return `${said.join('; ')}${more > 0 ? `; and ${more} more cannot take it` : ''}`;
}

/** Why this run is not placed on this worker. */
function refusalText(board: Board, waits: Waits, run: RunState, worker: WorkerState): string {
  const pool = board.pools.poolOf(board.pools.seatOf(worker.id)!);
  const why = whyUnfit(run, pool);
  if (why !== undefined) return unfitText(run, why);
  const avoided = avoidedNow(board, run).find(({ workerId }) => workerId === worker.id);
  if (avoided !== undefined) return `could not go on with it: ${avoided.reason}`;
  return `waits (${waits.of(run.id)?.reason.replace(/^queued: /, '') ?? 'it can start'})`;
}

function unfitText(run: RunState, why: Unfit): string {
  switch (why) {
    case 'requirement':
      return `requires ${requirementText(run.job.require)}`;
    case 'memory':
      return `was short of memory on a device of ${run.memory?.aboveGb} GB`;
    case 'precision':
      return `computes in ${run.job.training.precision}, which TensorFlow does not`;
    case 'random':
      return 'is exact, and this GPU gives other bits each time';
    case 'class':
      return `began on ${run.deviceClass}`;
  }
}

/** Who trains a run now, or what its gang waits for. */
export function gangText(board: Board, waits: Waits, runId: string): string {
  const run = runOf(board.state, runId);
  const { min, max } = run.job.workers;
  const wanted = min === max ? `${min}` : `${min} to ${max}`;
  if (!hasGang(run)) {
    const wait = waits.of(runId)?.reason.replace(/^queued: /, '');
    return `${runId} has no gang after ${run.generation} generations and needs ${wanted} workers${wait === undefined ? `: it is ${run.state}` : `: ${wait}`}`;
  }
  const members = [...run.gang]
    .sort((a, b) => byNumbers(a.workerId, b.workerId))
    .map(
      ({ workerId, shardFirst, shardCount }) => `${workerId} [${shardFirst}..${shardFirst + shardCount - 1}]`,
    );
  const since = new Date(run.changedAtMs).toISOString().slice(0, 19);
  const lent = run.lentByRunId === undefined ? '' : `, of which some are lent by ${run.lentByRunId}`;
  const pausing = run.pausing === undefined ? '' : `; it pauses: ${run.pausing.reason}`;
  return `generation ${run.generation} of ${runId} since ${since}Z: ${members.join(', ')} of ${run.deviceClass}; ${members.length} of ${wanted} workers${lent}: ${run.reason}${pausing}`;
}
