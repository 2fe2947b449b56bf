// The stream of a worker as the coordinator's service sees it, without a socket: what is sent in one
// direction arrives there later, in the same order, and an end on either side is an end on both.

import { EventEmitter } from 'node:events';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { WorkerCommand, WorkerReport } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { Host } from './host.ts';
import type { Timeline } from './timeline.ts';

/** The worker's end of a stream. */
export interface CallEnd {
  /** Arrives at the coordinator. */
  send(report: WorkerReport): void;
  /** The worker's process is gone, or it hangs up. */
  hangUp(): void;
}

/** What the worker's end is called with. */
export interface CallListener {
  received(command: WorkerCommand): void;
  ended(): void;
}

interface Parts {
  readonly timeline: Timeline;
  readonly host: Host;
  /** Milliseconds that a message takes. */
  readonly delay: () => number;
  readonly attach: (call: ServerDuplexStream<WorkerReport, WorkerCommand>) => void;
}

/** Opens a stream to the coordinator on this host. */
export function openCall({ timeline, host, delay, attach }: Parts, listener: CallListener): CallEnd {
  let open = true;
  let up = timeline.now();
  let down = timeline.now();
  /** When something that is sent now arrives; never before what was sent earlier. */
  const arrival = (before: number) => Math.max(before, timeline.now() + delay());
  const server = Object.assign(new EventEmitter(), {
    cancelled: false,
    writableLength: 0,
    write(command: WorkerCommand): boolean {
      if (!open) return false;
      down = arrival(down);
      timeline.later(down - timeline.now(), () => {
        if (open) listener.received(command);
      });
      return true;
    },
    end: () => endLater(),
  });
  function endLater(): void {
    down = arrival(down);
    timeline.later(down - timeline.now(), () => {
      if (!open) return;
      open = false;
      listener.ended();
    });
  }
  // The service ends a stream by this event, as it does with a real one.
  server.on('error', endLater);
  // A process that stands still takes the stream once it goes on: until then the connection alone is there.
  host.run(() => attach(server as unknown as ServerDuplexStream<WorkerReport, WorkerCommand>));
  return {
    send(report) {
      if (!open) return;
      up = arrival(up);
      timeline.later(up - timeline.now(), () => {
        if (open) host.run(() => void server.emit('data', report));
      });
    },
    hangUp() {
      if (!open) return;
      open = false;
      host.run(() => {
        server.cancelled = true;
        server.emit('cancelled');
      });
    },
  };
}
