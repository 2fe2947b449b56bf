// The process and the machine of one coordinator as its world sees them: whether the process lives, stands
// still or is cut off from the broker, and what the machine's clock shows. Everything that happens to a
// coordinator passes through here, so that a dead one does nothing more, and a stopped one does everything
// later, in order, as if no time had passed.

import type { Clock } from '../../core/clock.ts';
import type { Timeline } from './timeline.ts';

/** One process of a coordinator. */
export interface Host {
  /** Of this process alone. */
  readonly name: string;
  /** Where it takes calls: that of every process in its place. */
  readonly address: string;
  readonly alive: boolean;
  readonly stopped: boolean;
  /** Nothing passes between it and the broker. */
  cut: boolean;
  /** Until when it waits for the answer to a request that was lost while it was cut off. */
  lostUntilMs: number;
  readonly clock: Clock;
  /** Of the machine, against the true time, milliseconds. */
  wallOffsetMs: number;
  /** Lets something happen to the process: now, later while it is stopped, never once it is dead. */
  run(action: () => void): void;
  /** A timer of the process. */
  later(ms: number, action: () => void): () => void;
  /** A timer of the process that counts among what it waits for. */
  wait(ms: number, action: () => void): () => void;
  /** The process waits for a timer or an answer: it may have nothing to do before that comes. */
  readonly waits: boolean;
  /** Counts something that the process waits for, until the returned function is called. */
  awaiting(): () => void;
  /** kill -9. */
  kill(): void;
  /** SIGSTOP. */
  stop(): void;
  /** SIGCONT. */
  goOn(): void;
}

/** A process that lives. `stirred` is called whenever something happens to it. */
export function createHost(
  name: string,
  address: string,
  timeline: Timeline,
  stirred: () => void = () => undefined,
): Host {
  let alive = true;
  let stopped = false;
  let waits = 0;
  let late: (() => void)[] = [];

  const host: Host = {
    ...{ name, address },
    get alive() {
      return alive;
    },
    get stopped() {
      return stopped;
    },
    cut: false,
    lostUntilMs: 0,
    wallOffsetMs: 0,
    clock: {
      now: () => timeline.now() + host.wallOffsetMs,
      monotonic: timeline.now,
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          if (signal?.aborted) return reject(signal.reason);
          const cancel = host.wait(ms, () => {
            signal?.removeEventListener('abort', onAbort);
            resolve();
          });
          function onAbort() {
            cancel();
            reject(signal!.reason);
          }
          signal?.addEventListener('abort', onAbort, { once: true });
        }),
    },
    run(action) {
      if (!alive) return;
      if (stopped) late.push(action);
      else {
        stirred();
        action();
      }
    },
    later: (ms, action) => timeline.later(ms, () => host.run(action)),
    get waits() {
      return waits > 0;
    },
    awaiting() {
      waits += 1;
      let over = false;
      return () => {
        if (!over) waits -= 1;
        over = true;
      };
    },
    wait(ms, action) {
      const over = host.awaiting();
      const cancel = host.later(ms, () => {
        over();
        action();
      });
      return () => {
        over();
        cancel();
      };
    },
    kill() {
      alive = false;
      late = [];
    },
    stop() {
      stopped = true;
    },
    goOn() {
      stopped = false;
      for (const action of late.splice(0)) host.run(action);
    },
  };
  return host;
}
