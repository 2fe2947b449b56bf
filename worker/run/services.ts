// What every run on a worker may use, as one object, wired by hand in main.ts. The broker is its own part because a worker
// may learn its address only from the coordinator.

import type { DataPlane } from '../../core/allreduce/plane.ts';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/log.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import type { Roots } from '../../core/system/file-access.ts';
import type { WorkerReport } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { Compute } from '../compute/client.ts';
import type { WorkerMetrics } from '../metrics.ts';
import type { Checkpoints } from './checkpoints.ts';
import type { Datasets } from './datasets.ts';
import type { Records } from './history.ts';

/** What a worker reports, by its kind on the wire. */
export type ReportKind = NonNullable<WorkerReport['kind']>;

export interface Services {
  readonly workerId: string;
  readonly deviceClass: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly compute: Compute;
  readonly datasets: Datasets;
  /** Folders beneath which files may be read; none: everywhere. */
  readonly roots: Roots;
  readonly metrics: WorkerMetrics;
  /** Resolves once the broker has been reached for the first time. */
  readonly broker: Promise<Broker>;
  /** Must arrive; repeated until acknowledged. */
  readonly report: (kind: ReportKind) => void;
  /** Only the newest counts. */
  readonly tell: (kind: ReportKind) => void;
}

export interface Broker {
  /** Everything but gradients. */
  readonly control: NatsConnection;
  /** Sums of gradients, in a thread and on a connection of their own. */
  readonly gradients: DataPlane;
  readonly checkpoints: Checkpoints;
  readonly records: Records;
}
