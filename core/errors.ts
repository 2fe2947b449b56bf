// The one error family. Decides which failures are worth another attempt, how foreign errors become members
// of the family, and which gRPC status each code has. No code matches on message text.

import { systemErrorText } from './system/errno.ts';
import { printableLines } from './text/printable.ts';

/** The closed list of codes, with the meanings of gRPC (https://grpc.io/docs/guides/status-codes). */
export const CODES = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

/** One of these codes. */
export type Code = keyof typeof CODES;

const RETRYABLE: ReadonlySet<Code> = new Set([
  'deadlineExceeded',
  'resourceExhausted',
  'aborted',
  'unavailable',
]);

/** The codes after which the same request may succeed later, unchanged. */
export const isRetryable = (code: Code): boolean => RETRYABLE.has(code);

/** The codes of Node and of libraries, mapped in one place. */
const FOREIGN: Readonly<Record<string, Code>> = {
  ENOENT: 'notFound',
  ENOTDIR: 'notFound',
  ENODEV: 'unavailable',
  ENXIO: 'unavailable',
  EIO: 'unavailable',
  ESTALE: 'unavailable',
  EBUSY: 'unavailable',
  EHOSTDOWN: 'unavailable',
  EHOSTUNREACH: 'unavailable',
  ENETUNREACH: 'unavailable',
  EACCES: 'permissionDenied',
  EPERM: 'permissionDenied',
  EROFS: 'permissionDenied',
  EEXIST: 'alreadyExists',
  ECONNREFUSED: 'unavailable',
  ECONNRESET: 'unavailable',
  ECONNABORTED: 'unavailable',
  EAI_AGAIN: 'unavailable',
  EPIPE: 'unavailable',
  ENOTFOUND: 'unavailable',
  ETIMEDOUT: 'deadlineExceeded',
  EADDRINUSE: 'failedPrecondition',
  EADDRNOTAVAIL: 'failedPrecondition',
  // The path leads to something of another kind, which only another path or another content mends.
  EISDIR: 'failedPrecondition',
  ENOTEMPTY: 'failedPrecondition',
  ELOOP: 'failedPrecondition',
  EXDEV: 'failedPrecondition',
  ETXTBSY: 'failedPrecondition',
  ENAMETOOLONG: 'invalidArgument',
  EINVAL: 'invalidArgument',
  EFBIG: 'resourceExhausted',
  ERR_FS_FILE_TOO_LARGE: 'resourceExhausted',
  ENOSPC: 'resourceExhausted',
  EDQUOT: 'resourceExhausted',
  EMFILE: 'resourceExhausted',
  ENFILE: 'resourceExhausted',
  ENOMEM: 'resourceExhausted',
  // A certificate stays invalid however often it is tried.
  SELF_SIGNED_CERT_IN_CHAIN: 'failedPrecondition',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'failedPrecondition',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'failedPrecondition',
  UNABLE_TO_GET_ISSUER_CERT: 'failedPrecondition',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'failedPrecondition',
  CERT_HAS_EXPIRED: 'failedPrecondition',
  CERT_NOT_YET_VALID: 'failedPrecondition',
  ERR_TLS_CERT_ALTNAME_INVALID: 'failedPrecondition',
  ABORT_ERR: 'cancelled',
  CONNECTION_CLOSED: 'unavailable',
  CONNECTION_REFUSED: 'unavailable',
  TIMEOUT: 'deadlineExceeded',
};

/**
 * Error codes of JetStream's API, https://github.com/nats-io/nats-server/blob/main/server/errors.json; other
 * codes follow from the HTTP-like status.
 */
const JETSTREAM: Readonly<Record<number, Code>> = {
  // The account's, the server's or the stream's limit is reached, or the disk refused the write.
  10002: 'resourceExhausted',
  10023: 'resourceExhausted',
  10028: 'resourceExhausted',
  10047: 'resourceExhausted',
  10077: 'resourceExhausted',
  10120: 'resourceExhausted',
  // The coordinator may create a missing stream or consumer a moment later.
  10014: 'unavailable',
  10059: 'unavailable',
  10037: 'notFound',
  10058: 'failedPrecondition',
  10071: 'aborted',
  10164: 'aborted',
};

/** Errors of the NATS client that carry no code, by the names of their classes. */
const NATS_NAMES: Readonly<Record<string, Code>> = {
  NoRespondersError: 'unavailable',
  RequestError: 'unavailable',
  ConnectionError: 'unavailable',
  ClosedConnectionError: 'unavailable',
  DrainingConnectionError: 'unavailable',
  JetStreamNotEnabled: 'unavailable',
  JetStreamError: 'unavailable',
  JetStreamStatusError: 'unavailable',
  AuthorizationError: 'unauthenticated',
};

/**
 * Characters of a message. It travels as a header of HTTP/2, and may quote what a stranger has written.
 */
const MESSAGE_CHARS_MAX = 16_000;

/**
 * An error of the family: a code for programs, a message for a person, details as data, and the cause. The
 * message is made printable, because it may quote a name out of a foreign file.
 */
export class FleetError extends Error {
  readonly code: Code;
  /** Facts of the failure for programs, as data that can be cloned. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: Code,
    message: string,
    options: { cause?: unknown; details?: Record<string, unknown> } = {},
  ) {
    super(shownMessage(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'FleetError';
    this.code = code;
    this.details = options.details ?? {};
  }

  /** Whether the same request may succeed later; it follows from the code. */
  get retryable(): boolean {
    return isRetryable(this.code);
  }
}

function shownMessage(message: string): string {
  const start = message.length > MESSAGE_CHARS_MAX ? `${message.slice(0, MESSAGE_CHARS_MAX)}…` : message;
  return printableLines(start);
}

/**
 * Makes a member of the family of anything that was caught. Errors of gRPC, NATS and Node keep their meaning;
 * all others are `internal`.
 */
export function toFleetError(caught: unknown, doing?: string): FleetError {
  if (caught instanceof FleetError) {
    if (doing === undefined) return caught;
    return new FleetError(caught.code, `${doing}: ${caught.message}`, {
      cause: caught,
      details: { ...caught.details },
    });
  }
  const denial = denialIn(caught);
  const message =
    (denial && denialText(denial)) ??
    systemErrorText(caught, doing) ??
    (caught instanceof Error ? caught.message : String(caught));
  const errno = ownErrno(caught);
  return new FleetError(
    denial ? 'permissionDenied' : codeOf(caught),
    doing === undefined ? message : `${doing}: ${message}`,
    {
      cause: caught,
      ...(errno === undefined ? {} : { details: { errno } }),
    },
  );
}

/** The error, with what to do at the end of its sentence. */
export function advised(error: FleetError, advice: string): FleetError {
  return new FleetError(error.code, `${error.message}; ${advice}`, { cause: error, details: error.details });
}

/** What the broker did not let a program do. */
export interface Denial {
  readonly operation: 'publish' | 'subscription';
  readonly subject: string;
}

/** A denial as a sentence, with the subject that an administrator has to allow. */
export const denialText = ({ operation, subject }: Denial): string =>
  `the broker does not let this program ${operation === 'publish' ? 'publish' : 'subscribe'} to ${subject}; docs/broker.md lists what each program needs`;

/** The client wraps a denial in the failure of the request that met it. */
function denialIn(caught: unknown): Denial | undefined {
  for (let at = caught; at instanceof Error; at = at.cause) {
    const { name, operation, subject } = at as Partial<Denial> & Error;
    if (name === 'PermissionViolationError' && typeof subject === 'string')
      return { operation: operation === 'subscription' ? operation : 'publish', subject };
  }
  return undefined;
}

/** The operating system's code (`ENOSPC`) of this error or of one of its causes. */
export function errnoOf(error: unknown): string | undefined {
  for (let at = error; typeof at === 'object' && at !== null; at = (at as { cause?: unknown }).cause) {
    // Details cross threads and wires; the cause does not.
    const known = at instanceof FleetError ? at.details.errno : ownErrno(at);
    if (typeof known === 'string') return known;
  }
  return undefined;
}

function ownErrno(caught: unknown): string | undefined {
  const { code, errno } = (caught ?? {}) as { code?: unknown; errno?: unknown };
  return typeof code === 'string' && typeof errno === 'number' && /^E[A-Z0-9]+$/.test(code)
    ? code
    : undefined;
}

function codeOf(caught: unknown): Code {
  if (typeof caught !== 'object' || caught === null) return 'internal';
  const { code, name, status } = caught as { code?: unknown; name?: unknown; status?: unknown };
  if (name === 'JetStreamApiError' || (typeof code === 'number' && code >= 10_000))
    return JETSTREAM[Number(code)] ?? codeOfJetStreamStatus(Number(status));
  if (typeof code === 'number') return codeFromStatus(code);
  if (typeof code === 'string' && FOREIGN[code] !== undefined) return FOREIGN[code];
  if (typeof name === 'string' && NATS_NAMES[name] !== undefined) return NATS_NAMES[name];
  if (name === 'AbortError') return 'cancelled';
  if (name === 'TimeoutError') return 'deadlineExceeded';
  return 'internal';
}

/** Code of an HTTP-like status. 4xx: the server has understood and refused; 408 and 5xx: it is not ready. */
function codeOfJetStreamStatus(status: number): Code {
  if (status === 404) return 'notFound';
  return status === 408 || status >= 500 ? 'unavailable' : 'failedPrecondition';
}

/** gRPC status number to code; unknown numbers are `internal`. */
export function codeFromStatus(status: number): Code {
  for (const [code, value] of Object.entries(CODES)) if (value === status) return code as Code;
  return 'internal';
}
