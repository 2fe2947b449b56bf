// What a failure of a run means to the coordinator. Decides the cause from the error's code and from the
// operating system's error number. Trouble with the broker or the coordinator never gets here, since those
// calls are repeated until they work.
//
// Data and spec were checked when the run was submitted. A file that is not there, may not be read or cannot
// be written is therefore a fault of a place: of this machine, of a mount, of a disk. Another machine, or
// this one later, may go on.

import { errnoOf, FleetError } from '../../core/errors.ts';

/** Values of RunFailed.cause. */
export type FailureCause = 'infrastructure' | 'out_of_memory' | 'numeric' | 'user';

export interface Failure {
  readonly cause: FailureCause;
  /** Whether what failed is a file, device or mount of this machine and not the run. */
  readonly ofPlace: boolean;
}

export function failureOf(error: FleetError): Failure {
  const errno = errnoOf(error);
  if (errno === 'ENOMEM') return { cause: 'out_of_memory', ofPlace: false };
  if (errno !== undefined || error.details.ofPlace === true)
    return { cause: 'infrastructure', ofPlace: true };
  return { cause: causeOfCode(error), ofPlace: false };
}

/** What a report of the failure says beside its sentence. */
export interface FailureFacts {
  /** What ceased to be finite first, and its value. */
  readonly tensor: string | undefined;
  readonly value: number | undefined;
  /** Bytes that were asked for at once and refused. */
  readonly bytesWanted: number | undefined;
}

/** The facts that the parts of a step put into the details of their errors. */
export function factsOf({ details }: FleetError): FailureFacts {
  const { tensor, value, bytes } = details;
  return {
    tensor: typeof tensor === 'string' ? tensor : undefined,
    value: typeof value === 'number' ? value : undefined,
    bytesWanted: typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined,
  };
}

/** Marks the failure of something that was in order when the run was submitted as a fault of this place. */
export function ofThisPlace(error: FleetError, doing: string): FleetError {
  return new FleetError(error.code, `${doing}: ${error.message}`, {
    cause: error,
    details: { ...error.details, ofPlace: true },
  });
}

function causeOfCode(error: FleetError): FailureCause {
  switch (error.code) {
    case 'outOfRange':
      return 'numeric';
    case 'resourceExhausted':
      return 'out_of_memory';
    case 'invalidArgument':
    case 'unimplemented':
      // The data or the spec; another try would see the same.
      return 'user';
    default:
      return 'infrastructure';
  }
}
