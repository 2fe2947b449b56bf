// What every run on a worker may use, as one object. Decides only how it is cut: the broker is a part of its
// own, because a worker may learn its address from the coordinator, long after it has started.

import type { DataPlane } from '../../core/allreduce/plane.ts';
import type { Clock } from '../../core/clock.ts';
import type { Inspections } from '../../core/data/inspection/inspections.ts';
import type { Logger } from '../../core/log.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import type { Roots } from '../../core/system/file-access.ts';
import type { WorkerReport } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { Compute } from '../compute/client.ts';
import type { Recorder } from '../compute/recorder.ts';
import type { WorkerMetrics } from '../metrics.ts';
import type { Supernets } from '../training/inherited.ts';
import type { RowProofs } from '../training/row-proof.ts';
import type { TeacherBlocks } from '../training/teacher-blocks.ts';
import type { TeacherRows } from '../training/teacher-rows.ts';
import type { Checkpoints } from './checkpoints.ts';
import type { Datasets } from './datasets.ts';
import type { Records } from './history.ts';
import type { RunTime, Timeline } from './timeline.ts';

/** What a worker reports, by its kind on the wire. */
export type ReportKind = NonNullable<WorkerReport['kind']>;

export interface Services {
  readonly workerId: string;
  /** Name of the machine. */
  readonly host: string;
  readonly deviceClass: string;
  /** Digest of the code that decides the bits of results. */
  readonly code: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly compute: Compute;
  /** Records graphs before they are needed. */
  readonly recorder: Recorder;
  readonly datasets: Datasets;
  /** Embeddings that students of one order share. */
  readonly teacherBlocks: TeacherBlocks;
  /** Search networks whose weights candidates inherit. */
  readonly supernets: Supernets;
  /** Embeddings of single images, which batches of several orders and epochs share. */
  readonly teacherRows: TeacherRows;
  /** Whether the rows of a network depend on their batch here. */
  readonly rowProofs: RowProofs;
  /** Looks at data sets before anything is trained on them, in processes of their own. */
  readonly inspections: Inspections;
  /** Folders beneath which files may be read; none: everywhere. */
  readonly roots: Roots;
  readonly metrics: WorkerMetrics;
  /** Where the time of this process goes. */
  readonly timeline: Timeline;
  /** Resolves once the broker has been reached for the first time. */
  readonly broker: Promise<Broker>;
  /** Sends a report that must arrive: it is repeated until it is acknowledged. */
  readonly report: (kind: ReportKind) => void;
  /** Sends a report of which only the newest counts: it may be lost. */
  readonly reportLatest: (kind: ReportKind) => void;
}

/** Services whose time counts for one run, or for something that belongs to none. */
export interface OwnServices extends Services {
  readonly time: RunTime;
}

/** The services for what `time` counts. */
export const ownServices = (services: Services, time: RunTime): OwnServices => ({
  ...services,
  compute: services.compute.ownedBy(time.owner),
  time,
});

export interface Broker {
  /** The connection for everything but gradients. */
  readonly control: NatsConnection;
  /** The fleet's names on it. */
  readonly names: Names;
  /** Sums of gradients, in a thread and on a connection of their own. */
  readonly gradients: DataPlane;
  readonly checkpoints: Checkpoints;
  readonly records: Records;
}
