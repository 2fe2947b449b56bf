// The run that a call names: whole, with its spec, and where its result came from elsewhere, the run that computed it.

import { FleetError } from '../../core/errors.ts';
import type { Driver } from '../journal/driver.ts';
import type { Journal } from '../journal/journal.ts';
import type { Told } from '../journal/stories.ts';
import type { Event } from '../model/events.ts';
import { idOf } from '../model/find.ts';
import { restoreRun } from '../model/restore.ts';
import { originOf } from '../model/results.ts';
import { type SpecifiedRun, withSpec } from '../model/spec-of.ts';
import { isWhole, runWith, type State } from '../model/state.ts';

/** What a run is found in. */
export interface RunParts {
  readonly driver: Pick<Driver, 'state'>;
  readonly journal: Pick<Journal, 'story'>;
}

/** The run that is meant; one that has left memory is read back from the journal. */
export async function runNamed(parts: RunParts, idOrName: string): Promise<SpecifiedRun> {
  const { state } = parts.driver;
  const known = runWith(state, idOf(state, 'run', idOrName))!;
  const run = isWhole(known)
    ? known
    : await restoreRun(state, known, eventsOf(parts.journal.story(known.id)));
  return withSpec(state, run);
}

/**
 * As runNamed, but the run that has computed the result and stored what belongs to it, where the one that is named has
 * taken it from there.
 */
export async function computedRun(parts: RunParts, idOrName: string): Promise<SpecifiedRun> {
  const { state } = parts.driver;
  const id = idOf(state, 'run', idOrName);
  return runNamed(parts, storedUnder(state, id));
}

/** The run under whose id is stored what belongs to this one. */
export function storedUnder(state: State, id: string): string {
  const origin = originOf(state, id);
  if (runWith(state, origin) !== undefined) return origin;
  throw new FleetError(
    'notFound',
    `${id} took the result of ${origin}, which was removed with all that it had stored; submit it with --fresh (reuse: none) to compute it`,
  );
}

async function* eventsOf(story: AsyncIterable<Told>): AsyncGenerator<Event> {
  for await (const { event } of story) yield event;
}
