// How a server that stops ends the calls that are open: with UNAVAILABLE, which every client takes as "try
// again". Without it a call is cut off, which gRPC reports as CANCELLED, and a client cannot distinguish that
// from a cancel of its own.

import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { FleetError } from '../errors.ts';
import { toStatus } from './grpc-status.ts';

/** The open calls of one server. */
export interface Drain {
  /** Belongs in front of every call. A call that begins after `endStreams` ends like the open ones. */
  readonly interceptor: ServerInterceptor;
  /** Ends the calls that stream, which may have no end of their own. */
  endStreams(): void;
  /** Ends all other calls too. */
  endAll(): void;
}

interface OpenCall {
  readonly streams: boolean;
  end(): void;
}

/** `reason`: the sentence that each caller receives. */
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
      const remove = () => {
        ended = true;
        open.delete(call);
      };
      const intercepting = new ServerInterceptingCall(nextCall, {
        start: (next) => {
          open.add(call);
          next({ onCancel: remove });
          if (draining) call.end();
        },
        // The handler may write until it has noticed the end; such messages are dropped.
        sendMessage: (message, next) => {
          if (!ended) next(message);
        },
        sendStatus: (status, next) => {
          if (ended) return;
          remove();
          next(status);
        },
      });
      return intercepting;
    },
    endStreams: () => endWhere((call) => call.streams),
    endAll: () => endWhere(() => true),
  };
}
