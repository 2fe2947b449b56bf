// What callers and workers call, wired: the two services, and what works beside them while this coordinator leads:
// what mends stages, scores candidates, keeps the stream of embeddings and takes out of the store what is let go.

import { createArtefactRemoval } from '../core/checkpoint/artefact-removal.ts';
import type { ArtefactStore } from '../core/checkpoint/store.ts';
import { textOfFile } from '../core/net/broker-address.ts';
import type { Access } from '../core/net/grpc-access.ts';
import type { NatsConnection } from '../core/net/nats.ts';
import type { Names } from '../core/net/subjects.ts';
import { createWorkerUsers } from '../core/net/worker-user.ts';
import { createRecords } from './api/records.ts';
import { createFleetService } from './api/service.ts';
import { createSubmissionReader } from './api/submission-reader.ts';
import { createTeacherImports } from './api/teacher-files.ts';
import type { Core } from './deciding-core.ts';
import { createJournalImport } from './journal/journal-import.ts';
import { createJournalRepair } from './journal/journal-repair.ts';
import type { ObservedFleet } from './observed-fleet.ts';
import type { Releases, StartOptions } from './start-options.ts';
import { type Collector, startCollector } from './store/collector.ts';
import { keepEmbeddingStream } from './store/embedding-sharing.ts';
import { createInspector } from './workers/inspector.ts';
import { startMender } from './workers/mender.ts';
import { createReplayer } from './workers/replayer.ts';
import { createRequests } from './workers/requests.ts';
import { startScreener } from './workers/screener.ts';
import { createVerifier } from './workers/verifier.ts';
import { createWorkerService } from './workers/worker-service.ts';

/** What the services are made from. */
interface Parts {
  readonly connection: NatsConnection;
  readonly names: Names;
  readonly fleet: ObservedFleet;
  readonly core: Core;
  readonly access: Access;
}

/** What callers and workers call. */
export function createServices(
  { config, log, clock, version }: StartOptions,
  parts: Parts,
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
      journalImport: createJournalImport(connection, { names, fleet: config.fleet }, driver.holdCalls),
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
function workerUsers({ config, clock }: Pick<StartOptions, 'config' | 'clock'>, names: Names) {
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
  { clock, log }: Pick<StartOptions, 'clock' | 'log'>,
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

/** The two services, and the requests to workers that they make. */
export type Services = ReturnType<typeof createServices>;
