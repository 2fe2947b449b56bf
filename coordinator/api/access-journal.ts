// What the journal gets to know of rights: tokens that come and go, and calls that were refused. Decides how
// often: changes of the file of tokens once they are seen, refused calls together once a minute, so that a flood
// of them costs one bounded event.

import { after, type Clock } from '../../core/clock.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { RefusedCall } from '../../core/net/grpc-access.ts';
import type { Listed, TokenBook } from '../../core/net/token-book.ts';
import { fingerprintOf } from '../../core/net/token-file.ts';
import type { ListedToken } from '../decisions/inputs.ts';
import type { Driver } from '../journal/driver.ts';
import type { RefusedCalls } from '../model/events.ts';

/** The part of the journal that is about rights. */
export interface AccessJournal {
  /** A call was refused. */
  refused(call: RefusedCall): void;
  close(): void;
}

/** How long refusals are gathered before the first event, milliseconds: a burst is one event. */
const GATHER_MS = 1_000;
/** How long after an event the next one comes at the earliest, milliseconds. */
const PAUSE_MS = 60_000;
/** Different refusals of one event; more are counted alone. */
const KINDS_MAX = 16;

/** Writes through `driver`, where this coordinator leads; elsewhere the log alone has it. */
export function createAccessJournal(parts: {
  readonly driver: Pick<Driver, 'leads' | 'submit'>;
  readonly book: TokenBook;
  readonly clock: Clock;
  readonly log: Logger;
}): AccessJournal {
  const { driver, book, clock, log } = parts;
  const gathered = new Map<string, RefusedCalls>();
  let others = 0;
  let stopTimer: (() => void) | undefined;
  let flushedMs = Number.NEGATIVE_INFINITY;
  const flush = () => {
    stopTimer = undefined;
    flushedMs = clock.monotonic();
    const refusals = [...gathered.values()];
    const input = { kind: 'refusals', refusals, others } as const;
    gathered.clear();
    others = 0;
    driver.submit(input).catch((caught) => {
      log.warn({ refusals, others: input.others }, `calls were refused: ${toFleetError(caught).message}`);
    });
  };
  /** What the journal was given last, and whether that is on disk. */
  let noted: readonly Listed[] | undefined;
  const note = () => {
    if (!driver.leads) {
      // Who leads next may know less.
      noted = undefined;
      return;
    }
    if (noted === book.listed) return;
    const listed = book.listed;
    noted = listed;
    driver.submit({ kind: 'tokens', tokens: listed.map(listedToken) }).catch((caught) => {
      noted = undefined;
      log.debug(`tokens are not in the journal yet: ${toFleetError(caught).message}`);
    });
  };
  const stopLooking = book.onLook(note);
  return {
    refused({ method, reason, principal }) {
      const key = `${principal?.fingerprint ?? ''} ${reason} ${method}`;
      const before = gathered.get(key);
      if (before === undefined && gathered.size >= KINDS_MAX) others += 1;
      else
        gathered.set(key, {
          ...(principal === undefined ? {} : { token: principal }),
          ...{ method, reason, count: (before?.count ?? 0) + 1 },
        });
      const waitMs = Math.max(GATHER_MS, flushedMs + PAUSE_MS - clock.monotonic());
      stopTimer ??= after(waitMs, flush, { holdsProcess: false });
    },
    close() {
      stopLooking();
      stopTimer?.();
    },
  };
}

function listedToken({ name, role, sha256, createdBy, expires, revoked, revokedBy }: Listed): ListedToken {
  return {
    ...{ name, role, fingerprint: fingerprintOf(sha256), createdBy },
    ...(expires === undefined ? {} : { expires }),
    isRevoked: revoked !== undefined,
    ...(revokedBy === undefined ? {} : { revokedBy }),
  };
}
