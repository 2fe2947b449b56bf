// The worker as the coordinator sees it: one identity, the runs it holds, the commands it takes. Decides which run a command
// goes to and when a draining worker may leave; a run's own life is run.ts', the stream link.ts'.

import { FleetError, toFleetError } from '../../core/errors.ts';
import type {
  Assign,
  Device,
  Heartbeat,
  Hello,
  Release,
  Welcome,
} from '../../proto/gen/pocketfleet/v1/worker.ts';
import { answerReplay } from '../requests/replay.ts';
import { answerVerify } from '../requests/verify.ts';
import { type HeldRun, holdRun } from '../run/run.ts';
import type { Services } from '../run/services.ts';
import { judgeAssign, judgeRelease } from './leases.ts';
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
  /** Asks for its runs to be given to others; resolves when it holds none and everything it had to say is acknowledged. */
  drain(): Promise<void>;
  /** Ends what it holds without a word: whoever comes next takes it for lost. */
  close(): Promise<void>;
}

export interface AgentOptions {
  readonly endpoint: string;
  readonly token: string;
  readonly identity: Identity;
  /** Built around the link, which it reports through. */
  readonly services: (link: Pick<Link, 'report' | 'reportLatest'>) => Services;
  readonly onWelcome: (welcome: Welcome) => void;
  readonly onAttach: () => void;
  readonly onRefused: (reason: FleetError) => void;
}

const POLL_MS = 50;

export function createAgent(options: AgentOptions): Agent {
  const { identity } = options;
  const runs = new Map<string, HeldRun>();
  const closing = new AbortController();
  /** Verifications and replays in hand. */
  const answers = new Set<Promise<void>>();
  /** Of each, what ends it when nobody waits for it any more. */
  const unwanted = new Map<string, AbortController>();
  /** Runs that have been released and are not out of the house yet. */
  const leaving = new Set<string>();
  /** Assignments that came meanwhile: a worker that was taken for lost is released and assigned anew in one breath. */
  const next = new Map<string, Assign>();
  let draining = false;

  const leases = () => [...runs.values()].map((run) => run.lease());
  const hello = (): Hello => ({ ...identity, leases: leases() });
  const heartbeat = (): Heartbeat => ({ leases: leases() });

  // The services report through the link, and the link's commands need the services: a box closes the circle.
  const link: Pick<Link, 'report' | 'reportLatest'> = {
    report: (kind) => opened.report(kind),
    reportLatest: (kind) => opened.reportLatest(kind),
  };
  const services = options.services(link);
  const { log, clock } = services;

  const takeAssign = (assign: Assign) => {
    const held = runs.get(assign.runId);
    const { generation, members } = assign;
    const judgement = judgeAssign({
      held: held?.generation(),
      generation,
      members,
      workerId: identity.workerId,
    });
    log.info({ run: assign.runId, verb: judgement.verb }, `assign: ${judgement.reason}`);
    switch (judgement.verb) {
      case 'start':
        return start(assign);
      case 'move':
        if (leaving.has(assign.runId)) next.set(assign.runId, assign);
        else held?.assign(assign);
        return;
      case 'ignore':
        return;
    }
  };
  const start = (assign: Assign) => {
    const run = holdRun(services, assign);
    runs.set(assign.runId, run);
    void run.ended.then(
      () => {
        runs.delete(assign.runId);
        leaving.delete(assign.runId);
        if (closing.signal.aborted) return;
        confirmRelease(assign.runId, run.generation());
        const waiting = next.get(assign.runId);
        next.delete(assign.runId);
        if (waiting) start(waiting);
      },
      (caught: unknown) => crash(toFleetError(caught, `run ${assign.runId}`)),
    );
  };
  const confirmRelease = (runId: string, generation: number) =>
    services.report({ $case: 'released', value: { runId, generation } });
  const takeRelease = ({ runId, generation, reason }: Release) => {
    const held = runs.get(runId);
    const judgement = judgeRelease({ held: held?.generation(), generation });
    log.info({ run: runId, verb: judgement.verb }, `release: ${judgement.reason}; ${reason}`);
    if (judgement.verb === 'end') {
      leaving.add(runId);
      if (generation >= (next.get(runId)?.generation ?? 0)) next.delete(runId);
      held?.release(reason);
    }
    if (judgement.verb === 'confirm') confirmRelease(runId, generation);
  };
  const keepAnswer = (requestId: string, work: (signal: AbortSignal) => Promise<void>) => {
    const forget = new AbortController();
    unwanted.set(requestId, forget);
    const answer = work(AbortSignal.any([forget.signal, closing.signal]));
    answers.add(answer);
    void answer.finally(() => {
      answers.delete(answer);
      unwanted.delete(requestId);
    });
  };
  const take = (command: Command) => {
    switch (command.$case) {
      case 'assign':
        return takeAssign(command.value);
      case 'release':
        return takeRelease(command.value);
      case 'verify':
        return keepAnswer(command.value.requestId, (signal) => answerVerify(services, command.value, signal));
      case 'replay':
        return keepAnswer(command.value.requestId, (signal) => answerReplay(services, command.value, signal));
      case 'forget':
        return unwanted
          .get(command.value.requestId)
          ?.abort(new FleetError('cancelled', 'nobody waits for it'));
    }
  };

  const opened = openLink({
    endpoint: options.endpoint,
    token: options.token,
    clock,
    log,
    hello,
    heartbeat,
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
      // Without a coordinator nobody can take note of the draining itself, and a worker without runs may just leave.
      const open = () => opened.unacknowledged() > (opened.attached() ? 0 : 1);
      while (runs.size > 0 || answers.size > 0 || open()) await clock.sleep(POLL_MS, closing.signal);
    },
    async close() {
      closing.abort();
      for (const run of runs.values()) run.release('this worker stops');
      await Promise.all([...runs.values()].map((run) => run.ended));
      await opened.close();
    },
  };
}

/** A run's life catches every failure of its work; what gets past it is a mistake in this program, and going on would hide it. */
function crash(error: FleetError): void {
  setImmediate(() => {
    throw error;
  });
}
