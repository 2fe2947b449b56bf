// The worker as the coordinator sees it: one identity, the runs that it holds, the commands that it carries
// out. Decides which run a command is for and when a draining worker may leave.

import type { FleetError } from '../../core/errors.ts';
import type { ClientTls } from '../../core/net/client-tls.ts';
import { PROTOCOL } from '../../core/net/protocol.ts';
import type { TokenSource } from '../../core/net/token-source.ts';
import type { TimePhase } from '../../core/worker-time.ts';
import type { Device, Welcome } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { createRequestsInHand } from '../requests/in-hand.ts';
import { answerInspect } from '../requests/inspect.ts';
import { answerReplay } from '../requests/replay.ts';
import { answerScore } from '../requests/score.ts';
import { answerVerify } from '../requests/verify.ts';
import { createPreparations } from '../run/preparations.ts';
import { type OwnServices, ownServices, type Services } from '../run/services.ts';
import { createHeldRuns } from './held-runs.ts';
import { type Command, type Link, openLink } from './link.ts';
import { createTimeReports } from './time-reports.ts';

export interface Identity {
  readonly workerId: string;
  readonly incarnation: string;
  readonly version: string;
  readonly host: string;
  readonly pid: number;
  readonly device: Device;
  /** Digest of the code that decides the bits of its results. */
  readonly code: string;
  readonly slots: number;
  /** What its operator says of it. */
  readonly labels: Record<string, string>;
  readonly metricsEndpoint: string;
  readonly podUid: string;
  /** The fleet that it belongs to; empty: any. */
  readonly fleet: string;
  /** Public half of its key on the broker; absent: it has a user of its own there. */
  readonly brokerKey?: string;
}

export interface Agent {
  attached(): boolean;
  heldRuns(): number;
  /**
   * Asks the coordinator to give its runs to others; resolves when it holds none and all its reports are
   * acknowledged.
   */
  drain(): Promise<void>;
  /** Ends what it holds and reports nothing: the coordinator will find this worker lost. */
  close(): Promise<void>;
}

export interface AgentOptions {
  /** host:port of each coordinator that is known. */
  readonly endpoints: readonly string[];
  readonly token: string | TokenSource;
  /** Encrypts the stream. */
  readonly tls?: ClientTls | undefined;
  readonly identity: Identity;
  /** Made for a link, through which runs report. */
  readonly services: (link: Pick<Link, 'report' | 'reportLatest'>) => Services;
  readonly onWelcome: (welcome: Welcome) => void;
  /** A newer JWT of its rights on the broker. */
  readonly onRights: (jwt: string) => void;
  readonly onAttach: () => void;
  readonly onRefused: (reason: FleetError) => void;
}

/** A draining worker looks so often whether it may leave. */
const POLL_MS = 50;

export function createAgent(options: AgentOptions): Agent {
  const { identity } = options;
  const closing = new AbortController();
  const requests = createRequestsInHand(closing.signal);
  let draining = false;

  // The services report through the link, and the link's commands need the services, so the link is named
  // before it is opened.
  const services = options.services({
    report: (kind) => opened.report(kind),
    reportLatest: (kind) => opened.reportLatest(kind),
  });
  const { log, clock, timeline } = services;
  const runs = createHeldRuns(services);
  const preparations = createPreparations(services);
  const times = createTimeReports(timeline);
  /** The time of what is asked for belongs to no run. */
  const counted = async (phase: TimePhase, work: (own: OwnServices) => Promise<void>) => {
    const time = timeline.open();
    time.rest(phase);
    await work(ownServices(services, time)).finally(time.end);
  };

  const carryOut = (command: Command) => {
    switch (command.$case) {
      case 'assign':
        preparations.assigned();
        return runs.assign(command.value);
      case 'prepare':
        return draining ? undefined : preparations.begin(command.value);
      case 'release':
        return runs.release(command.value);
      case 'verify':
        return requests.answer(command.value.requestId, (signal) =>
          counted('evaluate', (own) => answerVerify(own, command.value, signal)),
        );
      case 'replay':
        return requests.answer(command.value.requestId, (signal) =>
          counted('compute', (own) => answerReplay(own, command.value, signal)),
        );
      case 'score':
        return requests.answer(
          command.value.requestId,
          (signal) => counted('evaluate', (own) => answerScore(own, command.value, signal)),
          { anywhere: true },
        );
      case 'inspect':
        return requests.answer(
          command.value.requestId,
          (signal) => answerInspect(services, command.value, signal),
          { anywhere: true },
        );
      case 'forget':
        return requests.abandon(command.value.requestId);
    }
  };

  const opened = openLink({
    endpoints: options.endpoints,
    token: options.token,
    tls: options.tls,
    clock,
    log,
    hello: () => ({
      protocol: PROTOCOL,
      ...identity,
      leases: runs.leases(),
      ageSeconds: timeline.peek().until,
    }),
    heartbeat: () => {
      const due = opened.unacknowledged() === 0 ? times.due() : undefined;
      if (due !== undefined) opened.report({ $case: 'timeSpent', value: due });
      return { leases: runs.leases(), openTime: times.open() };
    },
    onWelcome: options.onWelcome,
    onRights: options.onRights,
    onCommand: carryOut,
    onAttach: options.onAttach,
    onRefused: options.onRefused,
  });

  return {
    attached: () => opened.attached(),
    heldRuns: () => runs.count(),
    async drain() {
      if (!draining) {
        opened.report({ $case: 'draining', value: {} });
        timeline.open().rest('paused');
      }
      draining = true;
      preparations.close();
      // Without a coordinator nothing acknowledges the draining itself, and a worker without runs may leave.
      const reportsOpen = () => opened.unacknowledged() > (opened.attached() ? 0 : 1);
      while (runs.count() > 0 || requests.count() > 0 || reportsOpen())
        await clock.sleep(POLL_MS, closing.signal);
      // The last word on its time: what follows is the moment until the stream ends.
      opened.reportLatest({ $case: 'heartbeat', value: { leases: [], openTime: times.open() } });
    },
    async close() {
      closing.abort();
      preparations.close();
      await runs.abandon('this worker stops');
      await opened.close();
    },
  };
}
