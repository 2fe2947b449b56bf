// A run that has left memory, made again from its events: what the journal says of it, folded as it was the
// first time.

import type { Event } from './events.ts';
import { evolve } from './evolve.ts';
import { leaseOf } from './halted.ts';
import { isKeptTrial } from './kept-trials.ts';
import { outlineOf } from './outline.ts';
import {
  type CheckpointState,
  type EndedRun,
  isWhole,
  type RunState,
  runWith,
  type State,
  sweepWith,
} from './state.ts';

/** Whether an event is one of those that made this run what it was. */
function isOfRun(event: Event, runId: string): boolean {
  return 'runId' in event && event.runId === runId;
}

/** The run as a whole. `events`: those of `isOfRun`, oldest first; others are passed over. */
export async function restoreRun(
  state: State,
  summary: EndedRun,
  events: AsyncIterable<Event> | Iterable<Event>,
): Promise<RunState> {
  let scratch = state;
  for await (const event of events) if (isOfRun(event, summary.id)) scratch = evolve(scratch, event);
  const run = runWith(scratch, summary.id);
  if (run === undefined || !isWhole(run)) return outlineOf(state, summary);
  // The end of a sweep lets go of every run that has halted in it, without an event for each.
  const isLetGo = summary.halted !== undefined && !isStored(state, summary);
  if (!isLetGo) return run;
  const letGo = (one: CheckpointState) =>
    one.kept === undefined ? { ...one, held: 'nothing' as const } : one;
  return { ...run, checkpoints: run.checkpoints.map(letGo) };
}

function isStored(state: State, summary: EndedRun): boolean {
  const sweep = sweepWith(state, summary.sweepId);
  return (
    leaseOf(state, summary) !== undefined || (sweep !== undefined && isKeptTrial(sweep, summary.trialId))
  );
}
