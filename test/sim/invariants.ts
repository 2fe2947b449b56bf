// What must hold in any scenario, whatever happened: after every event that is stored, and at every tick of a
// leader. Throws with what broke it.

import assert from 'node:assert/strict';
import { runsHeldBy } from '../../coordinator/decisions/gangs.ts';
import { quotaOf } from '../../coordinator/model/accounts.ts';
import type { Event } from '../../coordinator/model/events.ts';
import { shownState } from '../../coordinator/model/holds.ts';
import type { Observed } from '../../coordinator/model/observed.ts';
import { lookup, valuesOf } from '../../coordinator/model/persistent-map.ts';
import {
  hasGang,
  numberOf,
  openRuns,
  planOf,
  type RunState,
  runOf,
  type State,
  type SweepState,
  sweepOf,
  wholeRunWith,
  workerWith,
} from '../../coordinator/model/state.ts';
import { rowsOf } from '../../coordinator/model/table.ts';
import { searchOf } from '../../coordinator/strategies/strategies.ts';
import { waitsIn } from '../support/state.ts';
import type { SimWorker } from './worker.ts';

/** Throws when an event does not fit the state before it, or breaks a bound in the state after it. */
export function checkEvent(event: Event, before: State, after: State): void {
  if (event.kind === 'run.finished' || event.kind === 'run.halted')
    assert.ok(hasGang(runOf(before, event.runId)), 'finished twice');
  if (event.kind === 'run.checkpointed')
    assert.ok(
      !runOf(before, event.runId).checkpoints.some(({ stage }) => stage === event.stage),
      'stored twice',
    );
  if ('runId' in event && event.runId !== undefined) checkHolders(after, event.runId);
  if (event.kind === 'trial.proposed') checkOpenTrials(after, event.sweepId);
  if (event.kind !== 'run.assigned') return;
  const run = runOf(after, event.runId);
  checkQuota(after, ownerOf(after, run));
  assert.ok(event.generation > runOf(before, event.runId).generation, 'a generation did not grow');
  const shards = event.members.flatMap(({ shardFirst, shardCount }) =>
    Array.from({ length: shardCount }, (_, i) => shardFirst + i),
  );
  assert.deepEqual(
    shards,
    Array.from({ length: run.job.training.shards }, (_, i) => i),
    'each shard has one holder',
  );
  const { min, max } = run.job.workers;
  const stayed = runOf(before, event.runId).gang.map(({ workerId }) => workerId);
  const goesOn = event.members.some(({ workerId }) => stayed.includes(workerId));
  const least = goesOn ? 1 : min;
  assert.ok(event.members.length >= least && event.members.length <= max, 'a gang outside its bounds');
  checkDevices(run, after);
  for (const { workerId } of event.members) {
    const worker = workerWith(after, workerId)!;
    const mayDrain = run.state === 'pausing' && stayed.includes(workerId);
    if (!mayDrain) assert.equal(worker.state, 'attached', `${workerId} got a run while ${worker.state}`);
    assert.ok(runsHeldBy(after, workerId).length <= worker.slots, `${workerId} has more runs than slots`);
    if (run.job.training.exact) assert.equal(worker.deviceClass, run.deviceClass, 'device classes mixed');
  }
}

/** Members are on devices of their own, and nobody is where a run is alone. */
function checkDevices(run: RunState, state: State): void {
  const deviceOf = (workerId: string) => workerWith(state, workerId)!.deviceId ?? workerId;
  const own = new Set(run.gang.map(({ workerId }) => deviceOf(workerId)));
  assert.equal(own.size, run.gang.length, `${run.id} has a device twice`);
  const isAlone = ({ job }: RunState) => job.require?.device === 'exclusive';
  for (const other of openRuns(state))
    if (other.id !== run.id && (isAlone(other) || isAlone(run)))
      for (const { workerId } of other.gang)
        assert.ok(
          !own.has(deviceOf(workerId)),
          `${run.id} and ${other.id} share a device, and one is exclusive`,
        );
}

/** A run that does not train, above all one that is paused, holds no slot. */
function checkHolders(state: State, runId: string): void {
  const run = wholeRunWith(state, runId);
  if (run === undefined || hasGang(run)) return;
  assert.deepEqual(run.gang, [], `${runId} is ${run.state} and has a gang`);
  for (const worker of valuesOf(state.workers))
    assert.ok(!worker.runs.includes(numberOf(runId)), `${worker.id} holds ${runId}, which is ${run.state}`);
}

/** By the runs alone, not by the accounts. */
function checkQuota(state: State, owner: string): void {
  const quota = quotaOf(state, owner)?.workers;
  if (quota === undefined) return;
  const workers = workersOf(state, owner);
  assert.ok(workers <= quota, `${owner} has ${workers} workers, and its quota is ${quota}`);
}

function workersOf(state: State, owner: string): number {
  const runs = openRuns(state).filter((run) => ownerOf(state, run) === owner);
  return runs.reduce((sum, { gang }) => sum + gang.length, 0);
}

function isOverQuota(state: State, run: RunState): boolean {
  const owner = ownerOf(state, run);
  const quota = quotaOf(state, owner)?.workers;
  return quota !== undefined && workersOf(state, owner) + run.job.workers.min > quota;
}

/** A student may begin. */
const hasBegun = ({ state, checkpoints }: RunState): boolean =>
  state === 'running' || state === 'done' || (state !== 'paused' && checkpoints.length > 0);

function checkOpenTrials(state: State, sweepId: string): void {
  const { owner = '' } = sweepOf(state, sweepId);
  const quota = quotaOf(state, owner)?.openTrials;
  if (quota === undefined) return;
  const open = openTrialsOf(state, owner);
  assert.ok(open <= quota, `${owner} has ${open} open trials, and its quota is ${quota}`);
}

function openTrialsOf(state: State, owner: string): number {
  let open = 0;
  for (const [number] of rowsOf(state.openSweeps)) {
    const sweep = sweepOf(state, `sweep-${number}`);
    if ((sweep.owner ?? '') === owner) open += sweep.openTrials.size;
  }
  return open;
}

/** Whose run it is. */
export function ownerOf(state: State, { owner, sweepId, planId }: RunState): string {
  const parent = sweepId === undefined ? undefined : sweepOf(state, sweepId);
  return owner ?? parent?.owner ?? (planId === undefined ? undefined : planOf(state, planId).owner) ?? '';
}

/** Looks in a row, a tick apart, at which a run that fits is found waiting: one tick, and the way of an append. */
const IDLE_LOOKS_MAX = 3;
/** As in the scheduler: a run that has waited for as long may keep workers to itself. */
const OVERTAKE_MS = 30_000;

/** Finds workers that stay idle beside work that they could take. */
export interface IdleWatch {
  /** Called once a tick with what the leader knows; throws with the run and the workers. */
  look(state: State, observed: Observed): void;
  /** There is no leader, or it cannot append: nothing can be placed. */
  forget(): void;
}

/** A watch that has seen nothing yet. */
export function createIdleWatch(): IdleWatch {
  let looks = new Map<string, number>();
  return {
    look(state, observed) {
      const before = looks;
      looks = new Map();
      for (const [work, workers] of idleBeside(state, observed)) {
        const count = (before.get(work) ?? 0) + 1;
        assert.ok(count <= IDLE_LOOKS_MAX, `${work} waits beside idle ${workers.join(', ')}`);
        looks.set(work, count);
      }
    },
    forget() {
      looks = new Map();
    },
  };
}

/**
 * Work that could be given out now and was not, with the workers that could take it: by the plain meaning of
 * slots, classes, bounds and quotas, not by the scheduler. A run that may have killed others is left out. While a
 * large run may keep workers to itself, a run beside idle ones has to have that as its reason.
 */
function idleBeside(state: State, observed: Observed): [string, readonly string[]][] {
  const runs = openRuns(state);
  const isSuspect = (run: RunState) => run.blame.losses > 0 || run.blame.shared > 0;
  const queued = runs.filter((run) => run.state === 'queued');
  const mayKeep =
    runs.some((run) => run.pausing?.forRunId !== undefined) ||
    queued.some((run) => run.job.workers.min > 1 && observed.now - run.queuedAtMs > OVERTAKE_MS);
  const held = new Map<string, number>();
  for (const run of runs)
    for (const { workerId } of run.gang)
      held.set(workerId, (held.get(workerId) ?? 0) + (isSuspect(run) ? Number.POSITIVE_INFINITY : 1));
  const free = [...valuesOf(state.workers)].filter(
    ({ id, state: is, slots }) =>
      is === 'attached' && lookup(observed.connected, id) === true && (held.get(id) ?? 0) < slots,
  );
  const idle: [string, readonly string[]][] = [];
  for (const run of queued) {
    if (isSuspect(run)) continue;
    if (run.teacherRunId !== undefined && !hasBegun(runOf(state, run.teacherRunId))) continue;
    if (isOverQuota(state, run)) continue;
    const usable = free.filter(
      ({ id, deviceClass }) =>
        (run.deviceClass === undefined || run.deviceClass === deviceClass) &&
        !run.avoided.some(({ workerId, untilMs }) => workerId === id && untilMs > observed.now),
    );
    for (const deviceClass of new Set(usable.map((worker) => worker.deviceClass))) {
      const ids = usable.filter((worker) => worker.deviceClass === deviceClass).map(({ id }) => id);
      if (ids.length >= run.job.workers.min) idle.push([run.id, ids]);
    }
  }
  if (idle.length > 0 && mayKeep) {
    const waits = waitsIn(state, observed);
    return idle.filter(([id]) => waits.of(id)?.kind !== 'reserved');
  }
  if (free.length === 0 || queued.length > 0) return idle;
  for (const [number] of rowsOf(state.openSweeps)) {
    const id = `sweep-${number}`;
    const sweep = sweepOf(state, id);
    const { spec, openTrials, trialsProposed, trialsTotal, owner = '' } = sweep;
    const isHeld = shownState(state, sweep).state === 'paused' || isWaiting(sweep);
    if (isHeld || openTrialsOf(state, owner) >= (quotaOf(state, owner)?.openTrials ?? Infinity)) continue;
    const attached = [...valuesOf(state.workers)].filter((worker) => worker.state === 'attached').length;
    const parallelism = spec.parallelism > 0 ? spec.parallelism : attached;
    if (trialsProposed < trialsTotal && openTrials.size < parallelism)
      idle.push([`a trial of ${id}`, free.map((worker) => worker.id)]);
  }
  return idle;
}

/** The strategy makes no move before another result, or begins no trial before its candidates have their scores. */
function isWaiting({ spec, search, screening }: SweepState): boolean {
  const asked = { draws: 1, mayBegin: true, known: () => undefined, keyOf: () => '' };
  if (screening?.group?.isDrawn === true && screening.group.left === undefined)
    return searchOf(spec).wants(search, asked).kind !== 'move';
  return searchOf(spec).ask(search, asked).kind === 'wait';
}

/** How long a worker may hold what it should have given back, milliseconds: the way of an append and of a command. */
const RELEASED_MS = 2_000;

/** Finds workers that hold runs in truth which the state does not give them. */
export interface HoldWatch {
  look(state: State, observed: Observed, workers: Iterable<SimWorker>): void;
  forget(): void;
}

/** A watch that has seen nothing yet, and looks so often. */
export function createHoldWatch(tickMs: number): HoldWatch {
  const looksMax = 1 + Math.ceil(RELEASED_MS / tickMs);
  let looks = new Map<string, number>();
  return {
    look(state, observed, workers) {
      const before = looks;
      looks = new Map();
      for (const { id, held } of workers) {
        if (lookup(observed.connected, id) !== true) continue;
        for (const runId of held.keys()) {
          if (workerWith(state, id)?.runs.includes(numberOf(runId))) continue;
          const key = `${id} still holds ${runId}, which is ${wholeRunWith(state, runId)?.state ?? 'over'}`;
          const count = (before.get(key) ?? 0) + 1;
          assert.ok(count <= looksMax, key);
          looks.set(key, count);
        }
      }
    },
    forget() {
      looks = new Map();
    },
  };
}

/** How long a fleet may be without a leader while a healthy coordinator could take the lead, milliseconds. */
const LEADERLESS_MS = 5_000;

/** Finds a fleet that nobody leads although somebody could. */
export interface LeadWatch {
  /** `healthy`: the processes that run and reach the broker. Throws when nobody leads for too long. */
  look(nowMs: number, at: { readonly leads: boolean; readonly healthy: readonly string[] }): void;
  /** Whoever had the lead has died, or waits for an answer that was lost: others need time to take over. */
  excuse(nowMs: number): void;
}

/** A watch that has seen nothing yet. */
export function createLeadWatch(): LeadWatch {
  let healthySince = new Map<string, number>();
  let excusedMs = 0;
  return {
    look(nowMs, { leads, healthy }) {
      if (leads) excusedMs = nowMs;
      healthySince = new Map(healthy.map((name) => [name, healthySince.get(name) ?? nowMs]));
      for (const [name, sinceMs] of healthySince) {
        const leaderlessMs = nowMs - Math.max(sinceMs, excusedMs);
        assert.ok(leaderlessMs <= LEADERLESS_MS, `nobody leads for ${leaderlessMs} ms, and ${name} could`);
      }
    },
    excuse(nowMs) {
      excusedMs = nowMs;
    },
  };
}
