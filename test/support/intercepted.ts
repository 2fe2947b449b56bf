// A connection to a real broker, on which something happens ahead of each request: another writer, or its end.

import type { NatsConnection } from '../../core/net/nats.ts';

/** The connection, on which `before` happens ahead of each request. */
export function intercepted(
  target: NatsConnection,
  before: (subject: string) => Promise<void>,
): NatsConnection {
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name);
      if (typeof value !== 'function') return value;
      if (name !== 'request') return value.bind(object);
      return async (subject: string, ...rest: unknown[]) => {
        await before(subject);
        return Reflect.apply(value, object, [subject, ...rest]);
      };
    },
  });
}
