// Snapshots for watchers: what is selected now, then again when it changed, at a bounded rate. Decides what belongs to a
// selection, what of a fleet with a long past is shown, and when nothing selected is left to end.

import { setTimeout as wait } from 'node:timers/promises';
import { FleetError } from '../core/errors.ts';
import { Snapshot, type WatchRequest } from '../proto/gen/pocketfleet/v1/fleet.ts';
import {
  hasEnded,
  inOrder,
  type PlanState,
  type RunState,
  type SweepState,
  type TrialState,
} from './state.ts';
import { lookup } from './table.ts';
import { planView, runView, sweepView, trialView, type ViewContext, workerView } from './views.ts';

/** Things that have ended, of each noun, in a snapshot of the whole fleet; a selection shows all of its own. */
const ENDED_MAX = 200;
const RATE_HZ_DEFAULT = 4;
const RATE_HZ_MAX = 20;

export interface Selection {
  readonly plans: readonly PlanState[];
  readonly sweeps: readonly SweepState[];
  readonly trials: readonly TrialState[];
  readonly runs: readonly RunState[];
}

/** What a request means now; `notFound` when it names something that does not exist. */
export function select(
  context: ViewContext,
  request: Pick<WatchRequest, 'planId' | 'sweepId' | 'runId'>,
): Selection {
  const { state } = context;
  if (request.planId !== '') {
    const plan = found(lookup(state.plans, request.planId), 'plan', request.planId);
    const sweeps = plan.sweepId === undefined ? [] : [lookup(state.sweeps, plan.sweepId)!];
    return {
      plans: [plan],
      sweeps,
      trials: inOrder(state.trials).filter((trial) => trial.sweepId === plan.sweepId),
      runs: inOrder(state.runs).filter((run) => run.planId === plan.id),
    };
  }
  if (request.sweepId !== '') {
    const sweep = found(lookup(state.sweeps, request.sweepId), 'sweep', request.sweepId);
    return {
      plans: [],
      sweeps: [sweep],
      trials: inOrder(state.trials).filter((trial) => trial.sweepId === sweep.id),
      runs: inOrder(state.runs).filter((run) => run.sweepId === sweep.id),
    };
  }
  if (request.runId !== '') {
    const run = found(lookup(state.runs, request.runId), 'run', request.runId);
    return { plans: [], sweeps: [], trials: [], runs: [run] };
  }
  return {
    plans: recent(inOrder(state.plans)),
    sweeps: recent(inOrder(state.sweeps)),
    trials: recent(inOrder(state.trials)),
    runs: recent(inOrder(state.runs)),
  };
}

function found<T>(thing: T | undefined, noun: string, id: string): T {
  if (thing === undefined)
    throw new FleetError('notFound', `${JSON.stringify(id)} is no ${noun} of this fleet`);
  return thing;
}

function recent<T extends { readonly state: string }>(things: readonly T[]): T[] {
  const from = things.length - ENDED_MAX;
  return things.filter((thing, i) => i >= from || !hasEnded(thing));
}

export function snapshotOf(
  context: ViewContext,
  selection: Selection,
  at: { journalSequence: number; atMs: number },
): Snapshot {
  return {
    plans: selection.plans.map(planView),
    sweeps: selection.sweeps.map((sweep) => sweepView(context, sweep)),
    trials: selection.trials.map(trialView),
    runs: selection.runs.map((run) => runView(context, run)),
    workers: [...context.state.workers.values()].map((worker) => workerView(context, worker)),
    ...at,
  };
}

function isFinished(selection: Selection): boolean {
  return [selection.plans, selection.sweeps, selection.trials, selection.runs].every((things) =>
    (things as readonly { state: string }[]).every(hasEnded),
  );
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
  const forget = options.onChange(() => {
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
      const selection = select(context, request);
      const at = { journalSequence: options.journalSequence(), atMs: options.now() };
      const snapshot = snapshotOf(context, selection, at);
      const now = contentOf(snapshot);
      if (now !== before) yield snapshot;
      before = now;
      if (request.untilFinished && isFinished(selection)) return;
      await wait(1000 / rateHz, undefined, { signal }).catch(() => undefined);
      if (!changed && !signal.aborted)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      wake = undefined;
    }
  } finally {
    forget();
    signal.removeEventListener('abort', gone);
  }
}

/** Whether two snapshots show the same: everything but when they were taken and when workers were last heard. */
function contentOf(snapshot: Snapshot): string {
  const workers = snapshot.workers.map((worker) => ({ ...worker, lastSeenMs: 0 }));
  const bytes = Snapshot.encode({ ...snapshot, workers, atMs: 0, journalSequence: 0 }).finish();
  return Buffer.from(bytes).toString('latin1');
}
