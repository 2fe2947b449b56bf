// What decides and keeps, wired: the journal, the driver over it, and the watches over the broker and its store.
// Decides what follows from an event that is on disk, beside its effects: a line of the log, a count, a note to
// whoever asked for one.

import type { Holding } from '../core/checkpoint/holdings.ts';
import { createArtefactStore } from '../core/checkpoint/store.ts';
import { createDeferred } from '../core/deferred.ts';
import { FleetError, toFleetError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { ensureStreams, type NatsConnection } from '../core/net/nats.ts';
import type { Names } from '../core/net/subjects.ts';
import type { TokenBook } from '../core/net/token-book.ts';
import { formatBytes } from '../core/text/bytes-text.ts';
import { createArtefacts } from './api/artefacts.ts';
import type { StoreView } from './api/views.ts';
import { watchBroker } from './broker-watch.ts';
import { createDesk } from './decisions/desk.ts';
import type { Effect } from './decisions/inputs.ts';
import { gaugedOf } from './gauged.ts';
import { createDriver } from './journal/driver.ts';
import { openJournal } from './journal/journal.ts';
import { importedError, importWaits } from './journal/journal-import.ts';
import { leaseKeyOf, openLease } from './journal/lease.ts';
import { createSnapshotStore } from './journal/snapshots.ts';
import { sentenceOf } from './journal/why.ts';
import { createMetrics } from './metrics/metrics.ts';
import type { Event } from './model/events.ts';
import { openSearches, type State } from './model/state.ts';
import type { ObservedFleet } from './observed-fleet.ts';
import type { Releases, StartOptions } from './start-options.ts';
import { watchStore } from './store/store-watch.ts';
import { prepareSpaces } from './strategies/spaces.ts';
import type { Links } from './workers/links.ts';

/** How long a look for the streams waits before what is wrong is reported, milliseconds. */
const STREAMS_WAIT_MS = 3_000;

/** Runs that the sentence of a full store names. */
const HOLDERS = 3;
const holderText = ({ runId, bytes }: Holding): string => `${runId} (${formatBytes(bytes)})`;

/**
 * What decides and keeps: journal, driver, and the watches over the broker and its store. The journal is read
 * from here on.
 */
export function startCore(
  options: StartOptions,
  parts: {
    readonly connection: NatsConnection;
    readonly names: Names;
    readonly fleet: ObservedFleet;
    readonly book: TokenBook;
  },
  releases: Releases,
) {
  const { config, log, clock, version } = options;
  const { connection, names, fleet, book } = parts;
  const { links, progress, times, observe } = fleet;
  const desk = createDesk(clock);
  const metrics = createMetrics({
    ...{ version, revision: options.revision, keepMs: config.metricsKeepMs, now: clock.now },
    gauged: () =>
      gaugedOf({ driver, links, progress, times, desk, broker, names, config, book, store: store() }),
  });
  const broker = watchBroker({ connection, clock, log, onReconnect: metrics.reconnected });
  releases.push(broker.close);
  const journal = openJournal({
    connection,
    names,
    fleet: config.fleet,
    version,
    replicas: config.journalReplicas,
    clock,
    onAppend: metrics.appended,
  });
  const address = createDeferred<string>();
  /** Called for each event that is on disk, and whenever this coordinator begins to lead. */
  const noting: ((event: Event) => void)[] = [];
  const beginning: (() => void)[] = [];
  const driver = createDriver({
    snapshots: createSnapshotStore({ connection, names, clock, log, eventsBetween: options.snapshotEvents }),
    ...{ journal, clock, log, version, observe, desk },
    lease: openLease({
      ...{ key: leaseKeyOf(connection, names.fleetBucket), address: address.promise, version, clock },
    }),
    importWaits: () => importWaits(connection, names),
    perform: (effect) => perform(links, effect),
    prepare: () =>
      ensureStreams(connection, names, {
        ...{ clock, journal: false, waitMs: STREAMS_WAIT_MS },
        replicas: { journal: config.journalReplicas, store: config.storeReplicas },
      }),
    beforeDecisions: (state) => prepareSpaces(openSearches(state)),
    onLead(state) {
      links.expect(state.workers);
      metrics.begin(state);
      configure();
      for (const begin of beginning) begin();
    },
    onLeave(error) {
      links.clear(error);
      metrics.leave();
    },
    onLeaseRenewed: metrics.leaseRenewed,
    onDeposed: metrics.fencedWrite,
    onEvent(event, after) {
      logEvent(log, event, after);
      metrics.event(event, after);
      if (event.kind === 'worker.lost') times.remove(event.workerId, event.incarnation);
      for (const note of noting) note(event);
    },
  });
  /** What the configuration says about sharing and workers becomes part of the journal. */
  const configure = () => {
    const { quotas, workerKinds, usageHalfLifeHours } = config;
    const usageHalfLifeMs = usageHalfLifeHours * 3_600_000;
    driver.submit({ kind: 'configured', quotas, workerKinds, usageHalfLifeMs }).catch((caught) => {
      log.error(`quotas and kinds of workers are not in force: ${toFleetError(caught).message}`);
    });
  };
  // A start that failed before it listened waits for no address.
  releases.push(driver.close, () => address.reject(new FleetError('cancelled', 'it does not listen')));
  const artefacts = createArtefactStore({ connection, names, clock });
  releases.push(() => artefacts.close());
  const listed = createArtefacts({ store: artefacts, names });
  const storeWatch = watchStore({
    holders: async () => (await listed.largest(HOLDERS)).map(holderText),
    ...{ connection, names, journal, config, clock, log },
    broker: {
      // A standby leaves the streams and their limits to the leader.
      get connected() {
        return broker.connected && driver.redirect === undefined;
      },
      get sinceMs() {
        return broker.sinceMs;
      },
    },
    anyWait: () => progress.anyStoreWait,
    onLook: (state, news) => {
      driver.refuse(state.kind === 'ok' ? undefined : new FleetError('resourceExhausted', state.reason));
      if (news) driver.touch();
    },
  });
  releases.push(storeWatch.stop);
  const store = (): StoreView => ({
    state: storeWatch.state,
    halted: driver.halted?.message ?? '',
    blocksDecisions: journal.trouble !== undefined,
  });
  const ended = createDeferred<FleetError>();
  void driver.failed.then(ended.resolve);
  const imported = () => ended.resolve(importedError());
  return {
    ...{ metrics, broker, journal, driver, store, address, desk, noting, beginning, imported },
    ...{ artefacts, listed },
    failed: ended.promise,
  };
}

/** The journal, the driver and the watches of one coordinator, and how others hear of events. */
export type Core = ReturnType<typeof startCore>;

function perform(links: Links, effect: Effect): void {
  if (effect.kind === 'send') links.send(effect.workerId, effect.command);
  else links.disconnect(effect.workerId, effect.incarnation, 'this worker was declared lost');
}

/**
 * Logs every decision once, with its reason. Checkpoints and slices of time are many: they are counted by metrics
 * and logged at `debug`.
 */
function logEvent(log: Logger, event: Event, state: State): void {
  const level = event.kind === 'run.checkpointed' || event.kind === 'worker.spent' ? 'debug' : 'info';
  log[level]({ event: event.kind }, sentenceOf(event, state));
}
