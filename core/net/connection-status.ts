// Whether a connection to the broker is up, as a call for each change. The client reports it as a stream of
// status messages that ends only with the connection; this module makes it something that can be ended
// before.

import type { QueuedIterator, Status } from '@nats-io/transport-node';
import type { NatsConnection } from './nats.ts';

/**
 * Calls `onChange` when the connection is lost and when it is back, until the returned function is called.
 */
export function followConnection(
  connection: Pick<NatsConnection, 'status'>,
  onChange: (isUp: boolean) => void,
): () => void {
  const statuses = connection.status();
  void (async () => {
    for await (const { type } of statuses)
      if (type === 'disconnect' || type === 'reconnect') onChange(type === 'reconnect');
  })();
  // `return()` of the iterator would wait for one more status; `stop` also takes the stream off the client's
  // list of listeners.
  return () => {
    if (isStoppable(statuses)) statuses.stop();
  };
}

function isStoppable(statuses: AsyncIterable<Status>): statuses is QueuedIterator<Status> {
  return 'stop' in statuses && typeof statuses.stop === 'function';
}
