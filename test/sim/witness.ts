// What an onlooker at the broker sees: every message in the order in which it was stored. It keeps the books
// on what happened to each run and trial with nothing of the product's own fold, and beside that the fold of
// the journal, which is the true state of the fleet whatever any coordinator believes.

import assert from 'node:assert/strict';
import type { Event } from '../../coordinator/model/events.ts';
import { evolve } from '../../coordinator/model/evolve.ts';
import { initialState, type State } from '../../coordinator/model/state.ts';
import { checkEvent } from './invariants.ts';

/** The books. */
export interface Witness {
  /** The fold of everything that is stored. */
  readonly state: State;
  /** Runs and trials that have begun and not ended. */
  readonly open: ReadonlySet<string>;
  /** Ends so far, by the kind of the event: `run.finished`, `run.failed`, `trial.ended done`, ... */
  readonly ends: ReadonlyMap<string, number>;
  readonly stored: (events: readonly Event[]) => void;
}

/**
 * Books without an entry. `folds`: false keeps no state and checks the ends alone, which is all that the
 * memory of a long soak has room for.
 */
export function createWitness(
  onEvent: (event: Event) => void,
  options: { readonly folds: boolean } = { folds: true },
): Witness {
  const open = new Set<string>();
  const ends = new Map<string, number>();
  let state = initialState;

  const begin = (id: string) => {
    assert.ok(!open.has(id), `${id} begins twice`);
    open.add(id);
  };
  /** A thing that was resumed begins again, so what ends must have been open. */
  const end = (id: string, how: string) => {
    assert.ok(open.delete(id), `${id} ends twice: ${how}`);
    ends.set(how, (ends.get(how) ?? 0) + 1);
  };

  function enter(event: Event): void {
    switch (event.kind) {
      case 'trial.proposed':
      // It has a result and goes on.
      case 'trial.promoted':
        begin(event.trialId);
        return;
      case 'run.created':
      case 'trial.attempted':
        begin(event.runId);
        return;
      case 'trial.ended':
        end(event.trialId, `trial.ended ${event.state}`);
        return;
      case 'run.continued':
        begin(event.runId);
        return;
      case 'run.finished':
      case 'run.halted':
      case 'run.failed':
      case 'run.cancelled':
        end(event.runId, event.kind);
    }
  }

  return {
    get state() {
      return state;
    },
    open,
    ends,
    stored(events) {
      for (const event of events) {
        enter(event);
        if (options.folds) {
          const before = state;
          state = evolve(state, event);
          checkEvent(event, before, state);
        }
        onEvent(event);
      }
    },
  };
}
