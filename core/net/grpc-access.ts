// The check of every call of a server: whose token it carries, and whether its role may do that. Decides that
// a refused call never reaches a handler, that many refusals are answered slowly, and that a stream ends when
// its token is not accepted any more. Health checks are exempt, because a kubelet's probe cannot send metadata.

import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { after, systemClock } from '../clock.ts';
import { FleetError } from '../errors.ts';
import { HEALTH_PREFIX } from './grpc-auth.ts';
import { toStatus } from './grpc-status.ts';
import { may, type Principal, principalText, type Refusal, type Role, rolesText, verbOf } from './roles.ts';
import { isRefused, type TokenBook } from './token-book.ts';
import { tokenDigest } from './token-file.ts';

/** A call that was refused. */
export interface RefusedCall {
  /** Name of the method, without its service. */
  readonly method: string;
  readonly reason: Refusal;
  /** Whose token it was, where that is known. */
  readonly principal?: Principal;
}

/** The role of a refused call as a label: `none` where the token is not known. */
export const roleLabel = ({ principal }: RefusedCall): Role | 'none' => principal?.role ?? 'none';

/** The check in front of one server. */
export interface Access {
  readonly interceptor: ServerInterceptor;
  /** Who makes a call, by its metadata as a handler gets them; undefined where no call needs a token. */
  principalOf(metadata: Metadata): Principal | undefined;
  /** Whether the metadata carry a token that is accepted. */
  isKnown(metadata: Metadata): boolean;
  close(): void;
}

/**
 * Refusals of one second that are answered at once. A caller who guesses, or repeats without a pause, waits
 * for the others; no call with a right is slowed.
 */
const PROMPT_REFUSALS = 50;
/** How long the answer of each further one is held back, milliseconds. */
const HELD_BACK_MS = 1_000;

type Judged = { readonly principal: Principal } | (RefusedCall & { readonly error: FleetError });

/** `onRefused` is called for every call that is refused, and must cost little. */
export function createAccess(options: {
  readonly book: TokenBook;
  readonly onRefused?: (refused: RefusedCall) => void;
}): Access {
  const { book, onRefused } = options;
  const principals = new WeakMap<Metadata, Principal>();
  const streams = new Set<OpenStream>();
  const delayOf = pacing();
  const stop = book.onLook(() => {
    for (const { digest, path, end } of [...streams]) {
      const judged = judge(book, digest, path);
      if ('error' in judged) end(judged.error);
    }
  });
  return {
    principalOf: (metadata) => principals.get(metadata),
    isKnown(metadata) {
      const digest = digestIn(metadata);
      return !book.isOpen && digest !== undefined && !isRefused(book.find(digest));
    },
    close() {
      stop();
      streams.clear();
    },
    interceptor: ({ path, requestStream, responseStream }, call) => {
      if (book.isOpen || path.startsWith(HEALTH_PREFIX)) return new ServerInterceptingCall(call);
      let ended = false;
      let stream: OpenStream | undefined;
      let stopWaiting: () => void = () => undefined;
      const end = (error: FleetError) => {
        if (ended) return;
        forget();
        call.sendStatus(toStatus(error));
      };
      const forget = () => {
        ended = true;
        stopWaiting();
        if (stream !== undefined) streams.delete(stream);
      };
      return new ServerInterceptingCall(call, {
        start(next) {
          next({
            onReceiveMetadata(metadata, nextMetadata) {
              const digest = digestIn(metadata);
              const judged = judge(book, digest, path);
              if ('error' in judged) {
                onRefused?.(judged);
                const delayMs = delayOf();
                if (delayMs === 0) end(judged.error);
                else stopWaiting = after(delayMs, () => end(judged.error), { holdsProcess: false });
                return;
              }
              principals.set(metadata, judged.principal);
              if (requestStream || responseStream) {
                stream = { digest, path, end };
                streams.add(stream);
              }
              nextMetadata(metadata);
            },
            onCancel: forget,
          });
        },
        // A handler may write until it has noticed the end; such messages are dropped.
        sendMessage(message, next) {
          if (!ended) next(message);
        },
        sendStatus(status, next) {
          if (ended) return;
          forget();
          next(status);
        },
      });
    },
  };
}

interface OpenStream {
  readonly digest: string | undefined;
  readonly path: string;
  readonly end: (error: FleetError) => void;
}

/** The digest of the token that metadata carry; undefined without one. */
function digestIn(metadata: Metadata): string | undefined {
  const [, token] = /^Bearer (\S+)$/.exec(metadata.get('authorization')[0]?.toString() ?? '') ?? [];
  return token === undefined ? undefined : tokenDigest(token);
}

function judge(book: TokenBook, digest: string | undefined, path: string): Judged {
  const method = path.slice(path.lastIndexOf('/') + 1);
  if (digest === undefined)
    return {
      method,
      reason: 'none',
      error: new FleetError(
        'unauthenticated',
        'this fleet needs a token: send the metadata `authorization: Bearer TOKEN`',
      ),
    };
  const found = book.find(digest);
  if (isRefused(found)) return { method, ...found };
  const verb = verbOf(path);
  if (may(found, verb)) return { principal: found };
  return {
    method,
    reason: 'role',
    principal: found,
    error: new FleetError(
      'permissionDenied',
      `the token ${principalText(found)} may not call ${method}, which takes the role ${rolesText(verb)}`,
    ),
  };
}

/** How long the next refusal is held back, milliseconds. */
function pacing(): () => number {
  let second = 0;
  let count = 0;
  return () => {
    const now = Math.floor(systemClock.monotonic() / 1_000);
    if (now !== second) [second, count] = [now, 0];
    count += 1;
    return count > PROMPT_REFUSALS ? HELD_BACK_MS : 0;
  };
}
