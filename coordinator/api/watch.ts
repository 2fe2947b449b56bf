// Snapshots for watchers: what is selected now, then again when it changed, at a bounded rate. Decides what
// belongs to a selection, what of a large one is shown (all that has not ended and the newest of what has,
// within the size of a message), and when nothing selected is left to end. A snapshot costs as much as it
// shows, however long the fleet's past is.

import { systemClock } from '../../core/clock.ts';
import {
  Plan,
  Run,
  Snapshot,
  Sweep,
  Trial,
  type WatchRequest,
  Worker,
} from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { idOf } from '../model/find.ts';
import { lookup, valuesOf } from '../model/persistent-map.ts';
import { numberAt, type Roll } from '../model/roll.ts';
import {
  byNumbers,
  hasEnded,
  type Noun,
  type NumberSet,
  openRuns,
  planOf,
  runWith,
  type State,
  sweepOf,
  trialOf,
} from '../model/state.ts';
import { rowAt, rowsOf, type Table } from '../model/table.ts';
import { bytesOf } from './page.ts';
import { planView, runView, storeView, sweepView, trialView, type ViewContext, workerView } from './views.ts';

/** How many things of each noun that have ended a snapshot shows at most. */
const ENDED_MAX = 200;
const RATE_HZ_DEFAULT = 4;
const RATE_HZ_MAX = 20;
/**
 * Bytes that each list of a snapshot may have; together well below the 4 MiB that a client takes by default.
 */
const BYTES_MAX = {
  plans: 512 << 10,
  sweeps: 512 << 10,
  trials: 640 << 10,
  runs: 768 << 10,
  workers: 512 << 10,
};

/** Ids of one noun in the order in which they find room, and how many belong to the selection in all. */
interface Chosen {
  readonly ids: readonly string[];
  readonly total: number;
}

/** What a watcher has selected, as of one state. */
export interface Selection {
  readonly plans: Chosen;
  readonly sweeps: Chosen;
  readonly trials: Chosen;
  readonly runs: Chosen;
  readonly finished: boolean;
}

/** What a request means now. Throws when it names something that does not exist. */
function select(state: State, request: Pick<WatchRequest, 'planId' | 'sweepId' | 'runId'>): Selection {
  if (request.planId !== '') return selectPlan(state, idOf(state, 'plan', request.planId));
  if (request.sweepId !== '') return selectSweep(state, idOf(state, 'sweep', request.sweepId));
  if (request.runId !== '') {
    const id = idOf(state, 'run', request.runId);
    const finished = hasEnded(runWith(state, id)!);
    return { plans: all([]), sweeps: all([]), trials: all([]), runs: all([id]), finished };
  }
  const { plans, sweeps, trials, runs, openPlans, openSweeps, openRuns: open } = state;
  const openTrials = [...rowsOf(openSweeps)].flatMap(([number]) =>
    idsOf('trial', rowAt(sweeps, number)!.openTrials),
  );
  const recent = (noun: Noun, ids: readonly string[], table: Table<unknown>): Chosen => {
    const last = state.numbers[noun];
    const at = (place: number) => (rowAt(table, place) === undefined ? undefined : `${noun}-${place}`);
    return { ...choose(ids, { size: last, at }), total: table.size };
  };
  return {
    plans: recent('plan', idsOf('plan', openPlans), plans),
    sweeps: recent('sweep', idsOf('sweep', openSweeps), sweeps),
    trials: recent('trial', openTrials, trials),
    runs: recent('run', idsOf('run', open), runs),
    finished: openPlans.size + openSweeps.size + open.size === 0,
  };
}

function selectPlan(state: State, id: string): Selection {
  const plan = planOf(state, id);
  const sweep = plan.sweepId === undefined ? undefined : sweepOf(state, plan.sweepId);
  const own = [...(plan.teacherRunId === undefined ? [] : [plan.teacherRunId]), ...plan.studentRunIds];
  const open = openRuns(state).filter((run) => run.planId === id);
  return {
    plans: all([id]),
    sweeps: all(sweep === undefined ? [] : [sweep.id]),
    trials:
      sweep === undefined
        ? all([])
        : choose(idsOf('trial', sweep.openTrials), places('trial', sweep.trialIds)),
    // Teacher and students are what a plan is about: they are shown whatever the search has done.
    runs: choose([...own, ...open.map((run) => run.id)], places('run', plan.allRunIds)),
    finished: hasEnded(plan) && (sweep === undefined || hasEnded(sweep)) && open.length === 0,
  };
}

function selectSweep(state: State, id: string): Selection {
  const sweep = sweepOf(state, id);
  const open = openRuns(state).filter((run) => run.sweepId === id);
  return {
    plans: all([]),
    sweeps: all([id]),
    trials: choose(idsOf('trial', sweep.openTrials), places('trial', sweep.trialIds)),
    runs: choose(
      open.map((run) => run.id),
      places('run', sweep.allRunIds),
    ),
    finished: hasEnded(sweep) && open.length === 0,
  };
}

const all = (ids: readonly string[]): Chosen => ({ ids, total: ids.length });

const idsOf = (noun: Noun, numbers: NumberSet): string[] =>
  [...rowsOf(numbers)].map(([number]) => `${noun}-${number}`);

const places = (noun: Noun, roll: Roll) => ({
  size: roll.size,
  at: (place: number) => `${noun}-${numberAt(roll, place)}`,
});

/** First what has to be shown, then the newest of the list, newest first. */
function choose(
  first: Iterable<string>,
  list: { readonly size: number; readonly at: (place: number) => string | undefined },
): Chosen {
  const ids = new Set(first);
  const oldest = Math.max(1, list.size - ENDED_MAX + 1);
  for (let place = list.size; place >= oldest; place--) {
    const id = list.at(place);
    if (id !== undefined) ids.add(id);
  }
  return { ids: [...ids], total: list.size };
}

function snapshotOf(
  context: ViewContext,
  selection: Selection,
  at: { journalSequence: number; atMs: number },
): Snapshot {
  const { state } = context;
  const workerIds = [...valuesOf(state.workers)]
    .sort((a, b) => Number(a.state === 'lost') - Number(b.state === 'lost'))
    .map((worker) => worker.id);
  const plans = fitting(selection.plans, {
    bytesMax: BYTES_MAX.plans,
    bytesOf: bytesOf(Plan),
    view: (id) => ({ ...planView(planOf(state, id)), yaml: '' }),
  });
  const sweeps = fitting(selection.sweeps, {
    bytesMax: BYTES_MAX.sweeps,
    bytesOf: bytesOf(Sweep),
    view: (id) => sweepView(context, sweepOf(state, id)),
  });
  const trials = fitting(selection.trials, {
    bytesMax: BYTES_MAX.trials,
    bytesOf: bytesOf(Trial),
    view: (id) => trialView(trialOf(state, id)),
  });
  const runs = fitting(selection.runs, {
    bytesMax: BYTES_MAX.runs,
    bytesOf: bytesOf(Run),
    view: (id) => ({ ...runView(context, runWith(state, id)!), specJson: '' }),
  });
  const workers = fitting(all(workerIds), {
    bytesMax: BYTES_MAX.workers,
    bytesOf: bytesOf(Worker),
    view: (id) => workerView(context, lookup(state.workers, id)!),
  });
  return {
    plans: plans.shown,
    sweeps: sweeps.shown,
    trials: trials.shown,
    runs: runs.shown,
    workers: workers.shown,
    store: storeView(context.store),
    ...at,
    leftOut: {
      plans: plans.left,
      sweeps: sweeps.left,
      trials: trials.left,
      runs: runs.left,
      workers: workers.left,
    },
  };
}

/** As many of the chosen as fit, taken in the order of choice and shown in the order of creation. */
function fitting<T extends { readonly id: string }>(
  chosen: Chosen,
  how: {
    readonly bytesMax: number;
    readonly bytesOf: (item: T) => number;
    readonly view: (id: string) => T;
  },
): { readonly shown: T[]; readonly left: number } {
  const shown: T[] = [];
  let bytes = 0;
  for (const id of chosen.ids) {
    const item = how.view(id);
    bytes += how.bytesOf(item);
    if (bytes > how.bytesMax) break;
    shown.push(item);
  }
  const left = chosen.total - shown.length;
  return { shown: shown.sort((a, b) => byNumbers(a.id, b.id)), left };
}

/** The stream of a Watch call. */
export async function* watch(options: {
  request: WatchRequest;
  context: () => ViewContext;
  journalSequence: () => number;
  now: () => number;
  onChange: (listener: () => void) => () => void;
  signal: AbortSignal;
}): AsyncGenerator<Snapshot> {
  const { request, signal } = options;
  const rateHz = request.rateHz > 0 ? Math.min(RATE_HZ_MAX, request.rateHz) : RATE_HZ_DEFAULT;
  let wake: (() => void) | undefined;
  let changed = true;
  const unfollow = options.onChange(() => {
    changed = true;
    wake?.();
  });
  const gone = () => wake?.();
  signal.addEventListener('abort', gone, { once: true });
  let before: string | undefined;
  try {
    while (!signal.aborted) {
      changed = false;
      const context = options.context();
      const selection = select(context.state, request);
      const at = { journalSequence: options.journalSequence(), atMs: options.now() };
      const snapshot = snapshotOf(context, selection, at);
      const now = contentOf(snapshot);
      if (now !== before) yield snapshot;
      before = now;
      if (request.untilFinished && selection.finished) return;
      await systemClock.sleep(1000 / rateHz, signal).catch(() => undefined);
      if (!changed && !signal.aborted)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      wake = undefined;
    }
  } finally {
    unfollow();
    signal.removeEventListener('abort', gone);
  }
}

/**
 * Two snapshots show the same when these texts are equal: everything but the time of the snapshot, the time
 * of the workers' last reports, and how many bytes the store holds, which all change by themselves.
 */
function contentOf(snapshot: Snapshot): string {
  const store = snapshot.store && { ...snapshot.store, usedBytes: 0 };
  const workers = snapshot.workers.map((worker) => ({ ...worker, lastSeenMs: 0 }));
  const bytes = Snapshot.encode({
    ...snapshot,
    workers,
    ...(store && { store }),
    atMs: 0,
    journalSequence: 0,
  }).finish();
  return Buffer.from(bytes).toString('latin1');
}
