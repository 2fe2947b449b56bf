// How many identities may be held out of a set. Decides that training keeps at least two.

import { FleetError } from '../errors.ts';

/** The number of identities that are left for training. */
export function classesLeft(identities: number, holdout: number): number {
  // Training a classifier needs two classes.
  if (identities < holdout + 2)
    throw new FleetError(
      'invalidArgument',
      `data.holdout: ${identities} identities, of which ${holdout} are to be held out, leave ${Math.max(0, identities - holdout)} for training; at least 2 are needed`,
      { details: { field: 'data.holdout' } },
    );
  return identities - holdout;
}
