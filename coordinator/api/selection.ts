// What a watcher has selected: which things belong to it, in which order they find room in a picture (all that
// has not ended, then the newest), and when nothing selected is left to end. It costs as much as what is open,
// however long the fleet's past is.

import { FleetError } from '../../core/errors.ts';
import type { WatchRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { idOf } from '../model/find.ts';
import { valuesOf } from '../model/persistent-map.ts';
import { numberAt, type Roll } from '../model/roll.ts';
import {
  hasEnded,
  type Noun,
  type NumberSet,
  newestRunOf,
  ownRunIdsOf,
  type PlanState,
  planWith,
  runWith,
  type State,
  type SweepState,
  sweepWith,
  trialWith,
} from '../model/state.ts';
import { rowAt, rowsOf, type Table } from '../model/table.ts';
import type { Chosen } from './shown-list.ts';

/** How many things of each noun that have ended are chosen at most. */
const ENDED_MAX = 200;
/** Numbers that are looked at for them: those of deleted things are free. */
const PLACES_MAX = 25 * ENDED_MAX;

/** What a watcher has selected, as of one state. */
export interface Selection {
  readonly plans: Chosen;
  readonly sweeps: Chosen;
  readonly trials: Chosen;
  readonly runs: Chosen;
  /** All workers, lost ones last. */
  readonly workers: Chosen;
  readonly finished: boolean;
}

/** What a watcher asks for, by ids; at most one is set, and none means the fleet. */
export type Selected = Readonly<Pick<WatchRequest, 'planId' | 'sweepId' | 'runId'>>;

/** The ids that a request names. Throws when it names something that does not exist. */
export function selectedBy(state: State, { planId, sweepId, runId }: Selected): Selected {
  const named = { planId: '', sweepId: '', runId: '' };
  if (planId !== '') return { ...named, planId: idOf(state, 'plan', planId) };
  if (sweepId !== '') return { ...named, sweepId: idOf(state, 'sweep', sweepId) };
  if (runId !== '') return { ...named, runId: idOf(state, 'run', runId) };
  return named;
}

/** What belongs to a selection now. Throws `notFound` once the selected thing was removed. */
export function select(state: State, selected: Selected): Selection {
  const { planId, sweepId, runId } = selected;
  const plan = planWith(state, planId);
  const sweep = sweepWith(state, sweepId);
  const run = runWith(state, runId);
  if (plan !== undefined) return selectPlan(state, plan);
  if (sweep !== undefined) return selectSweep(state, sweep);
  const id = planId || sweepId || runId;
  if (id === '') return selectFleet(state);
  if (run === undefined) throw new FleetError('notFound', `${id} was removed from the fleet`);
  const finished = hasEnded(run);
  return {
    plans: NONE,
    sweeps: NONE,
    trials: NONE,
    runs: only([runId]),
    workers: workersOf(state),
    finished,
  };
}

function selectFleet(state: State): Selection {
  const { openPlans, openSweeps, openRuns } = state;
  return {
    plans: { ids: newestOf(state, 'plan', idsIn('plan', openPlans)), total: state.plans.size },
    sweeps: { ids: newestOf(state, 'sweep', idsIn('sweep', openSweeps)), total: state.sweeps.size },
    trials: { ids: newestOf(state, 'trial', openTrials(state)), total: state.trials.size },
    runs: { ids: newestOf(state, 'run', idsIn('run', openRuns)), total: state.runs.size },
    workers: workersOf(state),
    finished: openPlans.size + openSweeps.size + openRuns.size === 0,
  };
}

function selectPlan(state: State, plan: PlanState): Selection {
  const sweep = plan.sweepId === undefined ? undefined : sweepWith(state, plan.sweepId);
  const own = ownRunIdsOf(plan);
  const areEnded = own.every((runId) => {
    const run = runWith(state, runId);
    return run === undefined || hasEnded(run);
  });
  return {
    plans: only([plan.id]),
    sweeps: sweep === undefined ? NONE : only([sweep.id]),
    trials: sweep === undefined ? NONE : trialsOf(state, sweep),
    // Teacher and students are what a plan is about: they are shown whatever the search has done.
    runs: {
      ids: chained(
        own.filter((runId) => runWith(state, runId) !== undefined),
        openRunsOf(state, sweep),
        newestIn(state, 'run', plan.allRunIds),
      ),
      total: plan.allRunIds.size,
    },
    workers: workersOf(state),
    finished: hasEnded(plan) && (sweep === undefined || isOver(state, sweep)) && areEnded,
  };
}

function selectSweep(state: State, sweep: SweepState): Selection {
  return {
    plans: NONE,
    sweeps: only([sweep.id]),
    trials: trialsOf(state, sweep),
    runs: {
      ids: chained(openRunsOf(state, sweep), newestIn(state, 'run', sweep.allRunIds)),
      total: sweep.allRunIds.size,
    },
    workers: workersOf(state),
    finished: isOver(state, sweep),
  };
}

/** Whether a sweep has ended with all its trials and runs. */
function isOver(state: State, sweep: SweepState): boolean {
  return hasEnded(sweep) && sweep.openTrials.size === 0 && openRunsOf(state, sweep).next().done === true;
}

function trialsOf(state: State, { openTrials: open, trialIds }: SweepState): Chosen {
  return { ids: chained(idsIn('trial', open), newestIn(state, 'trial', trialIds)), total: trialIds.size };
}

/** A trial's newest run is the only one of it that may be open. */
function* openRunsOf(state: State, sweep: SweepState | undefined): Generator<string> {
  if (sweep === undefined) return;
  for (const [number] of rowsOf(sweep.openTrials)) {
    const trial = rowAt(state.trials, number);
    const runId = trial && newestRunOf(trial);
    if (runId !== undefined) yield runId;
  }
}

/** The runs of a plan, sweep or trial, or a run itself, that may be open. */
export function* openRunsWithin(state: State, id: string): Generator<string> {
  if (runWith(state, id) !== undefined) yield id;
  const trial = trialWith(state, id);
  const trialRunId = trial && newestRunOf(trial);
  if (trialRunId !== undefined) yield trialRunId;
  const plan = planWith(state, id);
  if (plan !== undefined) yield* ownRunIdsOf(plan);
  yield* openRunsOf(state, sweepWith(state, plan?.sweepId ?? id));
}

function* openTrials(state: State): Generator<string> {
  for (const [number] of rowsOf(state.openSweeps))
    yield* idsIn('trial', rowAt(state.sweeps, number)!.openTrials);
}

const only = (ids: readonly string[]): Chosen => ({ ids, total: ids.length });
const NONE = only([]);

function* idsIn(noun: Noun, numbers: NumberSet): Generator<string> {
  for (const [number] of rowsOf(numbers)) yield `${noun}-${number}`;
}

function* chained(...lists: Iterable<string>[]): Generator<string> {
  for (const list of lists) yield* list;
}

/** The newest of a list that are there, newest first. */
function* newestIn(state: State, noun: 'trial' | 'run', roll: Roll): Generator<string> {
  const table: Table<unknown> = noun === 'trial' ? state.trials : state.runs;
  const oldest = Math.max(1, roll.size - ENDED_MAX + 1);
  for (let place = roll.size; place >= oldest; place--) {
    const number = numberAt(roll, place);
    if (rowAt(table, number) !== undefined) yield `${noun}-${number}`;
  }
}

/** First what has to be shown, then the newest of all things of a noun, newest first. */
function* newestOf(state: State, noun: Noun, first: Iterable<string>): Generator<string> {
  yield* first;
  const table = { plan: state.plans, sweep: state.sweeps, trial: state.trials, run: state.runs }[noun];
  const last = state.numbers[noun];
  let found = 0;
  for (let number = last; number > Math.max(0, last - PLACES_MAX) && found < ENDED_MAX; number--) {
    if (rowAt<unknown>(table, number) === undefined) continue;
    found += 1;
    yield `${noun}-${number}`;
  }
}

function workersOf({ workers }: State): Chosen {
  return { ids: thereThenLost(), total: workers.size };
  function* thereThenLost(): Generator<string> {
    for (const { id, state } of valuesOf(workers)) if (state !== 'lost') yield id;
    for (const { id, state } of valuesOf(workers)) if (state === 'lost') yield id;
  }
}
