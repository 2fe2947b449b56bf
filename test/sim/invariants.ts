// What must hold in any scenario, whatever happened: after every event that is stored, and at every tick of a
// leader. Throws with what broke it.

import assert from 'node:assert/strict';
import { runsHeldBy } from '../../coordinator/decisions/gangs.ts';
import type { Event } from '../../coordinator/model/events.ts';
import type { Observed } from '../../coordinator/model/observed.ts';
import { lookup, valuesOf } from '../../coordinator/model/persistent-map.ts';
import {
  hasGang,
  openRuns,
  type RunState,
  runOf,
  type State,
  sweepOf,
  workerWith,
} from '../../coordinator/model/state.ts';
import { rowsOf } from '../../coordinator/model/table.ts';

/** Throws when an event does not fit the state before it, or breaks a bound in the state after it. */
export function checkEvent(event: Event, before: State, after: State): void {
  if (event.kind === 'run.finished') assert.ok(hasGang(runOf(before, event.runId)), 'finished twice');
  if (event.kind === 'run.checkpointed')
    assert.ok(
      !runOf(before, event.runId).checkpoints.some(({ stage }) => stage === event.stage),
      'stored twice',
    );
  if (event.kind !== 'run.assigned') return;
  const run = runOf(after, event.runId);
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
 * slots, classes and bounds, not by the scheduler. A run that may have killed others is left out, and
 * everything while a large run may keep workers to itself.
 */
function idleBeside(state: State, observed: Observed): [string, readonly string[]][] {
  const runs = openRuns(state);
  const isSuspect = (run: RunState) => run.blame.losses > 0 || run.blame.shared > 0;
  const queued = runs.filter((run) => run.state === 'queued');
  if (queued.some((run) => run.job.workers.min > 1 && observed.now - run.queuedAtMs > OVERTAKE_MS)) return [];
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
    if (run.teacherRunId !== undefined && runOf(state, run.teacherRunId).state === 'queued') continue;
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
  if (free.length === 0 || queued.length > 0) return idle;
  for (const [number] of rowsOf(state.openSweeps)) {
    const id = `sweep-${number}`;
    const { spec, openTrials, trialsProposed, trialsTotal } = sweepOf(state, id);
    const attached = [...valuesOf(state.workers)].filter((worker) => worker.state === 'attached').length;
    const parallelism = spec.parallelism > 0 ? spec.parallelism : attached;
    if (trialsProposed < trialsTotal && openTrials.size < parallelism)
      idle.push([`a trial of ${id}`, free.map((worker) => worker.id)]);
  }
  return idle;
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
