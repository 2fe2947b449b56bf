// What the gauges of a coordinator show, gathered from its parts.

import type { CoordinatorConfig } from '../core/config.ts';
import type { Names } from '../core/net/subjects.ts';
import { fileExpiryMs } from '../core/net/tls-files.ts';
import type { TokenBook } from '../core/net/token-book.ts';
import type { StoreView } from './api/views.ts';
import { demandOf } from './cluster.ts';
import type { Desk } from './decisions/desk.ts';
import type { Driver } from './journal/driver.ts';
import type { Gauged } from './metrics/gauges.ts';
import { waitsOf } from './scheduling/waits.ts';
import type { Links } from './workers/links.ts';
import type { ProgressBoard } from './workers/progress-board.ts';
import { fleetSeconds, type TimeBoard } from './workers/time-board.ts';

/** What the gauges show; before the journal was read that is the store, and an empty fleet. */
export function gaugedOf(parts: {
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
