// The worker's way to the broker: who it is there, when it dials, and what stands on the two connections. Decides
// which identity counts: a user that the configuration names, else the rights that the coordinator signs for a key
// of this process.

import { createDataPlane, type DataPlane } from '../core/allreduce/plane.ts';
import { createArtefactStore } from '../core/checkpoint/store.ts';
import { systemClock } from '../core/clock.ts';
import { brokerAddress, type WorkerConfig } from '../core/config.ts';
import { createDeferred } from '../core/deferred.ts';
import { toFleetError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { hasOwnIdentity, type WorkerIdentity } from '../core/net/broker-address.ts';
import { followConnection } from '../core/net/connection-status.ts';
import { connectNats } from '../core/net/nats.ts';
import type { Names } from '../core/net/subjects.ts';
import { createUserKey } from '../core/net/worker-user.ts';
import type { WorkerMetrics } from './metrics.ts';
import { createCheckpoints } from './run/checkpoints.ts';
import { createRecords } from './run/history.ts';
import type { Broker } from './run/services.ts';

/** Records that wait for the broker get so long to arrive when the worker stops, milliseconds. */
const FLUSH_MS = 2000;

/** The broker as the worker reaches it. */
export interface BrokerDial {
  /** Resolves once the broker has been reached for the first time. */
  readonly broker: Promise<Broker>;
  /** Public half of the key that the coordinator signs rights for; undefined where the worker has a user of its own. */
  readonly brokerKey: string | undefined;
  /**
   * Connects when it is called for the first time: a worker knows its names from the first welcome on. The JWT
   * of a later welcome counts from the next connection on.
   */
  connectOnce(to: { readonly url: string; readonly names: Names; readonly jwt: string | undefined }): void;
  /** A newer JWT of the rights. */
  renew(jwt: string): void;
}

/** Adds to `releases` what ends the dialling and the connections. */
export function createBrokerDial(
  parts: Pick<Parameters<typeof connectBroker>[0], 'config' | 'log' | 'metrics' | 'brokerLink'>,
  releases: (() => unknown)[],
): BrokerDial {
  const broker = createDeferred<Broker>();
  const key = hasOwnIdentity(brokerAddress(parts.config, '')) ? undefined : createUserKey();
  let rights: { readonly identity: WorkerIdentity; gradients: DataPlane | undefined } | undefined;
  const renew = (jwt: string) => {
    if (rights === undefined) return;
    rights.identity.jwt = jwt;
    rights.gradients?.renewRights(jwt);
  };
  const connecting = new AbortController();
  releases.push(() => connecting.abort());
  let dialled = false;
  return {
    broker: broker.promise,
    brokerKey: key?.publicKey,
    renew,
    connectOnce({ url, names, jwt }) {
      if (dialled) {
        if (jwt !== undefined) renew(jwt);
        return;
      }
      dialled = true;
      if (key !== undefined && jwt !== undefined)
        rights = { identity: { seed: key.seed, jwt }, gradients: undefined };
      const worker = rights?.identity;
      void connectBroker({ ...parts, url, names, worker, signal: connecting.signal }).then(
        (reached) => {
          if (rights !== undefined) {
            rights.gradients = reached.broker.gradients;
            renew(rights.identity.jwt);
          }
          parts.brokerLink.up = true;
          broker.resolve(reached.broker);
          releases.push(() => reached.close());
        },
        (caught: unknown) => {
          if (connecting.signal.aborted) return;
          parts.log.fatal(`broker: ${toFleetError(caught).message}`);
          process.exit(1);
        },
      );
    },
  };
}

/** Opens two connections, so that what a run stores does not queue behind what it sums. */
async function connectBroker(options: {
  readonly url: string;
  readonly names: Names;
  /** What the coordinator gave; undefined: the worker has a user of its own, or nobody needs one. */
  readonly worker: WorkerIdentity | undefined;
  readonly config: WorkerConfig;
  readonly log: Logger;
  readonly metrics: WorkerMetrics;
  readonly brokerLink: { up: boolean };
  readonly signal: AbortSignal;
}) {
  const { url, names, worker, config, log, metrics, signal } = options;
  const address = { ...brokerAddress(config, url), worker };
  const common = { ...address, signal, waitMs: Number.MAX_SAFE_INTEGER };
  const inboxPrefix = names.inboxPrefix(config.id);
  const [control, gradients] = await Promise.all([
    connectNats({ ...common, inboxPrefix, name: `${config.id} control` }),
    createDataPlane({
      ...{ ...common, name: `${config.id} gradients`, prefixes: names.prefixes, log },
      sharing: config.sharedMemoryDir === '' ? undefined : { folder: config.sharedMemoryDir },
    }),
  ]);
  const unfollow = followConnection(
    control,
    (isUp) => brokerChanged(isUp, options),
    (error) => log.error({ code: error.code }, error.message),
  );
  void gradients.died.then((reason) => {
    log.fatal({ code: reason.code }, `${reason.message}; the process ends, and its runs go on elsewhere`);
    process.exit(1);
  });
  const clock = systemClock;
  const store = createArtefactStore({ connection: control, names, clock, signal });
  const records = createRecords({ connection: control, names, workerId: config.id, clock, log });
  const broker: Broker = {
    control,
    names,
    gradients,
    checkpoints: createCheckpoints({ store, names, clock, log, metrics }),
    records,
  };
  return {
    broker,
    close: async () => {
      await records.flush(FLUSH_MS);
      records.close();
      unfollow();
      await Promise.all([store.close(), control.close(), gradients.close()]);
    },
  };
}

function brokerChanged(
  isUp: boolean,
  options: { readonly log: Logger; readonly metrics: WorkerMetrics; readonly brokerLink: { up: boolean } },
): void {
  const { log, metrics, brokerLink } = options;
  brokerLink.up = isUp;
  if (isUp) {
    log.info('the broker is back');
    metrics.natsReconnects.inc({ component: 'worker' });
  } else log.warn('the broker is away; work that needs it waits');
}
