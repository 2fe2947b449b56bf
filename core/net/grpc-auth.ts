// Bearer tokens on the client's side of gRPC: one goes into every call's metadata. An empty token is not sent.

import { InterceptingCall, type Interceptor } from '@grpc/grpc-js';
import type { TokenSource } from './token-source.ts';

/** Paths of the methods that need no token. */
export const HEALTH_PREFIX = '/grpc.health.v1.Health/';

/**
 * Adds `authorization: Bearer TOKEN` to each call of a client. It is an interceptor because grpc-js refuses
 * call credentials on a channel without TLS.
 */
export function bearerInterceptor(token: string | TokenSource): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        const sent = typeof token === 'string' ? token : token();
        if (sent !== '') metadata.set('authorization', `Bearer ${sent}`);
        next(metadata, listener);
      },
    });
}
