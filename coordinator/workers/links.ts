// Who is on a stream now and what was last heard: the volatile half of membership. Decides nothing about losses: it keeps
// the facts that membership.ts judges, asks it at each tick, and passes on its verdicts. Commands to a worker that is
// away are dropped, because its next hello says what it holds and is answered with the difference.

import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/log.ts';
import type { Command, DeviceDetails, WorkerHello } from '../decisions/inputs.ts';
import type { State } from '../model/state.ts';
import { lossOf, type Presence, type PresenceLimits } from './membership.ts';

/** The stream as this file sees it: worker-service.ts turns commands into messages. */
export interface Stream {
  send(command: Command | RequestCommand): void;
  /** Ends the stream with a reason; the worker dials again if it lives. */
  end(reason: string): void;
}

interface VerifyCommand {
  readonly kind: 'verify';
  readonly requestId: string;
  readonly runId: string;
  readonly stage: number;
  readonly specJson: string;
  readonly setPath: string;
}

interface ReplayCommand {
  readonly kind: 'replay';
  readonly requestId: string;
  readonly runId: string;
  readonly specJson: string;
  readonly fromStage: number;
  readonly toStage: number;
  readonly eachStep: boolean;
  readonly teacherRunId: string;
  readonly teacherStages: number;
  readonly deviceClass: string;
}
export interface ForgetCommand {
  readonly kind: 'forget';
  readonly requestId: string;
}
/** No decision of the core: what somebody waits for now (requests.ts), and nothing that lasts follows from. */
export type RequestCommand = VerifyCommand | ReplayCommand | ForgetCommand;

export interface Links {
  /** Workers on a stream now. */
  readonly connected: ReadonlySet<string>;
  /** After the replay: these workers are expected back, and have the grace of a start to come. */
  expect(workers: State['workers']): void;
  /** The journal was read again: every worker has to dial anew and say what it holds; these are expected back. */
  restart(workers: State['workers']): void;
  lastSeenMs(workerId: string): number | undefined;
  /** Of the process that is on a stream, or was last; undefined before it dialled this coordinator. */
  deviceOf(workerId: string): DeviceDetails | undefined;
  /** The refusal when another living process has this id. */
  refusalOf(hello: WorkerHello): string | undefined;
  /** Gives the time at which an earlier process of this worker was last there, if there was one. */
  attach(hello: WorkerHello, stream: Stream): number | undefined;
  /** The stream has ended; ignored when a newer one took its place. */
  detach(workerId: string, stream: Stream): void;
  seen(workerId: string, stream: Stream): boolean;
  draining(workerId: string): void;
  send(workerId: string, command: Command | RequestCommand): boolean;
  disconnect(workerId: string, incarnation: string, reason: string): void;
  /** The process that hung up is gone from the broker too; ignored when it dialled again. */
  absent(workerId: string, incarnation: string): void;
  onDetach(listener: (workerId: string, incarnation: string) => void): void;
  /** Judges everybody; the verdicts become inputs. */
  judge(): { workerId: string; incarnation: string; reason: string; goneAtMs?: number }[];
  close(): void;
}

interface Link {
  readonly incarnation: string;
  readonly device?: DeviceDetails | undefined;
  stream: Stream | undefined;
  presence: Presence;
}

export function createLinks(options: { clock: Clock; log: Logger; limits: PresenceLimits }): Links {
  const { clock, log, limits } = options;
  const links = new Map<string, Link>();
  const connected = new Set<string>();
  const listeners: Parameters<Links['onDetach']>[0][] = [];
  let judgedAtMs = clock.monotonic();

  /** On the wall clock: the end of its stream, or what was last heard. */
  function goneAtMs({ presence }: Link): number {
    return clock.now() - (clock.monotonic() - (presence.detachedAtMs ?? presence.lastSeenMs));
  }

  function leave(workerId: string, link: Link): void {
    link.stream = undefined;
    link.presence = { ...link.presence, detachedAtMs: clock.monotonic() };
    connected.delete(workerId);
    for (const listener of listeners) listener(workerId, link.incarnation);
  }

  function expect(workers: State['workers']): void {
    for (const worker of workers.values()) {
      if (worker.state === 'lost' || links.has(worker.id)) continue;
      const presence = {
        lastSeenMs: clock.monotonic(),
        draining: worker.state === 'draining',
        awaited: true,
      };
      links.set(worker.id, { incarnation: worker.incarnation, stream: undefined, presence });
    }
  }

  return {
    connected,
    expect,
    restart(workers) {
      for (const [workerId, link] of links) {
        const { stream } = link;
        if (stream !== undefined) leave(workerId, link);
        stream?.end('the journal was read again');
      }
      links.clear();
      expect(workers);
    },
    lastSeenMs(workerId) {
      const link = links.get(workerId);
      return link && clock.now() - (clock.monotonic() - link.presence.lastSeenMs);
    },
    deviceOf: (workerId) => links.get(workerId)?.device,
    refusalOf(hello) {
      const link = links.get(hello.workerId);
      if (link?.stream === undefined || link.incarnation === hello.incarnation) return undefined;
      const silentMs = clock.monotonic() - link.presence.lastSeenMs;
      return silentMs < 2 * limits.heartbeatIntervalMs
        ? `worker id ${hello.workerId} is in use by another living process; give each worker an id of its own`
        : undefined;
    },
    attach(hello, stream) {
      const before = links.get(hello.workerId);
      before?.stream?.end('a newer stream of this worker took its place');
      links.set(hello.workerId, {
        incarnation: hello.incarnation,
        device: hello.device,
        stream,
        presence: {
          lastSeenMs: clock.monotonic(),
          draining: before?.incarnation === hello.incarnation && before.presence.draining,
          awaited: false,
        },
      });
      connected.add(hello.workerId);
      log.info({ worker: hello.workerId, leases: hello.leases.length }, 'worker attached');
      const isAnother = before !== undefined && before.incarnation !== hello.incarnation;
      return isAnother && !before.presence.awaited ? goneAtMs(before) : undefined;
    },
    detach(workerId, stream) {
      const link = links.get(workerId);
      if (link?.stream !== stream) return;
      log.info({ worker: workerId }, 'worker stream ended');
      leave(workerId, link);
    },
    seen(workerId, stream) {
      const link = links.get(workerId);
      if (link?.stream !== stream) return false;
      link.presence = { ...link.presence, lastSeenMs: clock.monotonic() };
      return true;
    },
    draining(workerId) {
      const link = links.get(workerId);
      if (link) link.presence = { ...link.presence, draining: true };
    },
    send(workerId, command) {
      const stream = links.get(workerId)?.stream;
      stream?.send(command);
      return stream !== undefined;
    },
    disconnect(workerId, incarnation, reason) {
      const link = links.get(workerId);
      // After a restart of the worker the link is already the new process'.
      if (link === undefined || link.incarnation !== incarnation) return;
      const { stream } = link;
      if (stream !== undefined) leave(workerId, link);
      stream?.end(reason);
      links.delete(workerId);
    },
    absent(workerId, incarnation) {
      const link = links.get(workerId);
      if (link === undefined || link.incarnation !== incarnation || link.stream !== undefined) return;
      link.presence = { ...link.presence, absent: true };
    },
    onDetach(listener) {
      listeners.push(listener);
    },
    judge() {
      const now = clock.monotonic();
      const deafMs = now - judgedAtMs - limits.heartbeatIntervalMs;
      judgedAtMs = now;
      // This process itself did not run for a while: what was sent meanwhile is still in its sockets.
      if (deafMs > 0) for (const link of links.values()) shiftPresence(link, deafMs, now);
      return [...links].flatMap(([workerId, link]) => {
        const reason = lossOf(link.presence, now, limits);
        if (reason === undefined) return [];
        const verdict = { workerId, incarnation: link.incarnation, reason };
        // One that was only awaited has not been seen by this coordinator.
        return [link.presence.awaited ? verdict : { ...verdict, goneAtMs: goneAtMs(link) }];
      });
    },
    close() {
      for (const link of links.values()) link.stream?.end('the coordinator is stopping');
      links.clear();
      connected.clear();
    },
  };
}

function shiftPresence(link: Link, deafMs: number, now: number): void {
  const { lastSeenMs, detachedAtMs } = link.presence;
  link.presence = {
    ...link.presence,
    lastSeenMs: Math.min(now, lastSeenMs + deafMs),
    ...(detachedAtMs === undefined ? {} : { detachedAtMs: Math.min(now, detachedAtMs + deafMs) }),
  };
}
