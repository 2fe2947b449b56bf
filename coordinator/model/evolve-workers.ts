// What events do to a worker. Lost ones are remembered for a while, because a list of workers shows them; a
// fleet whose machines come and go under new names would collect them for ever.

import type { EventOf } from './events.ts';
import { forgetWorkerAccount } from './evolve-time.ts';
import { optional, recount, type Working, withNewest } from './folding.ts';
import { lookup, withEntry, withoutEntry } from './persistent-map.ts';
import type { WorkerState } from './state.ts';

/** Lost workers that are remembered. */
const LOST_MAX = 1_000;

/** A process of a worker has attached. */
export function workerAttached(w: Working, event: EventOf<'worker.attached'>): void {
  const { atMs, workerId, deviceId, memoryBytes, deviceCount, labels, code } = event;
  const { reason, incarnation, deviceKind, deviceName, deviceClass, slots } = event;
  const { host, pid, version, metricsEndpoint, podUid } = event;
  const before = lookup(w.workers, workerId);
  recount(w, before && `worker ${before.state}`, 'worker attached');
  const runs = before?.runs ?? [];
  const worker: WorkerState = {
    ...{ id: workerId, state: 'attached', reason, changedAtMs: atMs, incarnation },
    ...{ deviceKind, deviceName, deviceClass, slots },
    ...{ host, pid, version, metricsEndpoint, podUid, runs },
    ...optional('deviceId', deviceId),
    ...optional('memoryBytes', memoryBytes),
    ...optional('deviceCount', deviceCount),
    ...optional('labels', labels),
    ...optional('code', code),
  };
  w.workers = withEntry(w.workers, workerId, worker, w.edit);
  if (event.code !== undefined) w.code = event.code;
}

/** A worker drains, gets work again, or is lost. */
export function workerChanged(
  w: Working,
  event: EventOf<'worker.draining'> | EventOf<'worker.undrained'> | EventOf<'worker.lost'>,
  now: 'attached' | 'draining' | 'lost',
): void {
  const known = lookup(w.workers, event.workerId);
  if (known === undefined) return;
  const { drainsByRequest: _drains, ...before } = known;
  const byRequest =
    event.kind === 'worker.draining' && event.byRequest ? { drainsByRequest: true as const } : {};
  recount(w, `worker ${before.state}`, `worker ${now}`);
  const { reason, atMs } = event;
  const lossCause =
    event.kind === 'worker.lost' && event.cause !== undefined ? { lossCause: event.cause } : {};
  const lostAs = now === 'lost' ? { lostAs: w.lostWorkers.count + 1, ...lossCause } : {};
  const worker = { ...before, state: now, reason, changedAtMs: atMs, ...lostAs, ...byRequest };
  w.workers = withEntry(w.workers, before.id, worker, w.edit);
  if (now !== 'lost') return;
  w.lostWorkers = withNewest(
    w.lostWorkers,
    { key: before.id, value: true, max: LOST_MAX, edit: w.edit },
    (id, place) => {
      const oldest = lookup(w.workers, id);
      if (oldest?.state !== 'lost' || oldest.lostAs !== place) return;
      recount(w, 'worker lost', undefined);
      w.workers = withoutEntry(w.workers, id, w.edit);
      forgetWorkerAccount(w, id);
    },
  );
}
