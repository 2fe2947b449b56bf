// How many workers the open runs could use now: what a scaler of the workers goes by. Decides what is no demand: a
// run that waits for something else than workers, one that no such worker could train, and what an owner may not
// have at once.

import { quotaOf, shareOf } from '../model/accounts.ts';
import { valuesOf } from '../model/persistent-map.ts';
import { openRuns, type RunState, type State } from '../model/state.ts';
import { type Board, kindOf } from './board.ts';
import { fitsClass } from './fit.ts';
import { type Kind, poolKey } from './pools.ts';
import { quotaWait } from './quota-wait.ts';
import type { Wait } from './wait.ts';
import type { Waits } from './waits.ts';

/** Waits that more workers do not end. */
const FOR_OTHERS: ReadonlySet<Wait['kind'] | undefined> = new Set([
  'teacher_not_started',
  'teacher_paused',
  'teacher_stage',
  'stage_damaged',
  'quota',
]);

/**
 * Workers that could be used. `isMeant`: which of the fleet are counted, as the pods of a scaler; their kinds are
 * known once one of each has been there. What runs have of others they need not get of these.
 */
export function workersDesired(
  board: Pick<Board, 'state' | 'observed'>,
  waiting: Pick<Waits, 'of'>,
  isMeant: (workerId: string) => boolean = () => true,
): number {
  const { state } = board;
  const kinds = kindsOf(state, isMeant);
  const byOwner = new Map<string, number>();
  for (const run of openRuns(state)) {
    const wanted = wantedBy(board, run, waiting);
    if (wanted === 0 || kinds?.some((kind) => fitsClass(run, kind)) === false) continue;
    const others = run.gang.filter(({ workerId }) => !isMeant(workerId)).length;
    const { owner } = shareOf(state, run);
    byOwner.set(owner, (byOwner.get(owner) ?? 0) + Math.max(0, wanted - others));
  }
  let sum = 0;
  for (const [owner, wanted] of byOwner)
    sum += Math.min(wanted, quotaOf(state, owner)?.workers ?? Number.POSITIVE_INFINITY);
  return sum;
}

function wantedBy(
  board: Pick<Board, 'state' | 'observed'>,
  run: RunState,
  waiting: Pick<Waits, 'of'>,
): number {
  const { max } = run.job.workers;
  switch (run.state) {
    case 'queued':
      return FOR_OTHERS.has(waiting.of(run.id)?.kind) ? 0 : max;
    case 'running':
      return quotaWait(board, run, 1) === undefined ? max : run.gang.length;
    case 'pausing':
      return run.gang.length;
    default:
      return 0;
  }
}

/** What the workers that are meant are, or were lately; undefined: none has been there. */
function kindsOf(state: State, isMeant: (workerId: string) => boolean): Kind[] | undefined {
  const kinds = new Map<string, Kind>();
  for (const worker of valuesOf(state.workers)) {
    if (!isMeant(worker.id)) continue;
    const kind = kindOf(worker);
    kinds.set(poolKey(kind.deviceClass, kind.traits), kind);
  }
  return kinds.size === 0 ? undefined : [...kinds.values()];
}
