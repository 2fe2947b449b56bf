// Bearer tokens on gRPC: the client puts one into every call's metadata, the server refuses calls without it.
// Health checks are exempt, because a kubelet's probe cannot send metadata. An empty token switches
// authentication off.

import { createHash, timingSafeEqual } from 'node:crypto';
import { InterceptingCall, type Interceptor, type Metadata } from '@grpc/grpc-js';
import { FleetError } from '../errors.ts';

/** Paths of the methods that need no token. */
export const HEALTH_PREFIX = '/grpc.health.v1.Health/';

/**
 * Adds `authorization: Bearer TOKEN` to each call of a client. It is an interceptor because grpc-js refuses
 * call credentials on a channel without TLS.
 */
export function bearerInterceptor(token: string): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        if (token !== '') metadata.set('authorization', `Bearer ${token}`);
        next(metadata, listener);
      },
    });
}

/** The refusal of a call, or undefined when it may go on. */
export function refusalOf(options: {
  token: string;
  path: string;
  metadata: Metadata;
}): FleetError | undefined {
  if (options.token === '' || options.path.startsWith(HEALTH_PREFIX)) return undefined;
  if (options.metadata.get('authorization')[0] === undefined)
    return new FleetError(
      'unauthenticated',
      'this fleet needs a token: send the metadata `authorization: Bearer TOKEN`',
    );
  if (isAuthentic(options.token, options.metadata)) return undefined;
  return new FleetError('unauthenticated', 'the token is not the one of this fleet');
}

/** Whether the metadata carry the token. */
export function isAuthentic(token: string, metadata: Metadata): boolean {
  const given = metadata.get('authorization')[0];
  return given !== undefined && equalInConstantTime(given.toString(), `Bearer ${token}`);
}

/** Compares digests: the time taken depends neither on the length nor on the first byte that differs. */
function equalInConstantTime(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
