// What follows by itself once something has changed: ends spread to children, trials end with their runs,
// sweeps propose, plans go on, and free workers get work. It looks at the state alone and not at what has
// changed, and repeats until nothing more follows. So it does not matter which input came before, and a
// coordinator that was killed between two decisions finds its place again.
//
// Placing runs comes after everything else and once: it changes nothing that the rest depends on.

import {
  endingOf,
  hasEnded,
  openRuns,
  planOf,
  type RunState,
  runOf,
  type State,
  sweepOf,
  trialOf,
} from '../model/state.ts';
import { rebalanced } from '../scheduling/placement.ts';
import { isSettled } from '../scheduling/roster.ts';
import { schedule } from '../scheduling/scheduler.ts';
import type { Draft } from './draft.ts';
import { endRun, setGang } from './gangs.ts';
import { settlePlan } from './plans.ts';
import { cancelSweep, settleSweep } from './sweeps.ts';

/** Decides everything that follows from the draft's state now. */
export function settle(draft: Draft): void {
  for (let before = -1; before !== draft.events.length; ) {
    before = draft.events.length;
    endOrphans(draft);
    for (const id of draft.state.openSweepIds) settleSweep(draft, sweepOf(draft.state, id));
    for (const id of draft.state.openPlanIds) settlePlan(draft, id);
  }
  for (const placement of schedule(draft.state, draft.context).placements)
    setGang(draft, runOf(draft.state, placement.runId), placement);
  for (const run of openRuns(draft.state)) balance(draft, run);
}

/** Moves shards from slow members to fast ones; nobody joins or leaves. */
function balance(draft: Draft, run: RunState): void {
  if (!isSettled(run, draft.context.connected)) return;
  const better = rebalanced(run, draft.context);
  if (better !== undefined)
    setGang(draft, run, { ...better, workerIds: better.members.map((member) => member.workerId) });
}

/**
 * Ends what may not go on: children of a thing that has ended, and students of a teacher that ended without
 * success.
 */
function endOrphans(draft: Draft): void {
  for (const id of draft.state.openSweepIds) {
    const plan = endedParent(draft.state, sweepOf(draft.state, id));
    if (plan !== undefined) cancelSweep(draft, id, plan);
  }
  for (const run of openRuns(draft.state)) {
    const parent = endedParent(draft.state, run);
    if (parent !== undefined)
      endRun(draft, run, { kind: 'run.cancelled', runId: run.id, reason: parent }, parent);
    else failWithTeacher(draft, run);
  }
}

/** How the nearest parent that has ended did so, as a reason for the child; undefined while all go on. */
function endedParent(
  state: State,
  child: { readonly planId?: string; readonly sweepId?: string; readonly trialId?: string },
): string | undefined {
  const parents = [
    child.trialId === undefined ? undefined : trialOf(state, child.trialId),
    child.sweepId === undefined ? undefined : sweepOf(state, child.sweepId),
    child.planId === undefined ? undefined : planOf(state, child.planId),
  ];
  const ended = parents.find((parent) => parent !== undefined && hasEnded(parent));
  return ended === undefined ? undefined : endingOf(ended);
}

function failWithTeacher(draft: Draft, run: RunState): void {
  if (run.teacherRunId === undefined) return;
  const teacher = runOf(draft.state, run.teacherRunId);
  if (teacher.state !== 'failed' && teacher.state !== 'cancelled') return;
  const reason = `its teacher ${endingOf(teacher)}`;
  endRun(draft, run, { kind: 'run.failed', runId: run.id, cause: 'teacher', reason }, reason);
}
