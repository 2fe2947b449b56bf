// The one table that ties error codes to gRPC status, used both ways: what a server answers when a handler failed, and
// what a client makes of a failed call. Decides nothing about retries; that follows from the code.

import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { CODES, FleetError, toFleetError } from '../errors.ts';

/** Metadata entry that carries an error's `details` as JSON, so that a program on the other side gets data, not text. */
const DETAILS_KEY = 'pocketfleet-details-bin';

/** Both travel as headers, of which HTTP/2 takes 16 KiB by default; a longer list would replace the sentence by a broken call. */
const MESSAGE_CHARS_MAX = 4000;
const DETAILS_CHARS_MAX = 4000;

/** The status that a server sends for a failure; anything caught is brought into the error family first. */
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

/** What a client caught, in the family, with the server's own sentence and without grpc-js' "3 INVALID_ARGUMENT:" before it. */
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
    // Another server may use the same key for something else; its text still reaches the person.
    return {};
  }
}

/** Name of a status number as the metrics label `grpc_code` wants it: OK, NotFound, InvalidArgument. */
export function statusName(code: number): string {
  const name = status[code] ?? 'UNKNOWN';
  if (name === 'OK') return 'OK';
  return name
    .split('_')
    .map((word) => word[0] + word.slice(1).toLowerCase())
    .join('');
}
