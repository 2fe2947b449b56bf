// What happens to a connection to the broker, as calls: that it is up or down, and what the broker did not let
// the program do. The client reports it as a stream of status messages that ends only with the connection; this
// module makes it something that can be ended before. And what becomes of requests when it is lost.

import type { Msg, NatsConnection, QueuedIterator, Status } from '@nats-io/transport-node';
import { after, systemClock } from '../clock.ts';
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
 * Makes requests of this connection follow its fate. One that was on its way when the connection was lost is
 * never answered: it fails with `unavailable` at once, not at the end of its time. One that is made meanwhile
 * leaves when the connection is back; the client itself forgets it at its next dial.
 */
export function followWithRequests(connection: Pick<NatsConnection, 'status' | 'request' | 'closed'>): void {
  const ask = connection.request.bind(connection);
  const underWay = new Set<(error: FleetError) => void>();
  const postponed = new Set<() => void>();
  let isUp = true;
  connection.request = (subject, payload, options) =>
    new Promise<Msg>((resolve, reject) => {
      const leave = (timeout: number) => {
        underWay.add(reject);
        ask(subject, payload, { ...options, timeout })
          .then(resolve, reject)
          .finally(() => underWay.delete(reject));
      };
      const timeout = options?.timeout ?? REQUEST_MS;
      if (isUp) return leave(timeout);
      const sinceMs = systemClock.monotonic();
      const stopTimer = after(timeout, () => {
        postponed.delete(back);
        reject(new FleetError('unavailable', `the broker was away for ${timeout} ms`));
      });
      const back = () => {
        stopTimer();
        leave(Math.max(1, Math.ceil(timeout - (systemClock.monotonic() - sinceMs))));
      };
      postponed.add(back);
    });
  const goOn = () => {
    isUp = true;
    const waiting = [...postponed];
    postponed.clear();
    for (const back of waiting) back();
  };
  const fail = () => {
    isUp = false;
    const failed = [...underWay];
    underWay.clear();
    for (const reject of failed)
      reject(new FleetError('unavailable', 'the connection to the broker was lost before it answered'));
  };
  followConnection(
    connection,
    (isUpNow) => (isUpNow ? goOn() : fail()),
    () => undefined,
  );
  // The client refuses whatever is asked of a connection that was closed.
  void connection.closed().then(goOn);
}

/** How long the client waits for an answer where the caller gives no time, milliseconds. */
const REQUEST_MS = 1_000;

function isStoppable(statuses: AsyncIterable<Status>): statuses is QueuedIterator<Status> {
  return 'stop' in statuses && typeof statuses.stop === 'function';
}
