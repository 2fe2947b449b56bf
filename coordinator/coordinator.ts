// One coordinator, put together by hand. Decides only the order in which its parts are opened and, in reverse, closed:
// it listens before it leads, because the lease of the lead names its address, and answers calls once it is known who
// leads; it gives the lead back before anything else ends. The process around it is main.ts; tests start several in
// one process.

import { hostname } from 'node:os';
import { brokerAddress } from '../core/config.ts';
import type { FleetError } from '../core/errors.ts';
import { type Access, createAccess } from '../core/net/grpc-access.ts';
import { connectNats, type NatsConnection } from '../core/net/nats.ts';
import type { Names } from '../core/net/subjects.ts';
import { createTokenBook, type TokenBook } from '../core/net/token-book.ts';
import { formatHostPort, parseHostPort, withPort } from '../core/text/host-port.ts';
import { createAccessJournal } from './api/access-journal.ts';
import { startTicking } from './beat.ts';
import { followPods, scaleWorkers, showLead } from './cluster.ts';
import { type Core, startCore } from './deciding-core.ts';
import type { Driver } from './journal/driver.ts';
import { findNames } from './journal/fleet-names.ts';
import type { PodWatch } from './kubernetes/pods.ts';
import { openCalls, openMetrics } from './listeners.ts';
import { type ObservedFleet, observeFleet } from './observed-fleet.ts';
import { createServices } from './services.ts';
import type { Releases, StartOptions } from './start-options.ts';
import type { Requests } from './workers/requests.ts';

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

/**
 * Starts a coordinator; resolves once it leads or stands by, or knows why it can do neither. When a part cannot
 * be opened those before it are closed again.
 */
export async function startCoordinator(options: StartOptions): Promise<Coordinator> {
  const releases: Releases = [];
  const close = async () => {
    for (const release of releases.splice(0).reverse()) await release();
  };
  try {
    const book = openBook(options, releases);
    const connection = await connectBroker(options, releases);
    const { config, clock, log } = options;
    const names = await findNames({ connection, fleet: config.fleet, clock, log });
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
function openBook({ config, clock, log }: StartOptions, releases: Releases): TokenBook {
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

async function connectBroker({ config, clock }: StartOptions, releases: Releases): Promise<NatsConnection> {
  const address = brokerAddress(config, config.natsUrl);
  const connection = await connectNats({ ...address, name: 'coordinator', clock });
  releases.push(() => connection.close());
  return connection;
}

/** Waits until there is something to show: who leads is known, or why the journal cannot be read. */
async function firstReading({ begun, failed }: Driver): Promise<void> {
  const error = await Promise.race([begun, failed]);
  if (error !== undefined) throw error;
}

/** The check of each call, and what is noted of it. */
function openAccess(
  { clock, log }: StartOptions,
  { core, book }: { readonly core: Core; readonly book: TokenBook },
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

/** The beat at which time passes, and in a cluster the watch over the pods of the workers. */
async function keepTime(
  options: StartOptions,
  parts: {
    readonly connection: NatsConnection;
    readonly names: Names;
    readonly fleet: ObservedFleet;
    readonly core: Core;
    readonly requests: Requests;
  },
  releases: Releases,
): Promise<void> {
  const { connection, names, fleet, core, requests } = parts;
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
