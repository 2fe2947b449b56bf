// The picture of a selection: five lists, each within its part of a message, and the store. Decides what a
// watcher sees of each thing, and what counts as a change of it.

import {
  type LeftOut,
  Plan,
  Run,
  type Snapshot,
  type Store,
  Sweep,
  Trial,
  Worker,
} from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { shownState } from '../model/holds.ts';
import { lookup } from '../model/persistent-map.ts';
import {
  byNumbers,
  hasEnded,
  isWhole,
  numberOf,
  planOf,
  runWith,
  type SweepState,
  sweepOf,
  trialOf,
  workerWith,
} from '../model/state.ts';
import { rowAt } from '../model/table.ts';
import { searchWait } from './search-progress.ts';
import { type Selected, select } from './selection.ts';
import { createShownList, type Found, type ListRules } from './shown-list.ts';
import { planView, runView, storeView, sweepView, trialView, type ViewContext, workerView } from './views.ts';

/** A picture, as of its last look. */
export interface Picture {
  /** Everything that is shown, each list in the order of ids. */
  whole(at: Moment): Snapshot;
  /** What has changed since the look before, as a message of changes; undefined when nothing has. */
  look(context: ViewContext, at: Moment): Snapshot | undefined;
  /** Everything selected has ended. */
  readonly finished: boolean;
}

/** When a message was made. */
export interface Moment {
  readonly journalSequence: number;
  readonly atMs: number;
}

/** Bytes of each list; together well below the 4 MiB that a client takes by default. */
const BYTES_MAX = {
  plans: 512 << 10,
  sweeps: 512 << 10,
  trials: 640 << 10,
  runs: 768 << 10,
  workers: 512 << 10,
};

const listOf = <T>(bytesMax: number, type: { encode(item: T): { finish(): Uint8Array } }): ListRules<T> => ({
  bytesMax,
  contentOf: (item) => type.encode(item).finish(),
});

/** The picture of a selection; it shows nothing before its first look. */
export function createPicture(selected: Selected): Picture {
  const plans = createShownList(listOf(BYTES_MAX.plans, Plan));
  const sweeps = createShownList(listOf(BYTES_MAX.sweeps, Sweep));
  const trials = createShownList(listOf(BYTES_MAX.trials, Trial));
  const runs = createShownList(listOf(BYTES_MAX.runs, Run));
  // The time of a worker's last report changes by itself.
  const workers = createShownList<Worker>({
    bytesMax: BYTES_MAX.workers,
    contentOf: (worker) => Worker.encode({ ...worker, lastSeenMs: 0 }).finish(),
  });
  let finished = false;
  let store: Store | undefined;
  /** What is beside the lists. */
  let rest = '';
  const leftOut = (): LeftOut => ({
    plans: plans.left,
    sweeps: sweeps.left,
    trials: trials.left,
    runs: runs.left,
    workers: workers.left,
  });
  return {
    get finished() {
      return finished;
    },
    whole: (at) => ({
      plans: inOrder(plans.items),
      sweeps: inOrder(sweeps.items),
      trials: inOrder(trials.items),
      runs: inOrder(runs.items),
      workers: byId(workers.items),
      ...(store && { store }),
      leftOut: leftOut(),
      ...at,
    }),
    look(context, at) {
      const { state } = context;
      const selection = select(state, selected);
      const found = {
        plans: plans.look(selection.plans, {
          parts: (id) => [planOf(state, id)],
          view: (id) => ({ ...planView(planOf(state, id)), yaml: '' }),
        }),
        sweeps: sweeps.look(selection.sweeps, {
          parts: (id) => sweepParts(context, sweepOf(state, id)),
          view: (id) => sweepView(context, sweepOf(state, id)),
        }),
        trials: trials.look(selection.trials, {
          parts: (id) => [trialOf(state, id), shownState(state, trialOf(state, id)).state],
          view: (id) => trialView(state, trialOf(state, id)),
        }),
        runs: runs.look(selection.runs, {
          parts: (id) => runParts(context, id),
          view: (id) => runView(context, runWith(state, id)!, { spec: false }),
        }),
        workers: workers.look(selection.workers, {
          parts: (id) => workerParts(context, id),
          view: (id) => workerView(context, workerWith(state, id)!),
        }),
      };
      store = storeView(context.store);
      const before = rest;
      // How many bytes the store holds changes by itself.
      rest = JSON.stringify([selection.finished, { ...store, usedBytes: 0 }, leftOut()]);
      finished = selection.finished;
      const lists: readonly Found<unknown>[] = Object.values(found);
      const removedIds = lists.flatMap((list) => list.removedIds);
      if (rest === before && removedIds.length === 0 && lists.every(({ changed }) => changed.length === 0))
        return undefined;
      return {
        plans: inOrder(found.plans.changed),
        sweeps: inOrder(found.sweeps.changed),
        trials: inOrder(found.trials.changed),
        runs: inOrder(found.runs.changed),
        workers: byId(found.workers.changed),
        store,
        leftOut: leftOut(),
        ...at,
        changes: { removedIds },
      };
    },
  };
}

/** What the view of a sweep is made from: its plan may be paused, and others may leave it no open trial. */
function sweepParts(context: ViewContext, sweep: SweepState): unknown[] {
  const { state, looked } = context;
  return [sweep, looked(numberOf(sweep.id)), shownState(state, sweep).state, searchWait(state, sweep)?.text];
}

/** What a run's view is made from. */
function runParts({ state, progress, waiting, store }: ViewContext, id: string): unknown[] {
  const run = runWith(state, id)!;
  if (!isWhole(run) || hasEnded(run)) return [run, progress.of(id)];
  const aboutStore = [
    store.halted,
    store.blocksDecisions,
    store.state.kind === 'ok' ? '' : store.state.reason,
  ];
  return run.state === 'queued'
    ? [run, waiting.of(id)?.reason, ...aboutStore]
    : [run, progress.of(id), progress.storeWaitOf(run), ...aboutStore];
}

/** What a worker's view is made from, but for the time of its last report. */
function workerParts({ state, progress, connected, deviceOf }: ViewContext, id: string): unknown[] {
  const worker = workerWith(state, id)!;
  const parts: unknown[] = [worker, lookup(connected, id), deviceOf(id)];
  for (const number of worker.runs)
    parts.push(rowAt(state.runs, number), progress.of(`run-${number}`)?.point.imagesPerSecond);
  return parts;
}

/** Things whose ids are `noun-number`, in the order of creation. */
function inOrder<T extends { readonly id: string }>(items: readonly T[]): T[] {
  return [...items].sort((a, b) => numberOf(a.id) - numberOf(b.id));
}

function byId<T extends { readonly id: string }>(items: readonly T[]): T[] {
  return [...items].sort((a, b) => byNumbers(a.id, b.id));
}
