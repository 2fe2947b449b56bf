// How a run that finds too few free workers gets them from gangs that can spare members. Decides whose
// members are taken, and in which order. Nothing is taken unless all that is needed can be: a gang that was
// shrunk for nobody has lost a synchronisation for nothing.

import type { RunState, WorkerState } from '../model/state.ts';
import { isSuspect } from './blame.ts';
import { isFree, mayChange, type Roster, setGang } from './roster.ts';

/**
 * Frees workers for a run by shrinking gangs that can spare members, or by sending back to the queue the
 * students of a teacher that is to be placed. All or nothing. `have`: workers that are free; `fit`: all that
 * the run could use.
 */
export function reclaim(
  roster: Roster,
  run: RunState,
  have: readonly WorkerState[],
  fit: readonly WorkerState[],
): boolean {
  if (isSuspect(run, roster)) return reclaimWhole(roster, run, have.length, fit);
  const useful = new Map(
    fit.filter((worker) => !isFree(roster, worker, run)).map((worker) => [worker.id, worker]),
  );
  const sameClass = (worker: WorkerState, chosen: readonly WorkerState[]) =>
    !run.spec.training.exact || chosen.every((other) => other.deviceClass === worker.deviceClass);
  const gained: { victim: RunState; worker: WorkerState }[] = [];
  const missing = () => run.spec.workers.min - have.length - gained.length;
  for (const victim of victimsOf(roster, run)) {
    let spare = sparable(roster, run, victim);
    for (const id of [...(roster.gangs.get(victim.id) ?? [])].reverse()) {
      const worker = useful.get(id);
      if (missing() <= 0 || spare <= 0) break;
      if (worker === undefined || !sameClass(worker, [...have, ...gained.map((gain) => gain.worker)]))
        continue;
      gained.push({ victim, worker });
      useful.delete(id);
      spare--;
    }
  }
  if (missing() > 0) return false;
  for (const { victim, worker } of gained) dropMember(roster, victim, worker, run);
  return true;
}

/**
 * Frees whole workers for a suspect: those whose other runs can all give them up, such as its own students
 * that wait for it.
 */
function reclaimWhole(roster: Roster, run: RunState, have: number, fit: readonly WorkerState[]): boolean {
  const taken = new Map<string, number>();
  const gained: { victim: RunState; worker: WorkerState }[] = [];
  let missing = run.spec.workers.min - have;
  for (const worker of fit) {
    if (missing <= 0) break;
    if (isFree(roster, worker, run)) continue;
    const holders = roster.runs.filter((other) => roster.gangs.get(other.id)?.includes(worker.id));
    const sparing = (victim: RunState) => sparable(roster, run, victim) > (taken.get(victim.id) ?? 0);
    if (holders.some((victim) => victim.id === run.id || !sparing(victim))) continue;
    for (const victim of holders) {
      taken.set(victim.id, (taken.get(victim.id) ?? 0) + 1);
      gained.push({ victim, worker });
    }
    missing -= 1;
  }
  if (missing > 0) return false;
  for (const { victim, worker } of gained) dropMember(roster, victim, worker, run);
  return true;
}

function dropMember(roster: Roster, victim: RunState, worker: WorkerState, run: RunState): void {
  const rest = (roster.gangs.get(victim.id) ?? []).filter((id) => id !== worker.id);
  const reason =
    rest.length === 0
      ? `its teacher ${run.id} needs ${worker.id}`
      : `gives ${worker.id} to ${run.id}, which needs ${run.spec.workers.min} to start`;
  setGang(roster, victim, rest, reason);
}

/** Whose members may be taken, in this order: lowest priority first, then the largest surplus. */
function victimsOf(roster: Roster, run: RunState): RunState[] {
  return roster.victims
    .filter((victim) => victim.id !== run.id && sparable(roster, run, victim) > 0)
    .sort(
      (a, b) =>
        a.spec.priority - b.spec.priority ||
        sparable(roster, run, b) - sparable(roster, run, a) ||
        (a.id < b.id ? -1 : 1),
    );
}

/** How many members a gang can give to this run now. */
function sparable(roster: Roster, run: RunState, victim: RunState): number {
  const size = roster.gangs.get(victim.id)?.length ?? 0;
  if (size === 0) return 0;
  // A student that waits for this teacher only holds the place that its teacher needs.
  if (victim.teacherRunId === run.id && size <= victim.spec.workers.min) return size;
  if (victim.spec.priority > run.spec.priority || !mayChange(roster, victim)) return 0;
  return size - victim.spec.workers.min;
}
