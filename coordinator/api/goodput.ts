// Where worker-seconds went, of the fleet or of one thing in it: what the journal has, and what workers have
// reported since. Decides what belongs to what was asked for.

import { NOUNS } from '../../core/text/naming.ts';
import {
  addSeconds,
  PHASE_FIELDS,
  type PhaseSeconds,
  type TimeEntry,
  totalSeconds,
} from '../../core/worker-time.ts';
import type { Goodput, PhaseSeconds as WireSeconds } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { theOne } from '../model/find.ts';
import { lookup, valuesOf } from '../model/persistent-map.ts';
import { allNumbers } from '../model/roll.ts';
import {
  hasEnded,
  isWhole,
  numberOf,
  planOf,
  runWith,
  type State,
  type SweepState,
  sweepWith,
  type TrialState,
  trialOf,
  trialWith,
  workerWith,
} from '../model/state.ts';
import { rowAt, rowsOf, type Table } from '../model/table.ts';
import { NO_ACCOUNT, shownSeconds, type TimeAccount, wallSecondsOf } from '../model/time-accounts.ts';
import { openEntries, type TimeBoard } from '../workers/time-board.ts';

type Entry = TimeEntry & { readonly workerId: string };

/** What was asked for. */
interface Asked {
  readonly kind: string;
  readonly id: string;
  readonly name: string;
  readonly account: TimeAccount;
  /** Whether what is not journalled yet belongs to it. */
  owns(entry: Entry): boolean;
  readonly wallSeconds?: number;
  /** Those whose trials may have been stopped. */
  readonly sweeps: Iterable<SweepState | undefined>;
}

/** The answer; `idOrName` empty: the whole fleet. */
export function goodput(
  { state, times, nowMs }: { readonly state: State; readonly times: TimeBoard; readonly nowMs: number },
  idOrName: string,
): Goodput {
  const asked = idOrName === '' ? fleet(state, nowMs) : thing(state, idOrName, nowMs);
  let { seconds, repeated } = asked.account;
  for (const entry of openEntries(state, times))
    if (asked.owns(entry)) seconds = addSeconds(seconds, entry.seconds);
  const { kind, id, name, wallSeconds = 0 } = asked;
  const pruned = prunedIn(state, asked);
  const kept = addSeconds(shownSeconds({ seconds, repeated }), pruned, -1);
  const isPruned = totalSeconds(pruned) > 0;
  return {
    ...{ kind, id, name, wallSeconds },
    seconds: wireSeconds(kept),
    pruned: isPruned ? wireSeconds(pruned) : undefined,
  };
}

/** What the trials of these sweeps took that a strategy has stopped. */
function prunedIn(state: State, { sweeps }: Asked): PhaseSeconds {
  let pruned: PhaseSeconds = {};
  for (const sweep of sweeps) {
    // Trials of a sweep that somebody ended were not judged.
    if (sweep === undefined || sweep.state === 'cancelled') continue;
    for (const number of allNumbers(sweep.trialIds)) {
      const trial = trialWith(state, `trial-${number}`);
      if (trial === undefined || !isPruned(trial, sweep)) continue;
      for (const runId of trial.runIds) {
        const account = rowAt(state.time.runs, numberOf(runId));
        if (account !== undefined) pruned = addSeconds(pruned, shownSeconds(account));
      }
    }
  }
  return pruned;
}

/** It has results at lower fidelities alone and goes on no more: its search has stopped it, or has ended. */
const isPruned = ({ rungs, fidelity, state, isStopped }: TrialState, sweep: SweepState): boolean =>
  rungs !== undefined &&
  fidelity !== undefined &&
  state === 'done' &&
  (isStopped === true || hasEnded(sweep));

function fleet(state: State, nowMs: number): Asked {
  const { time } = state;
  let { wallSeconds } = time.fleet;
  for (const { id, state: is } of valuesOf(state.workers)) {
    const account = lookup(time.workers, id);
    if (account !== undefined && is !== 'lost')
      wallSeconds += wallSecondsOf({ ...account, wallSeconds: 0 }, true, nowMs);
  }
  const sweeps = rowsIn(state.sweeps);
  return { kind: 'fleet', id: '', name: '', account: time.fleet, owns: () => true, wallSeconds, sweeps };
}

function thing(state: State, idOrName: string, nowMs: number): Asked {
  const { kind, id, name } = theOne(state, idOrName, NOUNS);
  const { time } = state;
  const common = { kind, id, name };
  const planned = kind === 'plan' ? planOf(state, id).sweepId : undefined;
  const sweepId = kind === 'sweep' ? id : planned;
  const sweeps = sweepId === undefined ? [] : [sweepWith(state, sweepId)];
  const of = (account: TimeAccount | undefined, owns: Asked['owns']) => ({
    ...common,
    account: account ?? NO_ACCOUNT,
    owns,
    sweeps,
  });
  const runOf = (entry: Entry) => (entry.runId === undefined ? undefined : runWith(state, entry.runId));
  const sweepOf = (entry: Entry) => runOf(entry)?.sweepId;
  switch (kind) {
    case 'run':
      return of(rowAt(time.runs, numberOf(id)), (entry) => entry.runId === id);
    case 'trial': {
      const { runIds: attempts, searchRunIds = [] } = trialOf(state, id);
      const runIds = [...searchRunIds, ...attempts];
      return of(
        runIds.map((runId) => rowAt(time.runs, numberOf(runId))).reduce(sumOf, NO_ACCOUNT),
        (entry) => entry.runId !== undefined && runIds.includes(entry.runId),
      );
    }
    case 'sweep':
      return of(rowAt(time.sweeps, numberOf(id)), (entry) => sweepOf(entry) === id);
    case 'plan':
      return of(rowAt(time.plans, numberOf(id)), (entry) => {
        const run = runOf(entry);
        const sweep = run?.sweepId === undefined ? undefined : sweepWith(state, run.sweepId);
        return (sweep?.planId ?? (run !== undefined && isWhole(run) ? run.planId : undefined)) === id;
      });
    default: {
      const account = lookup(time.workers, id);
      const isThere = workerWith(state, id)?.state !== 'lost';
      return {
        ...of(account && { seconds: account.seconds, repeated: 0 }, (entry) => entry.workerId === id),
        wallSeconds: account === undefined ? 0 : wallSecondsOf(account, isThere, nowMs),
      };
    }
  }
}

function* rowsIn<V>(table: Table<V>): Generator<V> {
  for (const [, row] of rowsOf(table)) yield row;
}

function sumOf(sum: TimeAccount, more: TimeAccount = NO_ACCOUNT): TimeAccount {
  return { seconds: addSeconds(sum.seconds, more.seconds), repeated: sum.repeated + more.repeated };
}

function wireSeconds(seconds: PhaseSeconds): WireSeconds {
  return Object.fromEntries(
    PHASE_FIELDS.map(([phase, field]) => [field, seconds[phase] ?? 0]),
  ) as unknown as WireSeconds;
}
