// The lists of FleetService, page by page: which items are on a page, in which order, and how many there are
// in all. Reading a page costs as much as the page holds, however long the list is.

import {
  Checkpoint,
  type LeaderboardRequest,
  type LeaderboardResponse,
  type ListCheckpointsRequest,
  type ListCheckpointsResponse,
  type ListPlansRequest,
  type ListPlansResponse,
  type ListRunsRequest,
  type ListRunsResponse,
  type ListSweepsRequest,
  type ListSweepsResponse,
  type ListTrialsRequest,
  type ListTrialsResponse,
  type ListWorkersRequest,
  type ListWorkersResponse,
  Plan,
  Run,
  Sweep,
  Trial,
  Worker,
} from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { idOf } from '../model/find.ts';
import { bestTrialFirst } from '../model/leaderboard.ts';
import { entriesOf, lookup } from '../model/persistent-map.ts';
import { emptyRoll, numberAt, type Roll } from '../model/roll.ts';
import {
  byNumbers,
  type Noun,
  planOf,
  type RunState,
  runWith,
  type State,
  sweepOf,
  trialOf,
  trialWith,
} from '../model/state.ts';
import { rowAt, type Table } from '../model/table.ts';
import { type Leaderboards, placeAfter } from './leaderboards.ts';
import { bytesOf, openPage, type PageRequest, places } from './page.ts';
import {
  checkpointViews,
  planView,
  runView,
  sweepView,
  trialView,
  type ViewContext,
  workerView,
} from './views.ts';

const LEADERBOARD_DEFAULT = 20;

/** Plans in the order of creation. */
export function listPlans({ state }: ViewContext, request: ListPlansRequest): ListPlansResponse {
  const { items, ...rest } = inPlaces({
    ...{ list: 'plans', request, numbers: allOf(state, 'plan'), bytesOf: bytesOf(Plan) },
    itemAt: (number) => planView(planOf(state, `plan-${number}`)),
  });
  return { plans: items, ...rest };
}

/** Sweeps in the order of creation. */
export function listSweeps(context: ViewContext, request: ListSweepsRequest): ListSweepsResponse {
  const { state } = context;
  const { items, ...rest } = inPlaces({
    ...{ list: 'sweeps', request, numbers: allOf(state, 'sweep'), bytesOf: bytesOf(Sweep) },
    itemAt: (number) => sweepView(context, sweepOf(state, `sweep-${number}`)),
  });
  return { sweeps: items, ...rest };
}

/** The trials of a sweep by number. */
export function listTrials({ state }: ViewContext, request: ListTrialsRequest): ListTrialsResponse {
  const { id, trialIds } = sweepOf(state, idOf(state, 'sweep', request.sweepId));
  const { items, ...rest } = inPlaces({
    ...{ list: `trials of ${id}`, request, numbers: inRoll(trialIds), bytesOf: bytesOf(Trial) },
    itemAt: (number) => trialView(state, trialOf(state, `trial-${number}`)),
  });
  return { trials: items, ...rest };
}

/** The runs of a plan, of a sweep or of the fleet in the order of creation. */
export function listRuns(context: ViewContext, request: ListRunsRequest): ListRunsResponse {
  const { state } = context;
  const { list, numbers } = runsMeant(state, request);
  const { items, ...rest } = inPlaces({
    ...{ list, request, numbers, bytesOf: bytesOf(Run) },
    itemAt: (number) => runView(context, runWith(state, `run-${number}`)!, { spec: true }),
  });
  return { runs: items, ...rest };
}

/** Workers in the order of their ids, numbers in them read as numbers. */
export function listWorkers(context: ViewContext, request: ListWorkersRequest): ListWorkersResponse {
  const { workers } = context.state;
  const page = openPage({ list: 'workers', request, bytesOf: bytesOf(Worker) });
  const ids = [...entriesOf(workers)].map(([id]) => id).sort(byNumbers);
  for (const id of ids) {
    if (page.after !== undefined && byNumbers(id, page.after) <= 0) continue;
    if (!page.take(id, workerView(context, lookup(workers, id)!))) break;
  }
  return { workers: page.items, nextPageToken: page.nextPageToken, total: workers.size };
}

/** The checkpoints of a run by stage. */
export function listCheckpoints(run: RunState, request: ListCheckpointsRequest): ListCheckpointsResponse {
  const { id } = run;
  const all = checkpointViews(run);
  const page = openPage({ list: `checkpoints of ${id}`, request, bytesOf: bytesOf(Checkpoint) });
  for (const checkpoint of all) {
    if (checkpoint.stage <= (page.afterNumber() ?? -1)) continue;
    if (!page.take(String(checkpoint.stage), checkpoint)) break;
  }
  return { checkpoints: page.items, nextPageToken: page.nextPageToken, total: all.length };
}

/**
 * A page begins after the trial that the page before ended with. That trial may stand in another place by
 * now, but its own objective does not change, so that no trial is shown twice and none is left out.
 */
export async function leaderboard(
  { state }: ViewContext,
  request: LeaderboardRequest,
  leaderboards: Leaderboards,
): Promise<LeaderboardResponse> {
  const sweep = sweepOf(state, idOf(state, 'sweep', request.sweepId));
  const done = await leaderboards.of(state, sweep.id);
  const page = openPage({
    list: `leaderboard of ${sweep.id}`,
    request: { pageSize: request.limit || LEADERBOARD_DEFAULT, pageToken: request.pageToken },
    bytesOf: bytesOf(Trial),
  });
  const last = page.after === undefined ? undefined : trialWith(state, page.after);
  const first = last === undefined ? 0 : placeAfter(done, last, bestTrialFirst(sweep));
  for (let place = first; place < done.length; place++) {
    const trial = done[place]!;
    if (!page.take(trial.id, trialView(state, trial))) break;
  }
  return { trials: page.items, nextPageToken: page.nextPageToken, total: done.length };
}

/** The runs that a request means: those of a plan, of a sweep, of both, or all. */
function runsMeant(
  state: State,
  request: Pick<ListRunsRequest, 'planId' | 'sweepId'>,
): { readonly list: string; readonly numbers: Numbers } {
  const plan = request.planId === '' ? undefined : planOf(state, idOf(state, 'plan', request.planId));
  const sweep = request.sweepId === '' ? undefined : sweepOf(state, idOf(state, 'sweep', request.sweepId));
  if (sweep !== undefined && plan !== undefined && sweep.planId !== plan.id)
    return { list: `runs of ${plan.id} and ${sweep.id}`, numbers: inRoll(emptyRoll) };
  const parent = sweep ?? plan;
  return parent === undefined
    ? { list: 'runs', numbers: allOf(state, 'run') }
    : { list: `runs of ${parent.id}`, numbers: inRoll(parent.allRunIds) };
}

/** Things of one noun by place; a place without a thing is passed over. */
interface Numbers {
  /** The number of things. */
  readonly total: number;
  /** The last place. */
  readonly last: number;
  readonly at: (place: number) => number | undefined;
}

function inRoll(roll: Roll): Numbers {
  return { total: roll.size, last: roll.size, at: (place) => numberAt(roll, place) };
}

/** Everything of a noun in the order of creation: a thing's place is its number. */
function allOf(state: State, noun: Exclude<Noun, 'trial'>): Numbers {
  const tables = { plan: state.plans, sweep: state.sweeps, run: state.runs };
  const table: Table<unknown> = tables[noun];
  const at = (place: number) => (rowAt(table, place) === undefined ? undefined : place);
  return { total: table.size, last: state.numbers[noun], at };
}

/** A page of a list. */
function inPlaces<T>(options: {
  readonly list: string;
  readonly request: PageRequest & { readonly newestFirst?: boolean | undefined };
  readonly numbers: Numbers;
  readonly bytesOf: (item: T) => number;
  readonly itemAt: (number: number) => T;
}): { items: T[]; nextPageToken: string; total: number } {
  const { request, numbers } = options;
  const { newestFirst } = request;
  const page = openPage<T>({
    ...options,
    list: newestFirst ? `${options.list}, newest first` : options.list,
  });
  for (const place of places(numbers.last, page.afterNumber(), newestFirst)) {
    const number = numbers.at(place);
    if (number !== undefined && !page.take(String(place), options.itemAt(number))) break;
  }
  return { items: page.items, nextPageToken: page.nextPageToken, total: numbers.total };
}
