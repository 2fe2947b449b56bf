// A life of a small fleet: searches of every strategy, users, urgent gangs, and everything that can fail failing.
// What must hold at any instant is in invariants.ts and step-watch.ts; here is what must hold at the end.

import assert from 'node:assert/strict';
import { runWith, trialWith } from '../../coordinator/model/state.ts';
import { plainOf } from '../support/state.ts';
import { type FaultCounts, startFaults } from './faults.ts';
import { beginSearches, movesIn } from './searches.ts';
import { startUsers, type UserCounts } from './users.ts';
import { allEnded, createWorld, type World } from './world.ts';

/** The moves of each search, by the id of its sweep. */
export type Moves = ReturnType<typeof movesIn>;

/** What has happened in a life. */
export type LifeCounts = FaultCounts & UserCounts & { readonly 'paused within a stage': number };

const WORKERS = 8;

function fleetOf(seed: number): World {
  const world = createWorld({ seed, coordinators: 2, groupEventsMax: 5, stepMs: 80 });
  for (let i = 1; i <= WORKERS; i++) world.addWorker(`w${i}`, { slots: 1 + (i % 2) });
  return world;
}

/** What the searches do where nothing fails and nobody interferes. */
export async function calmMoves(trials: number): Promise<Moves> {
  const world = fleetOf(1);
  await beginSearches(world, trials);
  await world.runUntil(() => allEnded(world), 3_600_000);
  return movesIn(world.events);
}

/** Lives through a course of chance; throws when something is lost or doubled, or a search has made other moves. */
export async function liveThrough(seed: number, trials: number, expected: Moves): Promise<LifeCounts> {
  const world = fleetOf(seed);
  await beginSearches(world, trials);
  const done = () => allEnded(world);
  const faults = startFaults(world, { everyMs: 1_000, done, appendsADeath: 50 });
  const users = startUsers(world, { everyMs: 300, done, urgentMax: 4 });
  await world.runUntil(done, 3_600_000);
  await world.runUntil(() => world.leader?.isSettled === true, 60_000);
  const { open, ends, state } = world.witness;
  assert.deepEqual([...open], [], `seed ${seed}: something was lost`);
  // A run is halted at a rung, with its result, and may go on from there.
  const good = ['run.finished', 'run.halted', 'trial.ended done'];
  // One that goes on while it is judged ends when its search has stopped its trial.
  const stopped = world.events.flatMap((event) =>
    event.kind === 'run.cancelled' ? [runWith(state, event.runId)?.trialId ?? ''] : [],
  );
  if (stopped.every((id) => trialWith(state, id)?.isStopped)) good.push('run.cancelled');
  const bad = [...ends.keys()].filter((how) => !good.includes(how));
  assert.deepEqual(bad, [], `seed ${seed}: something did not end done`);
  assert.deepEqual(movesIn(world.events), expected, `seed ${seed}: other moves than in a calm world`);
  assert.deepEqual(plainOf(world.leader!.driver.state), plainOf(state), `seed ${seed}: the leader's state`);
  world.checkFold();
  return { ...faults, ...users, 'paused within a stage': world.pausedWithinStage };
}
