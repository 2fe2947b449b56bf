// Handlers of gRPC methods as plain functions: `unary` for one answer, `streaming` for an async iterable of
// messages. Decides what each handler is spared: requests beyond the bounds of the wire are refused before it
// sees them, what it throws becomes a status, and a stream goes at its reader's pace and ends when the reader
// has gone.

import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';
import { assertRequestBounded } from '../text/wire-text.ts';
import { toStatus } from './grpc-status.ts';
import { writeAll } from './grpc-stream.ts';

/**
 * A handler of one request and one answer. `onFailure` is called for every request that fails, whether
 * `handle` threw or the request was refused.
 */
export function unary<Request, Response>(
  handle: (request: Request, call: ServerUnaryCall<Request, Response>) => Response | Promise<Response>,
  onFailure?: () => void,
) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
    // In an async function an error that is thrown at once and one that is thrown later take the same way
    // out.
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

/** A signal that is aborted when the caller has gone or its deadline has passed. */
export function goneSignal(call: {
  readonly cancelled: boolean;
  on(event: 'cancelled', listener: () => void): unknown;
}) {
  const gone = new AbortController();
  if (call.cancelled) gone.abort();
  call.on('cancelled', () => gone.abort());
  return gone.signal;
}

/**
 * A handler of one request and a stream of messages. `signal` is aborted when the reader has gone; then
 * `handle` ends and nothing is reported, since nobody is there to read it.
 */
export function streaming<Request, Response>(
  handle: (
    request: Request,
    signal: AbortSignal,
    call: ServerWritableStream<Request, Response>,
  ) => AsyncIterable<Response>,
) {
  return (call: ServerWritableStream<Request, Response>): void => {
    const gone = goneSignal(call);
    (async () => {
      assertRequestBounded(call.request);
      await writeAll(call, handle(call.request, gone, call));
    })().then(
      () => call.end(),
      (caught) => {
        if (!gone.aborted) call.emit('error', toStatus(caught));
      },
    );
  };
}
