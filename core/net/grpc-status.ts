// The one table between error codes and gRPC status, used both ways: the status of a server when a handler
// failed, and the error of a client when a call failed. Decides what of an error crosses the wire, and how
// much of it.

import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { CODES, FleetError, toFleetError } from '../errors.ts';

/**
 * Metadata entry that carries an error's `details` as JSON, so that a program on the other side gets data,
 * not text.
 */
const DETAILS_KEY = 'pocketfleet-details-bin';

/**
 * Both travel as headers, of which HTTP/2 takes 16 KiB by default: longer ones would break the call and lose
 * the sentence.
 */
const MESSAGE_CHARS_MAX = 4000;
const DETAILS_CHARS_MAX = 4000;

/** The status that a server sends for a failure. Anything that was caught becomes a FleetError first. */
export function toStatus(caught: unknown): Partial<StatusObject> & { code: number; details: string } {
  const error = toFleetError(caught);
  const metadata = new Metadata();
  const details = JSON.stringify(error.details);
  if (details !== '{}' && details.length <= DETAILS_CHARS_MAX)
    metadata.set(DETAILS_KEY, Buffer.from(details));
  const whole = error.message.length <= MESSAGE_CHARS_MAX;
  const message = whole ? error.message : `${error.message.slice(0, MESSAGE_CHARS_MAX)}…`;
  return { code: CODES[error.code], details: message, metadata };
}

/**
 * The error of a failed call as a FleetError: with the server's sentence, without the "3 INVALID_ARGUMENT:"
 * of grpc-js.
 */
export function fromServiceError(caught: unknown, doing?: string): FleetError {
  if (!isServiceError(caught)) return toFleetError(caught, doing);
  const { code } = toFleetError(caught);
  const text = caught.details === '' ? caught.message : caught.details;
  return new FleetError(code, doing === undefined ? text : `${doing}: ${text}`, {
    cause: caught,
    details: detailsOf(caught.metadata),
  });
}

function isServiceError(caught: unknown): caught is ServiceError {
  return (
    caught instanceof Error &&
    typeof (caught as Partial<ServiceError>).code === 'number' &&
    'details' in caught
  );
}

function detailsOf(metadata: Metadata | undefined): Record<string, unknown> {
  const value = metadata?.get(DETAILS_KEY)[0];
  if (value === undefined) return {};
  try {
    const parsed: unknown = JSON.parse(value.toString());
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    // Another server may use the key for something else. The sentence of the error is there without it.
    return {};
  }
}

/**
 * The name of a status number in the form of the metrics label `grpc_code`: OK, NotFound, InvalidArgument.
 */
export function statusName(code: number): string {
  const name = status[code] ?? 'UNKNOWN';
  if (name === 'OK') return 'OK';
  return name
    .split('_')
    .map((word) => word[0] + word.slice(1).toLowerCase())
    .join('');
}
