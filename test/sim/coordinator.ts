// A coordinator of the simulation: the real driver, decisions, links, boards and worker service, put together
// as coordinator/coordinator.ts does it, upon the simulated clock and broker. The one place that knows how
// the parts of the product are wired; the beat is repeated here because the product's runs on real timers.

import type { ServerDuplexStream } from '@grpc/grpc-js';
import { pino } from 'pino';
import { createDesk } from '../../coordinator/decisions/desk.ts';
import type { Answer, Input } from '../../coordinator/decisions/inputs.ts';
import { createDriver, type Driver } from '../../coordinator/journal/driver.ts';
import { openLease } from '../../coordinator/journal/lease.ts';
import type { Observed } from '../../coordinator/model/observed.ts';
import { openRuns, workerWith } from '../../coordinator/model/state.ts';
import { createImageTimes } from '../../coordinator/workers/image-times.ts';
import { createInspector } from '../../coordinator/workers/inspector.ts';
import { createLinks, type Links } from '../../coordinator/workers/links.ts';
import { REDIAL_GRACE_MS } from '../../coordinator/workers/membership.ts';
import { createProgressBoard } from '../../coordinator/workers/progress-board.ts';
import { createReplayer } from '../../coordinator/workers/replayer.ts';
import { createRequests } from '../../coordinator/workers/requests.ts';
import { createRowRefusals } from '../../coordinator/workers/row-refusals.ts';
import { startScreener } from '../../coordinator/workers/screener.ts';
import { createSuspicionBoard } from '../../coordinator/workers/suspicion.ts';
import { createTimeBoard } from '../../coordinator/workers/time-board.ts';
import { createVerdicts } from '../../coordinator/workers/verdicts.ts';
import { createVerifier } from '../../coordinator/workers/verifier.ts';
import { createWorkerService } from '../../coordinator/workers/worker-service.ts';
import type { WorkerCommand, WorkerReport } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { NAMES } from '../support/names.ts';
import type { Broker } from './broker.ts';
import type { Host } from './host.ts';
import { createMemoryJournal, memoryLeaseKey } from './memory-journal.ts';
import { createMemorySnapshots } from './memory-snapshots.ts';

/** How long a silence may be, milliseconds. */
export interface Limits {
  readonly heartbeatIntervalMs: number;
  readonly heartbeatsMissedMax: number;
  readonly reattachGraceMs: number;
  /** Between two beats; 200 in coordinator/beat.ts. */
  readonly tickMs: number;
}

/** One process that decides, or is ready to. */
export interface SimCoordinator {
  readonly host: Host;
  readonly driver: Driver;
  readonly links: Links;
  readonly observe: () => Observed;
  /** Takes the stream of a worker. */
  attach(call: ServerDuplexStream<WorkerReport, WorkerCommand>): void;
  /** As a caller over the API does. */
  submit(input: Input): Promise<Answer | undefined>;
  /** An append does not get through. */
  readonly isTroubled: boolean;
  /** Everything that it was given is decided and on disk. */
  readonly isSettled: boolean;
  /** It has something to do that needs no time to pass. */
  readonly computes: boolean;
}

interface Parts {
  readonly host: Host;
  readonly broker: Broker;
  readonly limits: Limits;
  readonly groupEventsMax: number;
  /** Events between two snapshots at least; absent: as many as in the product. */
  readonly snapshotEvents?: number | undefined;
  /** Called whenever the coordinator may have something to do. */
  readonly stirred: () => void;
  /** It has ended by itself: its supervisor starts another. */
  readonly onFailed: (reason: string) => void;
}

/** A coordinator that has just started; it reads the journal when time passes. */
export function startCoordinator(parts: Parts): SimCoordinator {
  const { host, broker, limits, groupEventsMax, stirred } = parts;
  const { clock } = host;
  const log = pino({ level: 'silent' });
  const links = createLinks({ clock, log, limits });
  const progress = createProgressBoard();
  const imageTimes = createImageTimes();
  const rowRefusals = createRowRefusals();
  const suspicion = createSuspicionBoard({
    now: clock.monotonic,
    heartbeatIntervalMs: limits.heartbeatIntervalMs,
  });
  links.onDetach(progress.removeWorker);
  links.onDetach(suspicion.removeWorker);
  const times = createTimeBoard();
  const observe = (): Observed => ({
    now: clock.now(),
    connected: suspicion.placeable(links.connected),
    openTimeOf: times.of,
    stepOf: (runId) => progress.of(runId)?.point.step,
    speedOf: progress.speedOf,
    secondsOf: imageTimes.secondsOf,
    rowsRefusedOf: rowRefusals.of,
  });
  /** Inputs that were neither taken nor refused yet. */
  let open = 0;
  const journal = createMemoryJournal({ broker, host, groupEventsMax });
  const driver = createDriver({
    ...{ clock, log, observe, journal, desk: createDesk() },
    version: 'sim',
    perform(effect) {
      if (!host.alive) return;
      if (effect.kind === 'send') links.send(effect.workerId, effect.command);
      else links.disconnect(effect.workerId, effect.incarnation, 'lost');
    },
    prepare: () => Promise.resolve(),
    snapshots: createMemorySnapshots({ broker, host, eventsBetween: parts.snapshotEvents }),
    lease: openLease({
      key: memoryLeaseKey({ broker, host }),
      ...{ address: Promise.resolve(host.address), version: 'sim', clock },
    }),
    onLead: ({ workers }) => links.expect(workers),
    onLeave: links.clear,
  });
  void driver.failed.then((error) => host.run(() => parts.onFailed(error.message)));

  function submit(input: Input): Promise<Answer | undefined> {
    open += 1;
    stirred();
    return driver.submit(input).finally(() => {
      open -= 1;
    });
  }
  /** The driver as the service has it, with a count of what it was given. */
  const counted: Driver = Object.create(driver, { submit: { value: submit } });
  const requests = createRequests({
    links,
    onChange: driver.onChange,
    redirect: () => driver.redirect,
    clock,
    state: () => driver.state,
  });
  const service = createWorkerService({
    screener: startScreener({
      ...{ requests, state: () => driver.known, leads: () => driver.leads, clock, log },
      onScored: submit,
    }),
    ...{ driver: counted, links, progress, imageTimes, rowRefusals, suspicion, times, log },
    verifier: createVerifier(requests),
    inspector: createInspector(requests),
    replayer: createReplayer({ requests, state: () => driver.state }),
    welcome: {
      fleet: 'sim',
      heartbeatIntervalMs: limits.heartbeatIntervalMs,
      natsUrl: '',
      names: NAMES.prefixes,
    },
  });

  const verdicts = createVerdicts(submit);
  const judge = () => {
    if (driver.halted !== undefined) return;
    verdicts.submitNew(links.judge().map((lost) => ({ kind: 'lost', ...lost })));
  };
  const judgeSuspects = () => {
    if (driver.halted !== undefined) return;
    for (const { workerId, reason, ms } of suspicion.judge(openRuns(driver.state), requests.occupies)) {
      const incarnation = workerWith(driver.state, workerId)?.incarnation ?? '';
      verdicts.submitNew([
        { kind: 'lost', workerId, incarnation, cause: 'held_up', reason, goneAtMs: clock.now() - ms },
      ]);
    }
  };
  // As in coordinator/beat.ts, one judgement is about all streams that ended together.
  const dues = new Set<number>();
  links.onDetach(() => {
    const due = clock.monotonic() + REDIAL_GRACE_MS + 1;
    if (dues.has(due)) return;
    dues.add(due);
    host.later(REDIAL_GRACE_MS + 1, () => {
      dues.delete(due);
      judge();
    });
  });
  const repeat = (ms: number, action: () => void): void => {
    host.later(ms, () => {
      action();
      stirred();
      repeat(ms, action);
    });
  };
  repeat(limits.tickMs, () => {
    judge();
    judgeSuspects();
    submit({ kind: 'tick' }).catch(() => undefined);
  });
  stirred();
  return {
    ...{ host, driver, links, observe, submit },
    attach: (call) => service.attach(call),
    get isTroubled() {
      return journal.trouble !== undefined;
    },
    get isSettled() {
      return open === 0 && journal.sequence === broker.lastSequence;
    },
    get computes() {
      return host.alive && !host.stopped && open > 0 && !host.waits;
    },
  };
}
