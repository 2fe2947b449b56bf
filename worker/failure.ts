// What a failure of a run means to the coordinator. Decides the cause by error code alone; trouble with the broker or the
// coordinator never gets here, since those calls are repeated until they work.

import type { FleetError } from '../core/errors.ts';

/** The words of RunFailed.cause. */
export type FailureCause = 'infrastructure' | 'out_of_memory' | 'numeric' | 'user';

export function causeOf(error: FleetError): FailureCause {
  switch (error.code) {
    case 'outOfRange':
      return 'numeric';
    case 'resourceExhausted':
      return 'out_of_memory';
    case 'invalidArgument':
    case 'notFound':
    case 'permissionDenied':
    case 'unimplemented':
      // The data or the spec as this worker sees it; another try would see the same.
      return 'user';
    default:
      return 'infrastructure';
  }
}
