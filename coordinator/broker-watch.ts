// Whether the broker is there, and since when. Without it nothing can be decided: the coordinator is not
// ready, nobody is blamed for silence, and the store is not looked at.

import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/log.ts';
import { followConnection } from '../core/net/connection-status.ts';
import type { NatsConnection } from '../core/net/nats.ts';

/** The broker as of now; both fields change while it is watched. */
export interface BrokerWatch {
  readonly connected: boolean;
  /** When the present connection began, on the monotonic clock, milliseconds. */
  readonly sinceMs: number;
  /** Calls the listener at once, and after each change. */
  onChange(listener: (connected: boolean) => void): void;
  /** Ends the watch: no listener is called any more. */
  close(): void;
}

/** Watches a connection that is up. */
export function watchBroker(options: {
  readonly connection: Pick<NatsConnection, 'status'>;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly onReconnect: () => void;
}): BrokerWatch {
  const { connection, clock, log } = options;
  const listeners: ((connected: boolean) => void)[] = [];
  let connected = true;
  let sinceMs = clock.monotonic();
  const change = (isUp: boolean) => {
    if (isUp) {
      log.info('the broker is back');
      options.onReconnect();
      if (!connected) sinceMs = clock.monotonic();
    } else log.warn('the broker is away');
    connected = isUp;
    for (const listener of listeners) listener(connected);
  };
  const close = followConnection(connection, change, (error) =>
    log.error({ code: error.code }, error.message),
  );
  return {
    get connected() {
      return connected;
    },
    get sinceMs() {
      return sinceMs;
    },
    onChange(listener) {
      listeners.push(listener);
      listener(connected);
    },
    close,
  };
}
