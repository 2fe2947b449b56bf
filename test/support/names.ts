// The names of the fleet on a test's broker.

import { findNames } from '../../coordinator/journal/fleet-names.ts';
import { type Journal, openJournal } from '../../coordinator/journal/journal.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import { type Names, namesOf, prefixesOf } from '../../core/net/subjects.ts';

/** For a broker without a coordinator. */
export const NAMES: Names = namesOf(prefixesOf('local', 'test'));

/**
 * Of the fleet that a coordinator has begun on this broker, or begins later; `local` is what a coordinator
 * calls its fleet where nothing else is configured.
 */
export const namesOn = (connection: NatsConnection, fleet = 'local'): Promise<Names> =>
  findNames({ connection, fleet });

/** The journal of a fleet with these names; `change` replaces what openJournal is given. */
export const journalOn = (
  connection: NatsConnection,
  change: Partial<Parameters<typeof openJournal>[0]> = {},
): Journal => openJournal({ connection, names: NAMES, fleet: 'local', version: 'test', ...change });
