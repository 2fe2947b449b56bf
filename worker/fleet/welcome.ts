// The names that a welcome gives to a worker. Decides that a worker belongs to one journal for its whole life:
// what it holds and stores is named by it.

import { FleetError } from '../../core/errors.ts';
import { type Names, namesOf } from '../../core/net/subjects.ts';
import type { Welcome } from '../../proto/gen/pocketfleet/v1/worker.ts';

/**
 * The names of the fleet that this worker is welcome in; `before`: those of its first welcome. Throws
 * `failedPrecondition` when they are others now, or when there are none.
 */
export function namesIn({ fleet, names }: Welcome, before: Names | undefined): Names {
  if (names === undefined)
    throw new FleetError(
      'failedPrecondition',
      `the coordinator of fleet ${fleet} gives no names for the broker: it is of an older release than this worker; bring it up to date first`,
    );
  if (before === undefined) return namesOf(names);
  const [was, is] = [before.prefixes, names];
  if (was.streams === is.streams && was.subjects === is.subjects && was.keys === is.keys) return before;
  throw new FleetError(
    'failedPrecondition',
    `fleet ${fleet} has another journal (${is.subjects}${is.keys}) than when this worker began (${was.subjects}${was.keys}); this process ends, and a new one belongs to that journal`,
  );
}
