// What a person's word for a thing means: an id, or a name where one thing alone has it. Pure. Every call
// that takes an id resolves it here, so that names work wherever ids do. The fold keeps the names
// (state.names), so that finding costs the same however much has ended.

import { FleetError } from '../../core/errors.ts';
import { type Meanings, NOUNS, type Noun, onlyOne } from '../../core/text/naming.ts';
import { lookup, type PersistentMap, withEntry } from './persistent-map.ts';
import type { Namesakes, PlanState, RunState, State, SweepState, TrialState } from './state.ts';

/** A thing that a word means. */
export interface Found {
  readonly kind: Noun;
  readonly id: string;
  /** Empty for nouns that have ids alone. */
  readonly name: string;
  readonly state: string;
}

/** Things of one noun with the same name that are listed; more are only counted. */
const NEWEST_MAX = 20;

/** The names with one more thing that is called so. */
export function named(
  names: PersistentMap<Namesakes>,
  thing: { readonly noun: Noun; readonly name: string; readonly id: string },
): PersistentMap<Namesakes> {
  const key = `${thing.noun} ${thing.name}`;
  const { count, newest } = lookup(names, key) ?? { count: 0, newest: [] };
  return withEntry(names, key, {
    count: count + 1,
    newest: [thing.id, ...newest].slice(0, NEWEST_MAX),
  });
}

/**
 * The one thing of these nouns that has the id, otherwise all that have the name, newest first within a noun.
 */
export function find(state: State, idOrName: string, nouns: readonly Noun[] = NOUNS): Meanings<Found> {
  for (const noun of nouns) {
    const thing = byId(state, noun, idOrName);
    if (thing !== undefined) return { found: [thing], total: 1 };
  }
  const namesakes = nouns.map((noun) => ({ noun, ...lookup(state.names, `${noun} ${idOrName}`) }));
  return {
    found: namesakes.flatMap(({ noun, newest = [] }) => newest.map((id) => byId(state, noun, id)!)),
    total: namesakes.reduce((sum, { count = 0 }) => sum + count, 0),
  };
}

/** The one thing that is meant, or the refusal. */
export function theOne(state: State, idOrName: string, nouns: readonly Noun[]): Found {
  const meant = find(state, idOrName, nouns);
  return onlyOne(meant, idOrName, nouns, meant.total === 0 ? find(state, idOrName).found : []);
}

/**
 * The work with this id, which a request names to end it or to go on with it; refuses an id that names none.
 */
export function workWithId(state: State, id: string): PlanState | SweepState | TrialState | RunState {
  const { plans, sweeps, trials, runs } = state;
  const work = lookup(plans, id) ?? lookup(sweeps, id) ?? lookup(trials, id) ?? lookup(runs, id);
  if (work === undefined)
    throw new FleetError('notFound', `${JSON.stringify(id)} is no plan, sweep, trial or run of this fleet`);
  return work;
}

/** The id of the one thing of this noun that is meant. */
export function idOf(state: State, noun: Noun, idOrName: string): string {
  return theOne(state, idOrName, [noun]).id;
}

function byId(state: State, noun: Noun, id: string): Found | undefined {
  if (noun === 'worker') {
    const worker = state.workers.get(id);
    return worker && { kind: noun, id, name: '', state: worker.state };
  }
  if (noun === 'trial') {
    const trial = lookup(state.trials, id);
    return trial && { kind: noun, id, name: '', state: trial.state };
  }
  const table = { plan: state.plans, sweep: state.sweeps, run: state.runs }[noun];
  const thing = lookup(table as PersistentMap<{ readonly name: string; readonly state: string }>, id);
  return thing && { kind: noun, id, name: thing.name, state: thing.state };
}
