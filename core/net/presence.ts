// Whether a process is still at the broker: it answers there under its own name, and the broker itself says at once when
// nobody of that name is connected. A second witness beside a stream that ended: a cable may break one connection, a
// death ends all. Decides how often the broker is asked; what follows from the answer is the coordinator's.

import { NoRespondersError, RequestError } from '@nats-io/transport-node';
import type { NatsConnection } from './nats.ts';
import { presenceSubject } from './subjects.ts';

export interface Named {
  readonly workerId: string;
  readonly incarnation: string;
}

/** Answers for this process for as long as the connection lives. */
export function answerPresence(connection: NatsConnection, name: Named): void {
  connection.subscribe(presenceSubject(name.workerId, name.incarnation), {
    callback: (error, message) => {
      if (error === null) message.respond();
    },
  });
}

/** A broker sees the end of a connection within milliseconds, but a question may overtake that. */
const ASK_MS = 50;
const ASKS_MAX = 5;

/** true: the broker says that it is not connected. false: it answered, or the broker cannot say. */
export async function isAbsent(connection: NatsConnection, name: Named): Promise<boolean> {
  for (let asked = 0; asked < ASKS_MAX; asked++) {
    try {
      await connection.request(presenceSubject(name.workerId, name.incarnation), undefined, {
        timeout: ASK_MS,
      });
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
