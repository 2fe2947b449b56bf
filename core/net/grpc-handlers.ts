// Handlers of gRPC methods as plain async functions: an answer or an error of the family, a stream that waits for a slow reader and
// ends when its reader has gone.

import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';
import { assertRequestBounded } from '../text/wire-text.ts';
import { toStatus } from './grpc-status.ts';
import { writeAll } from './grpc-stream.ts';

export function unary<Request, Response>(
  handle: (request: Request, call: ServerUnaryCall<Request, Response>) => Response | Promise<Response>,
  onFailure?: () => void,
) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
    // An async wrapper, so that what is thrown at once and what is rejected later leave by the same door.
    (async () => {
      assertRequestBounded(call.request);
      return handle(call.request, call);
    })().then(
      (response) => callback(null, response),
      (caught) => {
        onFailure?.();
        callback(toStatus(caught));
      },
    );
  };
}

/** Aborted when the caller has gone or its deadline has passed. */
export function goneSignal(call: {
  readonly cancelled: boolean;
  on(event: 'cancelled', listener: () => void): unknown;
}) {
  const gone = new AbortController();
  if (call.cancelled) gone.abort();
  call.on('cancelled', () => gone.abort());
  return gone.signal;
}

export function streaming<Request, Response>(
  handle: (request: Request, signal: AbortSignal) => AsyncIterable<Response>,
) {
  return (call: ServerWritableStream<Request, Response>): void => {
    const gone = goneSignal(call);
    (async () => {
      assertRequestBounded(call.request);
      await writeAll(call, handle(call.request, gone));
    })().then(
      () => call.end(),
      (caught) => {
        if (!gone.aborted) call.emit('error', toStatus(caught));
      },
    );
  };
}
