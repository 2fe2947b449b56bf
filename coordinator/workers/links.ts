// Who is on a stream now and when each was last heard of: the volatile half of membership. Keeps the facts,
// and the streams that commands are sent on; the judgements on these facts are pure and lie in membership.ts.
// A command to a worker that is away is dropped and not kept, because the worker's next hello lists what it
// holds and is answered with the difference. So is a command to a process that is not welcome yet: whatever was
// decided before its hello was meant for the process before it, which may have held other runs.

import type { Clock } from '../../core/clock.ts';
import { FleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { Command, DeviceDetails, WorkerHello } from '../decisions/inputs.ts';
import { emptyMap, type PersistentMap, valuesOf, withEntry, withoutEntry } from '../model/persistent-map.ts';
import type { State } from '../model/state.ts';
import {
  attachedNow,
  excused,
  goneAtMs,
  type Known,
  type Loss,
  lossOf,
  type Presence,
  type PresenceLimits,
  refusalOf,
} from './membership.ts';

/** The stream of one process, in domain types. */
export interface Stream {
  send(command: Command | RequestCommand): void;
  /** Ends the stream with a reason; the worker dials again if it lives. */
  end(reason: FleetError): void;
}

interface VerifyCommand {
  readonly kind: 'verify';
  readonly requestId: string;
  readonly runId: string;
  readonly stage: number;
  readonly specJson: string;
  readonly setPath: string;
  readonly dataDigest?: string;
}

interface ReplayCommand {
  readonly kind: 'replay';
  readonly requestId: string;
  readonly runId: string;
  readonly specJson: string;
  readonly fromStage: number;
  readonly toStage: number;
  readonly eachStep: boolean;
  /** Committed steps within stages after which a point is sent too; it goes on to the last of them. */
  readonly steps: readonly number[];
  readonly teacherRunId: string;
  readonly teacherStages: number;
  readonly deviceClass: string;
  /** The last stage is stored again where what is stored of it is damaged. */
  readonly mend: boolean;
  readonly dataDigest?: string;
}

interface InspectCommand {
  readonly kind: 'inspect';
  readonly requestId: string;
  readonly dataJson: string;
}
interface ScoreCommand {
  readonly kind: 'score';
  readonly requestId: string;
  readonly networksJson: readonly string[];
  readonly scores: readonly string[];
  readonly dataJson: string;
  readonly trainingJson: string;
  readonly dataDigest?: string;
}
/** Nobody waits for the answer any more: the worker stops what it does for it. */
export interface ForgetCommand {
  readonly kind: 'forget';
  readonly requestId: string;
}
/**
 * No decision of the core: what somebody waits for now (requests.ts), and nothing that lasts follows from.
 */
export type RequestCommand = VerifyCommand | ReplayCommand | InspectCommand | ScoreCommand | ForgetCommand;

/** The streams of all workers, and when each was last heard of. */
export interface Links {
  /** Workers on a stream now. */
  readonly connected: PersistentMap<true>;
  /** Those of them whose hello is answered: what is sent arrives. */
  readonly welcomed: PersistentMap<true>;
  /**
   * Decisions begin with these workers: each has to dial, anew if it is on a stream, and report what it holds;
   * it has the grace of a start to come.
   */
  expect(workers: State['workers']): void;
  /** Nothing is decided here any more: every stream ends with the reason, and nobody is expected. */
  clear(error: FleetError): void;
  /** When the worker was last heard of, milliseconds since the epoch. */
  lastSeenMs(workerId: string): number | undefined;
  /** Of the process that is on a stream, or was last; undefined before it dialled this coordinator. */
  deviceOf(workerId: string): DeviceDetails | undefined;
  /** Why this process may not attach: another living process has its id. */
  refusalOf(hello: WorkerHello): string | undefined;
  /**
   * Takes a stream. Returns when an earlier process of this worker was last there, milliseconds since the
   * epoch, if this coordinator has seen one.
   */
  attach(hello: WorkerHello, stream: Stream): number | undefined;
  /** The stream has ended; ignored when a newer one took its place. */
  detach(workerId: string, stream: Stream): void;
  /** Something came on this stream; false when a newer one took its place, and what came counts nothing. */
  seen(workerId: string, stream: Stream): boolean;
  /** The worker reported that it drains. */
  draining(workerId: string): void;
  /**
   * Sends a command, or drops it and returns false when the worker is away or its process is not welcome yet: its
   * next hello is answered with the difference.
   */
  send(workerId: string, command: Command | RequestCommand): boolean;
  /** Ends the stream of this process and lets go of it; ignored when another process has come since. */
  disconnect(workerId: string, incarnation: string, reason: string): void;
  /** The process whose stream ended is gone from the broker too; ignored when it dialled again. */
  absent(workerId: string, incarnation: string): void;
  /** The listener is called whenever a process was welcomed. */
  onWelcome(listener: (workerId: string) => void): void;
  /** The listener is called whenever a stream has ended, from whichever side. */
  onDetach(listener: (workerId: string, incarnation: string) => void): void;
  /** Judges everybody: who is lost, why, and when it was last there (milliseconds since the epoch). */
  judge(): (Loss & { workerId: string; incarnation: string; goneAtMs?: number })[];
  close(): void;
}

interface Link {
  readonly incarnation: string;
  readonly device?: DeviceDetails | undefined;
  stream: Stream | undefined;
  /** The answer to its hello was sent. */
  welcomed: boolean;
  presence: Presence;
}

/** Links without workers. */
export function createLinks(options: { clock: Clock; log: Logger; limits: PresenceLimits }): Links {
  const { clock, log, limits } = options;
  const links = new Map<string, Link>();
  let connected = emptyMap<true>();
  let welcomed = emptyMap<true>();
  const listeners: Parameters<Links['onDetach']>[0][] = [];
  const welcomeListeners: Parameters<Links['onWelcome']>[0][] = [];
  let judgedAtMs = clock.monotonic();

  /** A time of the monotonic clock on the wall clock. */
  const onWallClock = (ms: number): number => clock.now() - (clock.monotonic() - ms);

  const knownOf = (workerId: string): Known | undefined => {
    const link = links.get(workerId);
    return link && { ...link, isAttached: link.stream !== undefined };
  };

  function change(link: Link, by: Partial<Presence>): void {
    link.presence = { ...link.presence, ...by };
  }

  function leave(workerId: string, link: Link): void {
    link.stream = undefined;
    link.welcomed = false;
    welcomed = withoutEntry(welcomed, workerId);
    change(link, { detachedAtMs: clock.monotonic() });
    connected = withoutEntry(connected, workerId);
    for (const listener of listeners) listener(workerId, link.incarnation);
  }

  function welcome(workerId: string, link: Link): void {
    link.welcomed = true;
    welcomed = withEntry(welcomed, workerId, true);
    for (const listener of welcomeListeners) listener(workerId);
  }

  function clear(error: FleetError): void {
    for (const [workerId, link] of links) {
      const { stream } = link;
      if (stream !== undefined) leave(workerId, link);
      stream?.end(error);
    }
    links.clear();
  }

  return {
    get connected() {
      return connected;
    },
    get welcomed() {
      return welcomed;
    },
    expect(workers) {
      clear(unavailable('the coordinator begins to lead'));
      const presence = { lastSeenMs: clock.monotonic(), draining: false, awaited: true };
      for (const { id, state, incarnation } of valuesOf(workers))
        if (state !== 'lost')
          links.set(id, {
            ...{ incarnation, stream: undefined, welcomed: false },
            presence: { ...presence, draining: state === 'draining' },
          });
    },
    clear,
    lastSeenMs(workerId) {
      const link = links.get(workerId);
      return link && onWallClock(link.presence.lastSeenMs);
    },
    deviceOf: (workerId) => links.get(workerId)?.device,
    refusalOf: (hello) => refusalOf(hello, knownOf(hello.workerId), clock.monotonic(), limits),
    attach({ workerId, incarnation, device, leases }, stream) {
      const before = knownOf(workerId);
      links.get(workerId)?.stream?.end(unavailable('a newer stream of this worker took its place'));
      const { presence, predecessorGoneAtMs } = attachedNow(incarnation, before, clock.monotonic());
      links.set(workerId, { incarnation, device, stream, welcomed: false, presence });
      connected = withEntry(connected, workerId, true);
      welcomed = withoutEntry(welcomed, workerId);
      log.info({ worker: workerId, leases: leases.length }, 'worker attached');
      return predecessorGoneAtMs === undefined ? undefined : onWallClock(predecessorGoneAtMs);
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
      change(link, { lastSeenMs: clock.monotonic() });
      return true;
    },
    draining(workerId) {
      const link = links.get(workerId);
      if (link !== undefined) change(link, { draining: true });
    },
    send(workerId, command) {
      const link = links.get(workerId);
      if (link?.stream === undefined) return false;
      const isWelcome = command.kind === 'welcome' && command.incarnation === link.incarnation;
      if (!isWelcome && !link.welcomed) return false;
      link.stream.send(command);
      if (isWelcome) welcome(workerId, link);
      return true;
    },
    disconnect(workerId, incarnation, reason) {
      const link = links.get(workerId);
      if (link === undefined || link.incarnation !== incarnation) return;
      const { stream } = link;
      if (stream !== undefined) leave(workerId, link);
      stream?.end(unavailable(reason));
      links.delete(workerId);
    },
    absent(workerId, incarnation) {
      const link = links.get(workerId);
      if (link?.incarnation === incarnation && link.stream === undefined) change(link, { absent: true });
    },
    onWelcome: (listener) => void welcomeListeners.push(listener),
    onDetach: (listener) => void listeners.push(listener),
    judge() {
      const now = clock.monotonic();
      const deafMs = now - judgedAtMs - limits.heartbeatIntervalMs;
      judgedAtMs = now;
      if (deafMs > 0) for (const link of links.values()) change(link, excused(link.presence, deafMs, now));
      return [...links].flatMap(([workerId, { incarnation, presence }]) => {
        const loss = lossOf(presence, now, limits);
        if (loss === undefined) return [];
        const lost = { workerId, incarnation, ...loss };
        // One that was only awaited has not been seen by this coordinator.
        return [presence.awaited ? lost : { ...lost, goneAtMs: onWallClock(goneAtMs(presence)) }];
      });
    },
    close() {
      clear(unavailable('the coordinator is stopping'));
    },
  };
}

const unavailable = (reason: string): FleetError => new FleetError('unavailable', reason);
