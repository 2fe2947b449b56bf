// How a server ends the calls that are open, and refuses new ones: with UNAVAILABLE, which every client takes
// as "try again". Without it a call is cut off, which gRPC reports as CANCELLED, and a client cannot
// distinguish that from a cancel of its own. Decides that a server which only refuses for now leaves the calls
// with one answer to their handlers, and its health and its description to everybody.

import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { FleetError } from '../errors.ts';
import { toStatus } from './grpc-status.ts';

/** The open calls of one server. */
export interface Drain {
  /** Belongs in front of every call. A call that begins after `endStreams` ends like the open ones. */
  readonly interceptor: ServerInterceptor;
  /**
   * With an error: the streams of the services end with it, and so does each call of them that begins.
   * Undefined: calls are taken again.
   */
  refuse(error: FleetError | undefined): void;
  /** Ends the calls that stream, which may have no end of their own. */
  endStreams(): void;
  /** Ends all other calls too. */
  endAll(): void;
}

interface OpenCall {
  readonly streams: boolean;
  /** A call of the services, and none of health or reflection. */
  readonly isOfService: boolean;
  end(error: FleetError): void;
}

/** `reason`: the sentence that each caller receives when the server stops; `services`: their full names. */
export function createDrain(reason: string, services: readonly string[]): Drain {
  const open = new Set<OpenCall>();
  const stopping = new FleetError('unavailable', reason);
  let draining = false;
  let refusing: FleetError | undefined;
  const endWhere = (error: FleetError, chosen: (call: OpenCall) => boolean) => {
    for (const call of [...open]) if (chosen(call)) call.end(error);
  };
  const drain = (chosen: (call: OpenCall) => boolean) => {
    draining = true;
    endWhere(stopping, chosen);
  };
  return {
    interceptor: (method, nextCall) => {
      let ended = false;
      const call: OpenCall = {
        streams: method.requestStream || method.responseStream,
        isOfService: services.includes(method.path.split('/')[1] ?? ''),
        end: (error) => intercepting.sendStatus(toStatus(error)),
      };
      const remove = () => {
        ended = true;
        open.delete(call);
      };
      const intercepting = new ServerInterceptingCall(nextCall, {
        start: (next) => {
          open.add(call);
          next({
            onCancel: remove,
            // A call that is refused never reaches its handler.
            onReceiveMetadata(metadata, nextMetadata) {
              if (draining) call.end(stopping);
              else if (refusing !== undefined && call.isOfService) call.end(refusing);
              else nextMetadata(metadata);
            },
          });
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
    refuse(error) {
      refusing = error;
      if (error !== undefined) endWhere(error, (call) => call.isOfService && call.streams);
    },
    endStreams: () => drain((call) => call.streams),
    endAll: () => drain(() => true),
  };
}
