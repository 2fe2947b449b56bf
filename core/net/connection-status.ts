// What happens to a connection to the broker, as calls: that it is up or down, and what the broker did not let
// the program do. The client reports it as a stream of status messages that ends only with the connection; this
// module makes it something that can be ended before. And what becomes of requests when it is lost.

import type { Msg, NatsConnection, QueuedIterator, Status } from '@nats-io/transport-node';
import { FleetError, toFleetError } from '../errors.ts';

/** So many refusals are known as reported. */
const DENIALS_MAX = 1_000;

/**
 * Calls `onChange` when the connection is lost and when it is back, and `onDenied` with the first refusal
 * of each subject, until the returned function is called.
 */
export function followConnection(
  connection: Pick<NatsConnection, 'status'>,
  onChange: (isUp: boolean) => void,
  onDenied: (error: FleetError) => void,
): () => void {
  const statuses = connection.status();
  const denied = new Set<string>();
  void (async () => {
    for await (const status of statuses) {
      if (status.type === 'disconnect' || status.type === 'reconnect') onChange(status.type === 'reconnect');
      if (status.type !== 'error') continue;
      const error = toFleetError(status.error);
      if (error.code !== 'permissionDenied' || denied.has(error.message)) continue;
      // Subjects with the ids of runs are many.
      if (denied.size === DENIALS_MAX) denied.clear();
      denied.add(error.message);
      onDenied(error);
    }
  })();
  // `return()` of the iterator would wait for one more status; `stop` also takes the stream off the client's
  // list of listeners.
  return () => {
    if (isStoppable(statuses)) statuses.stop();
  };
}

/**
 * Makes requests of this connection fail with `unavailable` as soon as it is lost. Those that were on their way
 * are never answered, and whoever asks again and again would find out only at the end of the time for each.
 */
export function failRequestsOnLoss(connection: Pick<NatsConnection, 'status' | 'request'>): void {
  const waiting = new Set<(error: FleetError) => void>();
  const ask = connection.request.bind(connection);
  connection.request = (...request) =>
    new Promise<Msg>((resolve, reject) => {
      waiting.add(reject);
      ask(...request)
        .then(resolve, reject)
        .finally(() => waiting.delete(reject));
    });
  followConnection(
    connection,
    (isUp) => {
      if (isUp) return;
      const failed = [...waiting];
      waiting.clear();
      for (const fail of failed)
        fail(new FleetError('unavailable', 'the connection to the broker was lost before it answered'));
    },
    () => undefined,
  );
}

function isStoppable(statuses: AsyncIterable<Status>): statuses is QueuedIterator<Status> {
  return 'stop' in statuses && typeof statuses.stop === 'function';
}
