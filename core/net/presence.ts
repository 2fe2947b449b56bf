// Whether a process is still connected to the broker. A process answers requests under a subject of its own,
// and the broker itself reports at once when no such subscriber exists. This is second evidence beside a
// stream that ended: a broken cable may end one connection, the end of a process ends all of them. Decides
// how often the broker is asked.

import { NoRespondersError, RequestError } from '@nats-io/transport-node';
import type { NatsConnection } from './nats.ts';
import type { Names } from './subjects.ts';

/** One process of a worker: a new process has a new incarnation. */
export interface Process {
  readonly workerId: string;
  readonly incarnation: string;
}

/** Answers requests about this process for as long as the connection exists. */
export function answerPresence(connection: NatsConnection, names: Names, process: Process): void {
  connection.subscribe(names.presenceSubject(process.workerId, process.incarnation), {
    callback: (error, message) => {
      if (error === null) message.respond();
    },
  });
}

/** A broker notices the end of a connection within milliseconds, but a request may overtake that. */
const ASK_MS = 50;
const ASKS_MAX = 5;

/**
 * True: the broker reports that no such process is connected. False: the process answered, or the broker did
 * not.
 */
export async function isAbsent(connection: NatsConnection, names: Names, process: Process): Promise<boolean> {
  const subject = names.presenceSubject(process.workerId, process.incarnation);
  for (let asked = 0; asked < ASKS_MAX; asked++) {
    try {
      await connection.request(subject, undefined, { timeout: ASK_MS });
      return false;
    } catch (caught) {
      if (isNobody(caught)) return true;
      if (connection.isClosed()) return false;
    }
  }
  return false;
}

function isNobody(caught: unknown): boolean {
  return caught instanceof NoRespondersError || (caught instanceof RequestError && caught.isNoResponders());
}
