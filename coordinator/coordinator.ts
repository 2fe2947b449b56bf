// One coordinator, put together: broker, journal, core, links, services, metrics. Decides only what is wired to what and
// the beat at which time passes; main.ts is the process around it, tests are another one.

import { join } from 'node:path';
import { createArtefactStore } from '../core/checkpoint/store.ts';
import type { Clock } from '../core/clock.ts';
import { brokerAddress, type CoordinatorConfig, cacheFolder, dataRoots } from '../core/config.ts';
import { createInspections } from '../core/data/inspection/inspections.ts';
import { FleetError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { type GrpcServer, startGrpcServer } from '../core/net/grpc-server.ts';
import { serveMetrics } from '../core/net/http-server.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../core/net/nats.ts';
import { FleetServiceService } from '../proto/gen/pocketfleet/v1/fleet.ts';
import { WorkerServiceService } from '../proto/gen/pocketfleet/v1/worker.ts';
import { createRecords } from './api/records.ts';
import { createFleetService } from './api/service.ts';
import { createSubmissionReader } from './api/submission-reader.ts';
import type { StoreView } from './api/views.ts';
import { startTicking } from './beat.ts';
import type { Effect } from './decisions/inputs.ts';
import { createDriver, type Driver } from './journal/driver.ts';
import { openJournal } from './journal/journal.ts';
import { createJournalRepair } from './journal/journal-repair.ts';
import { sentenceOf } from './journal/why.ts';
import type { PodWatch } from './kubernetes/pods.ts';
import { createMetrics, type Gauged } from './metrics.ts';
import type { Event } from './model/events.ts';
import type { Observed } from './model/observed.ts';
import { initialState } from './model/state.ts';
import { schedule } from './scheduling/scheduler.ts';
import type { StoreState } from './store/store-state.ts';
import { watchStore } from './store/store-watch.ts';
import { createLinks, type Links } from './workers/links.ts';
import { createProgressBoard } from './workers/progress-board.ts';
import { createReplayer } from './workers/replayer.ts';
import { createRequests } from './workers/requests.ts';
import { createSuspicionBoard } from './workers/suspicion.ts';
import { createVerifier } from './workers/verifier.ts';
import { createWorkerService } from './workers/worker-service.ts';

export interface Coordinator {
  readonly endpoint: string;
  readonly metricsEndpoint: string;
  /** Resolves when it cannot go on: the lead is lost or the journal cannot be written. */
  readonly failed: Promise<FleetError>;
  /** Stops taking calls, lets those in progress end, leaves the broker. */
  close(): Promise<void>;
}

/** How long a look for the streams waits before what is wrong is said. */
const STREAMS_WAIT_MS = 3_000;

const CLOSE_GRACE_MS = 1_000;

export async function startCoordinator(options: {
  config: CoordinatorConfig;
  version: string;
  log: Logger;
  clock: Clock;
}): Promise<Coordinator> {
  const { config, log, clock } = options;
  const releases: (() => unknown)[] = [];
  const close = async () => {
    for (const release of releases.splice(0).reverse()) await release();
  };
  try {
    const connection = await connectNats({
      ...brokerAddress(config, config.natsUrl),
      name: 'coordinator',
      clock,
    });
    releases.push(() => connection.close());
    const links = createLinks({ clock, log, limits: config });
    const progress = createProgressBoard();
    const suspicion = createSuspicionBoard({
      now: clock.monotonic,
      heartbeatIntervalMs: config.heartbeatIntervalMs,
    });
    const observe = (): Observed => ({
      now: clock.now(),
      connected: suspicion.placeable(links.connected),
      stepOf: (runId) => progress.of(runId)?.point.step,
      speedOf: progress.speedOf,
    });
    links.onDetach(progress.forgetWorker);
    links.onDetach(suspicion.forget);
    const broker = { connected: true, sinceMs: clock.monotonic() };
    const metrics = createMetrics({
      version: options.version,
      gauged: () => gaugedOf(driver, links, { observed: observe(), broker, store: store().state }),
    });
    const journal = openJournal({ connection, clock, onAppend: metrics.appended });
    let opened = false;
    const driver = createDriver({
      journal,
      clock,
      log,
      version: options.version,
      observe,
      perform: (effect) => perform(links, effect),
      prepare: () => ensureStreams(connection, { clock, journal: false, waitMs: STREAMS_WAIT_MS }),
      onOpen({ workers }) {
        if (opened) links.restart(workers);
        else links.expect(workers);
        opened = true;
      },
      onEvent(event, before, after) {
        logEvent(log, event);
        metrics.event(event, before, after);
      },
    });
    releases.push(driver.close);
    const storeWatch = watchStore({
      connection,
      journal,
      config,
      clock,
      log,
      anyWait: () => progress.anyStoreWait,
      broker,
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
    const begun = await Promise.race([driver.begun, driver.failed]);
    if (begun !== undefined) throw begun;
    const requests = createRequests({ links, clock, state: () => driver.state });
    const verifier = createVerifier(requests);
    const replayer = createReplayer({ requests, state: () => driver.state });
    const submissions = createSubmissionReader();
    releases.push(submissions.close);
    const artefacts = createArtefactStore({ connection, clock });
    const inspections = createInspections({
      roots: dataRoots(config),
      cacheDir: join(config.cacheDir === '' ? cacheFolder() : config.cacheDir, 'data'),
    });
    releases.push(() => inspections.close());
    const repair = createJournalRepair({ connection, clock });
    const volatile = { links, progress, suspicion, verifier, replayer };
    const parts = { driver, journal, repair, store, ...volatile, clock, log, observe };
    const fleetService = createFleetService({
      ...parts,
      submissions,
      records: createRecords({ connection, store: artefacts, log }),
      inspections,
      onSubmission: metrics.submission,
    });
    const welcome = {
      fleet: config.fleet,
      heartbeatIntervalMs: config.heartbeatIntervalMs,
      natsUrl: config.natsUrl,
    };
    const workerService = createWorkerService({ ...parts, welcome });
    const server = await startGrpcServer({
      listen: config.listen,
      token: config.token,
      services: [
        { definition: FleetServiceService, implementation: fleetService },
        { definition: WorkerServiceService, implementation: workerService },
      ],
      healthOf: ['startup', 'readiness', 'liveness'],
      observer: metrics.calls,
    });
    releases.push(() => server.close(CLOSE_GRACE_MS), links.close);
    for (const service of ['startup', 'liveness']) server.setHealth(service, true);
    releases.push(followBroker({ connection, broker, clock, server, log, onReconnect: metrics.reconnected }));
    const http = await serveMetrics({
      listen: config.metricsListen,
      registry: metrics.registry,
      probes: { '/healthz': () => (broker.connected ? undefined : 'the broker is away') },
    });
    let pods: PodWatch | undefined;
    const beat = startTicking({
      driver,
      links,
      connection,
      pods: () => pods,
      suspicion,
      requests,
      broker,
      clock,
    });
    releases.push(http.close, beat.stop);
    pods = await followPods({ config, clock, log, onChange: beat.judge });
    if (pods !== undefined) releases.push(pods.close);
    void driver.failed.then((error) => {
      if (error.code === 'aborted') metrics.fencedWrite();
    });
    return { endpoint: server.endpoint, metricsEndpoint: http.endpoint, failed: driver.failed, close };
  } catch (caught) {
    await close();
    throw caught;
  }
}

function perform(links: Links, effect: Effect): void {
  if (effect.kind === 'send') links.send(effect.workerId, effect.command);
  else links.disconnect(effect.workerId, effect.incarnation, 'this worker was declared lost');
}

/** Every decision once, with its reason; checkpoints are many and told by metrics. */
function logEvent(log: Logger, event: Event): void {
  const level = event.kind === 'run.checkpointed' ? 'debug' : 'info';
  log[level]({ event: event.kind }, sentenceOf(event));
}

/** Before anything was read there is a store to show, and an empty fleet. */
function gaugedOf(
  driver: Driver,
  links: Links,
  at: { observed: Observed; broker: { connected: boolean }; store: StoreState },
): Gauged {
  const state = driver.known ?? initialState;
  return {
    state,
    waiting: schedule(state, at.observed).waiting,
    natsConnected: at.broker.connected,
    leads: driver.leads,
    store: at.store,
    lastSeenMs: links.lastSeenMs,
  };
}

/** Ready while the broker is there: without it nothing can be decided. */
function followBroker(options: {
  connection: NatsConnection;
  broker: { connected: boolean; sinceMs: number };
  clock: Clock;
  server: GrpcServer;
  log: Logger;
  onReconnect: () => void;
}): () => void {
  const { connection, broker, clock, server, log } = options;
  const set = (connected: boolean) => {
    if (connected && !broker.connected) broker.sinceMs = clock.monotonic();
    broker.connected = connected;
    server.setReady(connected);
    server.setHealth('readiness', connected);
  };
  set(true);
  const follow = async () => {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') {
        log.warn('the broker is away');
        set(false);
      } else if (status.type === 'reconnect') {
        log.info('the broker is back');
        options.onReconnect();
        set(true);
      }
    }
  };
  follow().catch((caught) => log.warn({ error: String(caught) }, 'the status of the broker is not followed'));
  return () => undefined;
}

/** Outside of a cluster nobody says more of a worker than it does itself; loading the client would take longer than all the rest. */
async function followPods(options: {
  config: CoordinatorConfig;
  clock: Clock;
  log: Logger;
  onChange: () => void;
}): Promise<PodWatch | undefined> {
  const { podSelector, podNamespace } = options.config;
  if (podSelector === '') return undefined;
  const { watchPods } = await import('./kubernetes/pods.ts');
  return watchPods({ ...options, selector: podSelector, namespace: podNamespace });
}
