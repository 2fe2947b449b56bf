// What a person's word for a thing means: an id, or a name where one thing alone has it. Pure. Every call
// that takes an id resolves it here, so that names work wherever ids do. The fold keeps the names
// (state.names), so that finding costs the same however much has ended.

import { FleetError } from '../../core/errors.ts';
import { childName } from '../../core/spec/common.ts';
import { type Meanings, NOUNS, type Noun, onlyOne } from '../../core/text/naming.ts';
import { lookup, type PersistentMap, withEntry, withoutEntry } from './persistent-map.ts';
import { numberAt } from './roll.ts';
import {
  type EndedRun,
  type Namesakes,
  type PlanState,
  planWith,
  type RunState,
  runWith,
  type State,
  type SweepState,
  sweepOf,
  sweepWith,
  type TrialState,
  trialOf,
  trialWith,
  workerWith,
} from './state.ts';
import type { Edit } from './table.ts';

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
  edit?: Edit,
): PersistentMap<Namesakes> {
  const one = withName(names, `${thing.noun} ${thing.name}`, thing.id, edit);
  return thing.noun === 'sweep' ? withName(one, candidatesKey(thing.name), thing.id, edit) : one;
}

/** The names with one thing less that is called so; of many namesakes those that are not listed stay unlisted. */
export function unnamed(
  names: PersistentMap<Namesakes>,
  thing: { readonly noun: Noun; readonly name: string; readonly id: string },
  edit?: Edit,
): PersistentMap<Namesakes> {
  const one = withoutName(names, `${thing.noun} ${thing.name}`, thing.id, edit);
  return thing.noun === 'sweep' ? withoutName(one, candidatesKey(thing.name), thing.id, edit) : one;
}

function withoutName(names: PersistentMap<Namesakes>, key: string, id: string, edit?: Edit) {
  const known = lookup(names, key);
  if (known === undefined) return names;
  const count = known.count - 1;
  if (count <= 0) return withoutEntry(names, key, edit);
  return withEntry(names, key, { count, newest: known.newest.filter((one) => one !== id) }, edit);
}

function withName(names: PersistentMap<Namesakes>, key: string, id: string, edit?: Edit) {
  const { count, newest } = lookup(names, key) ?? { count: 0, newest: [] };
  return withEntry(names, key, { count: count + 1, newest: [id, ...newest].slice(0, NEWEST_MAX) }, edit);
}

/** Characters of a sweep's name that the names of all of its candidates' runs begin with. */
const STEM_CHARS = 48;
const candidatesKey = (name: string): string => `candidates ${name.slice(0, STEM_CHARS)}`;

/**
 * Runs of candidates with this name, newest first. Their names are made of the sweep's and the trial's
 * number, so that they need not be kept one by one.
 */
function candidatesNamed(state: State, name: string): string[] {
  const digits = /-([1-9]\d{0,8})$/.exec(name)?.[1];
  if (digits === undefined) return [];
  const stem = name.slice(0, -digits.length - 1);
  const { newest = [] } = lookup(state.names, candidatesKey(stem)) ?? {};
  return newest.flatMap((id) => {
    const sweep = sweepWith(state, id);
    if (sweep === undefined || childName(sweep.name, digits) !== name) return [];
    if (Number(digits) > sweep.trialIds.size) return [];
    const trial = trialWith(state, `trial-${numberAt(sweep.trialIds, Number(digits))}`);
    return trial === undefined ? [] : [...trial.runIds].reverse();
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
  const candidates = nouns.includes('run') ? candidatesNamed(state, idOrName) : [];
  return {
    found: [
      ...namesakes.flatMap(({ noun, newest = [] }) => newest.flatMap((id) => byId(state, noun, id) ?? [])),
      ...candidates.flatMap((id) => byId(state, 'run', id) ?? []),
    ],
    total: namesakes.reduce((sum, { count = 0 }) => sum + count, candidates.length),
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
export function workWithId(
  state: State,
  id: string,
): PlanState | SweepState | TrialState | RunState | EndedRun {
  const work = planWith(state, id) ?? sweepWith(state, id) ?? trialWith(state, id) ?? runWith(state, id);
  if (work === undefined)
    throw new FleetError('notFound', `${JSON.stringify(id)} is no plan, sweep, trial or run of this fleet`);
  return work;
}

/** The id of the one thing of this noun that is meant. */
export function idOf(state: State, noun: Noun, idOrName: string): string {
  return theOne(state, idOrName, [noun]).id;
}

function byId(state: State, noun: Noun, id: string): Found | undefined {
  const thing = { plan: planWith, sweep: sweepWith, trial: trialWith, run: runWith, worker: workerWith }[
    noun
  ](state, id);
  return thing && { kind: noun, id, name: nameOf(state, thing), state: thing.state };
}

function nameOf(state: State, thing: object): string {
  if ('name' in thing) return String(thing.name);
  return 'trialId' in thing ? nameOfRun(state, thing as EndedRun) : '';
}

/** The name of a run, which a summary does not carry. */
function nameOfRun(state: State, run: RunState | EndedRun): string {
  if ('name' in run) return run.name;
  return childName(sweepOf(state, run.sweepId).name, String(trialOf(state, run.trialId).number));
}
