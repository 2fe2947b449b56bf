// How a server that stops ends the calls it still has: with UNAVAILABLE, which every client takes as "try again". Without it
// a call is cut off, which gRPC reports as CANCELLED, and a client cannot tell that from its own wish to stop.

import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { FleetError } from '../errors.ts';
import { toStatus } from './grpc-status.ts';

export interface Drain {
  /** Every call passes it; a call that begins after `endStreams` is refused as the open ones were. */
  readonly interceptor: ServerInterceptor;
  /** Ends the calls that would go on for ever: those that stream. */
  endStreams(): void;
  /** Ends the others too. */
  endAll(): void;
}

interface OpenCall {
  readonly streams: boolean;
  end(): void;
}

export function createDrain(reason: string): Drain {
  const open = new Set<OpenCall>();
  let draining = false;
  const endWhere = (chosen: (call: OpenCall) => boolean) => {
    draining = true;
    for (const call of [...open]) if (chosen(call)) call.end();
  };
  return {
    interceptor: (method, nextCall) => {
      let ended = false;
      const call: OpenCall = {
        streams: method.requestStream || method.responseStream,
        end: () => intercepting.sendStatus(toStatus(new FleetError('unavailable', reason))),
      };
      const forget = () => {
        ended = true;
        open.delete(call);
      };
      const intercepting = new ServerInterceptingCall(nextCall, {
        start: (next) => {
          open.add(call);
          next({ onCancel: forget });
          if (draining) call.end();
        },
        // The handler may still write until it hears of the end.
        sendMessage: (message, next) => {
          if (!ended) next(message);
        },
        sendStatus: (status, next) => {
          if (ended) return;
          forget();
          next(status);
        },
      });
      return intercepting;
    },
    endStreams: () => endWhere((call) => call.streams),
    endAll: () => endWhere(() => true),
  };
}
