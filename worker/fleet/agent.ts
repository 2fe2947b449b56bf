// The worker as the coordinator sees it: one identity, the runs that it holds, the commands that it carries
// out. Decides which run a command is for and when a draining worker may leave.

import { type FleetError, toFleetError } from '../../core/errors.ts';
import type { Assign, Device, Release, Welcome } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { createRequestsInHand } from '../requests/in-hand.ts';
import { answerReplay } from '../requests/replay.ts';
import { answerVerify } from '../requests/verify.ts';
import { type HeldRun, holdRun } from '../run/run.ts';
import type { Services } from '../run/services.ts';
import { type Holding, onAssign, onRelease } from './holdings.ts';
import { type Command, type Link, openLink } from './link.ts';

export interface Identity {
  readonly workerId: string;
  readonly incarnation: string;
  readonly version: string;
  readonly host: string;
  readonly pid: number;
  readonly device: Device;
  readonly slots: number;
  readonly metricsEndpoint: string;
  readonly podUid: string;
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
  readonly endpoint: string;
  readonly token: string;
  readonly identity: Identity;
  /** Made for a link, through which runs report. */
  readonly services: (link: Pick<Link, 'report' | 'reportLatest'>) => Services;
  readonly onWelcome: (welcome: Welcome) => void;
  readonly onAttach: () => void;
  readonly onRefused: (reason: FleetError) => void;
}

/** A draining worker looks so often whether it may leave. */
const POLL_MS = 50;

export function createAgent(options: AgentOptions): Agent {
  const { identity } = options;
  const { workerId } = identity;
  const closing = new AbortController();
  const requests = createRequestsInHand(closing.signal);
  const runs = new Map<string, HeldRun>();
  const holdings = new Map<string, Holding>();
  let draining = false;

  const leases = () => [...runs.values()].map((run) => run.lease());

  // The services report through the link, and the link's commands need the services, so the link is named
  // before it is opened.
  const services = options.services({
    report: (kind) => opened.report(kind),
    reportLatest: (kind) => opened.reportLatest(kind),
  });
  const { log, clock } = services;

  const keep = (runId: string, holding: Holding | undefined) => {
    if (holding === undefined) holdings.delete(runId);
    else holdings.set(runId, holding);
  };
  const takeAssign = (assign: Assign) => {
    const { runId } = assign;
    const { verb, reason, action, holding } = onAssign(holdings.get(runId), assign, workerId);
    log.info({ run: runId, verb }, `assign: ${reason}`);
    keep(runId, holding);
    if (action === 'start') start(assign);
    if (action === 'move') runs.get(runId)?.assign(assign);
  };
  const takeRelease = ({ runId, generation, reason: why }: Release) => {
    const { verb, reason, action, holding } = onRelease(holdings.get(runId), generation);
    log.info({ run: runId, verb }, `release: ${reason}; ${why}`);
    keep(runId, holding);
    if (action === 'end') runs.get(runId)?.release(why);
    if (action === 'confirm') confirmRelease(runId, generation);
  };
  const confirmRelease = (runId: string, generation: number) =>
    services.report({ $case: 'released', value: { runId, generation } });
  const start = (assign: Assign) => {
    const { runId } = assign;
    const run = holdRun(services, assign);
    runs.set(runId, run);
    void run.ended.then(
      () => {
        const next = holdings.get(runId)?.next;
        runs.delete(runId);
        holdings.delete(runId);
        if (closing.signal.aborted) return;
        confirmRelease(runId, run.generation());
        if (next !== undefined) startAgain(next);
      },
      (caught: unknown) => crash(toFleetError(caught, `run ${runId}`)),
    );
  };
  const startAgain = (assign: Assign) => {
    const { generation, runId } = assign;
    holdings.set(runId, { generation, leaving: false, next: undefined });
    start(assign);
  };
  const take = (command: Command) => {
    switch (command.$case) {
      case 'assign':
        return takeAssign(command.value);
      case 'release':
        return takeRelease(command.value);
      case 'verify':
        return requests.answer(command.value.requestId, (signal) =>
          answerVerify(services, command.value, signal),
        );
      case 'replay':
        return requests.answer(command.value.requestId, (signal) =>
          answerReplay(services, command.value, signal),
        );
      case 'forget':
        return requests.abandon(command.value.requestId);
    }
  };

  const opened = openLink({
    endpoint: options.endpoint,
    token: options.token,
    clock,
    log,
    hello: () => ({ ...identity, leases: leases() }),
    heartbeat: () => ({ leases: leases() }),
    onWelcome: options.onWelcome,
    onCommand: take,
    onAttach: options.onAttach,
    onRefused: options.onRefused,
  });

  return {
    attached: () => opened.attached(),
    heldRuns: () => runs.size,
    async drain() {
      if (!draining) opened.report({ $case: 'draining', value: {} });
      draining = true;
      // Without a coordinator nothing acknowledges the draining itself, and a worker without runs may leave.
      const reportsOpen = () => opened.unacknowledged() > (opened.attached() ? 0 : 1);
      while (runs.size > 0 || requests.count() > 0 || reportsOpen())
        await clock.sleep(POLL_MS, closing.signal);
    },
    async close() {
      closing.abort();
      for (const run of runs.values()) run.release('this worker stops');
      await Promise.all([...runs.values()].map((run) => run.ended));
      await opened.close();
    },
  };
}

/**
 * A run handles every failure of its work. What gets past that is a mistake in this program, and going on
 * would hide it.
 */
function crash(error: FleetError): void {
  setImmediate(() => {
    throw error;
  });
}
