// One coordinator, put together by hand. Decides only what is wired to what, and the order in which parts are
// opened and, in reverse, closed: it listens first, because the lease of the lead names its address, and answers
// calls once it is known who leads; it gives the lead back before anything else ends. The process around it is
// main.ts; tests start several in one process.

import { hostname } from 'node:os';
import { createArtefactRemoval } from '../core/checkpoint/artefact-removal.ts';
import type { Holding } from '../core/checkpoint/holdings.ts';
import { type ArtefactStore, createArtefactStore } from '../core/checkpoint/store.ts';
import type { Clock } from '../core/clock.ts';
import { brokerAddress, type CoordinatorConfig } from '../core/config.ts';
import { createDeferred } from '../core/deferred.ts';
import { FleetError, toFleetError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { textOfFile } from '../core/net/broker-address.ts';
import { type Access, createAccess } from '../core/net/grpc-access.ts';
import { type GrpcServer, startGrpcServer } from '../core/net/grpc-server.ts';
import { type MetricsServer, serveMetrics } from '../core/net/http-server.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../core/net/nats.ts';
import type { Names } from '../core/net/subjects.ts';
import { fileExpiryMs } from '../core/net/tls-files.ts';
import { createTokenBook, type TokenBook } from '../core/net/token-book.ts';
import { createWorkerUsers } from '../core/net/worker-user.ts';
import { formatBytes } from '../core/text/bytes-text.ts';
import { formatHostPort, parseHostPort, withPort } from '../core/text/host-port.ts';
import { WorkerServiceService } from '../proto/gen/pocketfleet/v1/worker.ts';
import { createAccessJournal } from './api/access-journal.ts';
import { createArtefacts } from './api/artefacts.ts';
import { createRecords } from './api/records.ts';
import { createFleetService } from './api/service.ts';
import { fleetServiceDefinition } from './api/shared-encoding.ts';
import { createSubmissionReader } from './api/submission-reader.ts';
import { createTeacherImports } from './api/teacher-files.ts';
import type { StoreView } from './api/views.ts';
import { startTicking } from './beat.ts';
import { watchBroker } from './broker-watch.ts';
import { demandOf, followPods, scaleWorkers, showLead } from './cluster.ts';
import { createDesk, type Desk } from './decisions/desk.ts';
import type { Effect } from './decisions/inputs.ts';
import { encryptionOf } from './encryption.ts';
import { createDriver, type Driver } from './journal/driver.ts';
import { findNames } from './journal/fleet-names.ts';
import { openJournal } from './journal/journal.ts';
import { createJournalImport } from './journal/journal-import.ts';
import { createJournalRepair } from './journal/journal-repair.ts';
import { leaseKeyOf, openLease } from './journal/lease.ts';
import { createSnapshotStore } from './journal/snapshots.ts';
import { sentenceOf } from './journal/why.ts';
import type { PodWatch } from './kubernetes/pods.ts';
import type { Gauged } from './metrics/gauges.ts';
import { createMetrics } from './metrics/metrics.ts';
import type { Event } from './model/events.ts';
import type { Observed } from './model/observed.ts';
import { openSearches, type State } from './model/state.ts';
import { waitsOf } from './scheduling/waits.ts';
import { type Collector, startCollector } from './store/collector.ts';
import { keepEmbeddingStream } from './store/embedding-sharing.ts';
import { watchStore } from './store/store-watch.ts';
import { prepareSpaces } from './strategies/spaces.ts';
import { createImageTimes } from './workers/image-times.ts';
import { createInspector } from './workers/inspector.ts';
import { createLinks, type Links } from './workers/links.ts';
import { startMender } from './workers/mender.ts';
import { createProgressBoard, type ProgressBoard } from './workers/progress-board.ts';
import { createReplayer } from './workers/replayer.ts';
import { createRequests, type Requests } from './workers/requests.ts';
import { createRowRefusals } from './workers/row-refusals.ts';
import { startScreener } from './workers/screener.ts';
import { createSuspicionBoard } from './workers/suspicion.ts';
import { createTimeBoard, fleetSeconds, type TimeBoard } from './workers/time-board.ts';
import { createVerifier } from './workers/verifier.ts';
import { createWorkerService } from './workers/worker-service.ts';

/** A coordinator that takes calls. */
export interface Coordinator {
  readonly endpoint: string;
  readonly metricsEndpoint: string;
  /** It answers calls now; a standby does not. */
  readonly ready: boolean;
  /** Resolves when it cannot go on: the broker refuses it for good. */
  readonly failed: Promise<FleetError>;
  /** Stops taking calls, lets those in progress end, leaves the broker. */
  close(): Promise<void>;
}

/** How long a look for the streams waits before what is wrong is reported, milliseconds. */
const STREAMS_WAIT_MS = 3_000;
/** How long calls that are under way may take when the coordinator closes, milliseconds. */
const CLOSE_GRACE_MS = 1_000;

/** Runs that the sentence of a full store names. */
const HOLDERS = 3;
const holderText = ({ runId, bytes }: Holding): string => `${runId} (${formatBytes(bytes)})`;

interface Options {
  readonly config: CoordinatorConfig;
  readonly version: string;
  /** Of its sources. */
  readonly revision: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** Events between two snapshots at least; absent: see `createSnapshotStore`. */
  readonly snapshotEvents?: number;
}

type Releases = (() => unknown)[];

interface Parts {
  readonly connection: NatsConnection;
  readonly names: Names;
  readonly fleet: ReturnType<typeof observeFleet>;
  readonly core: ReturnType<typeof startCore>;
  readonly access: Access;
  readonly services: ReturnType<typeof createServices>;
}

/**
 * Starts a coordinator; resolves once it leads or stands by, or knows why it can do neither. When a part cannot
 * be opened those before it are closed again.
 */
export async function startCoordinator(options: Options): Promise<Coordinator> {
  /** What has to be closed, in the order in which it was opened. */
  const releases: Releases = [];
  const close = async () => {
    for (const release of releases.splice(0).reverse()) await release();
  };
  try {
    const book = openBook(options, releases);
    const connection = await connectBroker(options, releases);
    const names = await findNames({ connection, fleet: options.config.fleet, clock: options.clock });
    const fleet = observeFleet(options);
    const core = startCore(options, { connection, names, fleet, book }, releases);
    const access = openAccess(options, { core, book }, releases);
    const services = createServices(options, { connection, names, fleet, core, access }, releases);
    const server = await openCalls(options, { fleet, core, services, access }, releases);
    core.address.resolve(addressOf(server.endpoint, options.config.advertise));
    const http = await openMetrics(options, core, releases);
    await keepTime(options, { connection, names, fleet, core, requests: services.requests }, releases);
    await firstReading(core.driver);
    // Before anything else ends, so that another coordinator leads while this one still closes.
    releases.push(core.driver.close);
    return {
      endpoint: server.endpoint,
      metricsEndpoint: http.endpoint,
      get ready() {
        return core.driver.redirect === undefined;
      },
      failed: core.failed,
      close,
    };
  } catch (caught) {
    await close();
    throw caught;
  }
}

/** The tokens that are accepted, before anything else: a file of tokens that cannot be read ends the start. */
function openBook({ config, clock, log }: Options, releases: Releases): TokenBook {
  const book = createTokenBook(config, {
    clock,
    onTrouble: (trouble) =>
      trouble === undefined ? log.info('the files of tokens are read again') : log.error(trouble),
  });
  releases.push(book.close);
  if (book.isOpen)
    log.warn(
      'authentication is off: whoever reaches this coordinator may do everything; set a token, or a file of tokens',
    );
  return book;
}

async function connectBroker({ config, clock }: Options, releases: Releases): Promise<NatsConnection> {
  const address = brokerAddress(config, config.natsUrl);
  const connection = await connectNats({ ...address, name: 'coordinator', clock });
  releases.push(() => connection.close());
  return connection;
}

/** The volatile half: who is on a stream, how far runs are, who complains of whom. Empty after each start. */
function observeFleet({ config, log, clock }: Options) {
  const links = createLinks({ clock, log, limits: config });
  const progress = createProgressBoard();
  const imageTimes = createImageTimes();
  const rowRefusals = createRowRefusals();
  const { heartbeatIntervalMs } = config;
  const suspicion = createSuspicionBoard({ now: clock.monotonic, heartbeatIntervalMs });
  const times = createTimeBoard();
  links.onDetach(progress.removeWorker);
  links.onDetach(suspicion.removeWorker);
  const observe = (): Observed => ({
    now: clock.now(),
    connected: suspicion.placeable(links.connected),
    stepOf: (runId) => progress.of(runId)?.point.step,
    speedOf: progress.speedOf,
    secondsOf: imageTimes.secondsOf,
    imageRowsBytes: config.imageRowsBytes,
    rowsRefusedOf: rowRefusals.of,
    openTimeOf: times.of,
  });
  return { links, progress, imageTimes, rowRefusals, suspicion, times, observe };
}

/**
 * What decides and keeps: journal, driver, and the watches over the broker and its store. The journal is read
 * from here on.
 */
function startCore(
  options: Options,
  parts: Pick<Parts, 'connection' | 'names' | 'fleet'> & { readonly book: TokenBook },
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
  const imported = () =>
    ended.resolve(
      new FleetError('failedPrecondition', 'a journal was imported; the next start begins with it'),
    );
  return {
    ...{ metrics, broker, journal, driver, store, address, desk, noting, beginning, imported },
    ...{ artefacts, listed },
    failed: ended.promise,
  };
}

/** Waits until there is something to show: who leads is known, or why the journal cannot be read. */
async function firstReading({ begun, failed }: Driver): Promise<void> {
  const error = await Promise.race([begun, failed]);
  if (error !== undefined) throw error;
}

/** The check of each call, and what is noted of it. */
function openAccess(
  { clock, log }: Options,
  { core, book }: Pick<Parts, 'core'> & { readonly book: TokenBook },
  releases: Releases,
): Access {
  const noted = createAccessJournal({ driver: core.driver, book, clock, log });
  const access = createAccess({
    book,
    onRefused(call) {
      core.metrics.refusedCall(call);
      noted.refused(call);
    },
  });
  releases.push(access.close, noted.close);
  return access;
}

/** What callers and workers call. */
function createServices(
  { config, log, clock, version }: Options,
  parts: Pick<Parts, 'connection' | 'names' | 'fleet' | 'core' | 'access'>,
  releases: Releases,
) {
  const { connection, names, fleet, core, access } = parts;
  const state = () => core.driver.state;
  const { driver } = core;
  const requests = createRequests({
    ...{ links: fleet.links, clock, state },
    onChange: driver.onChange,
    redirect: () => driver.redirect,
  });
  const submissions = createSubmissionReader();
  releases.push(submissions.close);
  const inspector = createInspector(requests);
  releases.push(inspector.close);
  const { artefacts, listed } = core;
  const collector = collectorOf({ clock, log }, { connection, names, core, artefacts });
  releases.push(collector.stop);
  const shared = {
    ...{ ...core, ...fleet, clock, log },
    verifier: createVerifier(requests),
    replayer: createReplayer({ requests, state }),
    inspector,
    reading: collector.read,
    artefacts: listed,
  };
  const mender = startMender({
    ...{ replayer: shared.replayer, clock, log, read: collector.read },
    state: () => core.driver.known,
    leads: () => core.driver.leads,
    onMended: (verdict) => core.driver.submit(verdict),
  });
  releases.push(mender.stop);
  const screener = startScreener({
    ...{ requests, clock, log },
    state: () => core.driver.known,
    leads: () => core.driver.leads,
    onScored: (scored) => core.driver.submit(scored),
  });
  releases.push(screener.stop);
  const sharing = keepEmbeddingStream({
    ...{ connection, names, clock, log, bytesMax: config.embeddingStreamBytes },
    state: () => core.driver.known,
    leads: () => core.driver.leads,
  });
  core.noting.push(sharing.note);
  releases.push(sharing.stop);
  return {
    requests,
    fleetService: createFleetService({
      ...shared,
      submissions,
      journalImport: createJournalImport(connection, { names, fleet: config.fleet }),
      onImported: core.imported,
      teacherImports: createTeacherImports({ driver, store: artefacts, names, clock }),
      repair: createJournalRepair({ connection, names, fleet: config.fleet, version, clock }),
      records: createRecords({ connection, names, store: artefacts, log }),
      onSubmission: core.metrics.submission,
      principalOf: access.principalOf,
    }),
    workerService: createWorkerService({
      ...shared,
      screener,
      users: workerUsers({ config, clock }, names),
      welcome: {
        fleet: config.fleet,
        heartbeatIntervalMs: config.heartbeatIntervalMs,
        natsUrl: config.natsUrl,
        names: names.prefixes,
      },
    }),
  };
}

/** Undefined where workers have users of their own on the broker. */
function workerUsers({ config, clock }: Pick<Options, 'config' | 'clock'>, names: Names) {
  const from = config.natsWorkersSeedFile;
  if (from === '') return undefined;
  return createWorkerUsers({
    seed: textOfFile(from, "the seed of the workers' account"),
    from,
    names,
    clock,
  });
}

/** Takes out of the store what decisions let go, while this coordinator leads. */
function collectorOf(
  { clock, log }: Pick<Options, 'clock' | 'log'>,
  {
    connection,
    names,
    core,
    artefacts,
  }: Pick<Parts, 'connection' | 'names' | 'core'> & { readonly artefacts: ArtefactStore },
): Collector {
  const collector = startCollector({
    ...{ store: artefacts, names, clock, log },
    removal: createArtefactRemoval({ connection, names }),
    state: () => core.driver.state,
    leads: () => core.driver.leads,
    onCollected: (collected) => core.driver.submit({ kind: 'collected', ...collected }),
  });
  core.noting.push(collector.note);
  core.beginning.push(collector.begin);
  if (core.driver.leads) collector.begin();
  return collector;
}

/**
 * The gRPC server: alive from now on, and ready while the broker is there and this coordinator has something to
 * show. A standby answers no call; its refusal names the leader.
 */
async function openCalls(
  { config, log, clock }: Options,
  { fleet, core, services, access }: Pick<Parts, 'fleet' | 'core' | 'services' | 'access'>,
  releases: Releases,
): Promise<GrpcServer> {
  const server = await startGrpcServer({
    listen: config.listen,
    access,
    services: [
      { definition: fleetServiceDefinition, implementation: services.fleetService },
      { definition: WorkerServiceService, implementation: services.workerService },
    ],
    healthOf: ['startup', 'readiness', 'following', 'liveness'],
    observer: core.metrics.calls,
    tls: encryptionOf(config, { log, clock }),
    healthListen: config.healthListen,
  });
  releases.push(() => server.close(CLOSE_GRACE_MS), fleet.links.close);
  for (const service of ['startup', 'liveness']) server.setHealth(service, true);
  const { driver, broker } = core;
  let refused: FleetError | undefined;
  const shown = new Map<string, boolean>();
  const setHealth = (name: string, serving: boolean) => {
    if (shown.get(name) === serving) return;
    shown.set(name, serving);
    server.setHealth(name, serving);
    if (name === 'readiness') server.setReady(serving);
  };
  const show = () => {
    const { redirect, follows } = driver;
    if (refused !== redirect) server.refuse(redirect);
    refused = redirect;
    setHealth('readiness', broker.connected && redirect === undefined);
    setHealth('following', broker.connected && follows);
  };
  broker.onChange(show);
  releases.push(driver.onChange(show));
  return server;
}

/** The metrics, and the probe that a supervisor asks. */
async function openMetrics(
  { config }: Options,
  { metrics, broker, driver }: Parts['core'],
  releases: Releases,
): Promise<MetricsServer> {
  const server = await serveMetrics({
    listen: config.metricsListen,
    registry: metrics.registry,
    probes: {
      '/healthz': () => (broker.connected ? driver.redirect?.message : 'the broker is away'),
    },
  });
  releases.push(server.close);
  return server;
}

/** The beat at which time passes, and in a cluster the watch over the pods of the workers. */
async function keepTime(
  options: Options,
  {
    connection,
    names,
    fleet,
    core,
    requests,
  }: Pick<Parts, 'connection' | 'names' | 'fleet' | 'core'> & { requests: Requests },
  releases: Releases,
): Promise<void> {
  let pods: PodWatch | undefined;
  const { clock } = options;
  const { driver, broker } = core;
  const { links, suspicion } = fleet;
  const beat = startTicking({
    driver,
    links,
    connection,
    names,
    suspicion,
    requests,
    broker,
    clock,
    pods: () => pods,
  });
  releases.push(beat.stop);
  pods = await followPods({ ...options, metrics: core.metrics, onChange: beat.judge });
  if (pods !== undefined) releases.push(pods.close);
  for (const part of [await showLead({ ...options, ...core }), await scaleWorkers({ ...options, ...core })])
    if (part !== undefined) releases.push(part.close);
}

/** Where others reach it: as configured, or where it listens, with the name of this machine for every address. */
function addressOf(endpoint: string, advertise: string): string {
  const { host, port } = parseHostPort(endpoint);
  if (advertise !== '') return withPort(advertise, port);
  const isEvery = host === '0.0.0.0' || host === '::';
  return formatHostPort({ host: isEvery ? hostname() : host, port });
}

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

/** What the gauges show; before the journal was read that is the store, and an empty fleet. */
function gaugedOf(parts: {
  readonly driver: Driver;
  readonly links: Links;
  readonly progress: ProgressBoard;
  readonly times: TimeBoard;
  readonly desk: Desk;
  readonly broker: { readonly connected: boolean };
  readonly names: Names;
  readonly config: Pick<CoordinatorConfig, 'tlsCertFile' | 'scaleWorkers'>;
  readonly book: Pick<TokenBook, 'listed'>;
  readonly store: StoreView;
}): Gauged {
  const { driver, links, progress, times, desk, broker, names, config, book, store } = parts;
  const kinds = streamKinds(names);
  return {
    state: driver.known,
    time: driver.known && fleetSeconds(driver.known, times),
    waiting: waitsOf(desk.board),
    workersDesired: () => demandOf(desk, config),
    natsConnected: broker.connected,
    leads: driver.leads,
    halted: driver.halted !== undefined,
    store: store.state,
    streams: store.state.streams.flatMap(({ name, bytes, bytesMax }) => {
      const kind = kinds.get(name);
      return kind === undefined ? [] : [{ kind, bytes, bytesMax }];
    }),
    certificateExpiryMs: fileExpiryMs(config.tlsCertFile),
    tokenExpiries: book.listed.flatMap(({ name, role, expires, revoked }) =>
      expires === undefined || revoked !== undefined ? [] : [{ name, role, atMs: Date.parse(expires) }],
    ),
    lastSeenMs: links.lastSeenMs,
    progressOf(run) {
      const newest = progress.of(run.id);
      if (newest === undefined) return undefined;
      const { generation, point, openRoundSteps, waitingForStage } = newest;
      const waitsForStore = progress.storeWaitOf(run) !== undefined;
      const waitsFor = waitsForStore ? 'store' : waitingForStage > 0 ? 'teacher_stage' : undefined;
      return { generation, step: point.step, openRoundSteps, waitsFor };
    },
  };
}

/** What each stream of the broker holds, as the metrics name it. */
function streamKinds(names: Names): ReadonlyMap<string, Gauged['streams'][number]['kind']> {
  return new Map([
    [names.journalStream, 'journal'],
    [`KV_${names.fleetBucket}`, 'lead'],
    [names.manifestStream, 'manifests'],
    [names.artefactStream, 'artefacts'],
    [names.historyStream, 'history'],
    [names.logStream, 'logs'],
  ]);
}
