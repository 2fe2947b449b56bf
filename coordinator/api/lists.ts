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
import { emptyRoll, idAt, type Roll } from '../model/roll.ts';
import {
  bestTrialFirst,
  byNumbers,
  idInPlace,
  planOf,
  runOf,
  type State,
  sweepOf,
  trialOf,
} from '../model/state.ts';
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
    ...{ list: 'plans', request, total: state.plans.size, bytesOf: bytesOf(Plan) },
    itemAt: (place) => planView(planOf(state, idInPlace(state, 'plan', place))),
  });
  return { plans: items, ...rest };
}

/** Sweeps in the order of creation. */
export function listSweeps(context: ViewContext, request: ListSweepsRequest): ListSweepsResponse {
  const { state } = context;
  const { items, ...rest } = inPlaces({
    ...{ list: 'sweeps', request, total: state.sweeps.size, bytesOf: bytesOf(Sweep) },
    itemAt: (place) => sweepView(context, sweepOf(state, idInPlace(state, 'sweep', place))),
  });
  return { sweeps: items, ...rest };
}

/** The trials of a sweep by number. */
export function listTrials({ state }: ViewContext, request: ListTrialsRequest): ListTrialsResponse {
  const { id, trialIds } = sweepOf(state, idOf(state, 'sweep', request.sweepId));
  const { items, ...rest } = inPlaces({
    ...{ list: `trials of ${id}`, request, total: trialIds.size, bytesOf: bytesOf(Trial) },
    itemAt: (place) => trialView(trialOf(state, idAt(trialIds, place))),
  });
  return { trials: items, ...rest };
}

/** The runs of a plan, of a sweep or of the fleet in the order of creation. */
export function listRuns(context: ViewContext, request: ListRunsRequest): ListRunsResponse {
  const { state } = context;
  const { list, total, idAt: at } = runsMeant(state, request);
  const { items, ...rest } = inPlaces({
    ...{ list, request, total, bytesOf: bytesOf(Run) },
    itemAt: (place) => runView(context, runOf(state, at(place))),
  });
  return { runs: items, ...rest };
}

/** Workers in the order of their ids, numbers in them read as numbers. */
export function listWorkers(context: ViewContext, request: ListWorkersRequest): ListWorkersResponse {
  const { workers } = context.state;
  const page = openPage({ list: 'workers', request, bytesOf: bytesOf(Worker) });
  const ids = [...workers.keys()].sort(byNumbers);
  for (const id of ids) {
    if (page.after !== undefined && byNumbers(id, page.after) <= 0) continue;
    if (!page.take(id, workerView(context, workers.get(id)!))) break;
  }
  return { workers: page.items, nextPageToken: page.nextPageToken, total: workers.size };
}

/** The checkpoints of a run by stage. */
export function listCheckpoints(state: State, request: ListCheckpointsRequest): ListCheckpointsResponse {
  const id = idOf(state, 'run', request.runId);
  const all = checkpointViews(state, id);
  const page = openPage({ list: `checkpoints of ${id}`, request, bytesOf: bytesOf(Checkpoint) });
  for (const checkpoint of all) {
    if (checkpoint.stage <= Number(page.after ?? -1)) continue;
    if (!page.take(String(checkpoint.stage), checkpoint)) break;
  }
  return { checkpoints: page.items, nextPageToken: page.nextPageToken, total: all.length };
}

/**
 * A page begins after the trial that the page before ended with. That trial may stand in another place by
 * now, but its own objective does not change, so that no trial is shown twice and none is left out.
 */
export function leaderboard({ state }: ViewContext, request: LeaderboardRequest): LeaderboardResponse {
  const { id, trialIds } = sweepOf(state, idOf(state, 'sweep', request.sweepId));
  const all = Array.from({ length: trialIds.size }, (_, i) => trialOf(state, idAt(trialIds, i + 1)));
  const done = all.filter((trial) => trial.state === 'done').sort(bestTrialFirst);
  const page = openPage({
    list: `leaderboard of ${id}`,
    request: { pageSize: request.limit || LEADERBOARD_DEFAULT, pageToken: request.pageToken },
    bytesOf: bytesOf(Trial),
  });
  const after = page.after === undefined ? undefined : trialOf(state, page.after);
  for (const trial of done) {
    if (after !== undefined && bestTrialFirst(trial, after) <= 0) continue;
    if (!page.take(trial.id, trialView(trial))) break;
  }
  return { trials: page.items, nextPageToken: page.nextPageToken, total: done.length };
}

/** The runs that a request means: those of a plan, of a sweep, of both, or all. */
function runsMeant(
  state: State,
  request: Pick<ListRunsRequest, 'planId' | 'sweepId'>,
): { readonly list: string; readonly total: number; readonly idAt: (place: number) => string } {
  const plan = request.planId === '' ? undefined : planOf(state, idOf(state, 'plan', request.planId));
  const sweep = request.sweepId === '' ? undefined : sweepOf(state, idOf(state, 'sweep', request.sweepId));
  const of = (list: string, roll: Roll) => ({
    list,
    total: roll.size,
    idAt: (place: number) => idAt(roll, place),
  });
  if (sweep !== undefined && plan !== undefined && sweep.planId !== plan.id)
    return of(`runs of ${plan.id} and ${sweep.id}`, emptyRoll);
  const parent = sweep ?? plan;
  if (parent !== undefined) return of(`runs of ${parent.id}`, parent.allRunIds);
  return { list: 'runs', total: state.runs.size, idAt: (place) => idInPlace(state, 'run', place) };
}

/** A page of a list whose items stand in places 1 to `total`. */
function inPlaces<T>(options: {
  readonly list: string;
  readonly request: PageRequest & { readonly newestFirst?: boolean | undefined };
  readonly total: number;
  readonly bytesOf: (item: T) => number;
  readonly itemAt: (place: number) => T;
}): { items: T[]; nextPageToken: string; total: number } {
  const { request, total } = options;
  const { newestFirst } = request;
  const page = openPage<T>({
    ...options,
    list: newestFirst ? `${options.list}, newest first` : options.list,
  });
  for (const place of places(total, page.after, newestFirst))
    if (!page.take(String(place), options.itemAt(place))) break;
  return { items: page.items, nextPageToken: page.nextPageToken, total };
}
