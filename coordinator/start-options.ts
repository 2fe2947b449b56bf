// What a coordinator is started with, and how what it has opened is closed again.

import type { Clock } from '../core/clock.ts';
import type { CoordinatorConfig } from '../core/config.ts';
import type { Logger } from '../core/log.ts';

/** What a coordinator is started with. */
export interface StartOptions {
  readonly config: CoordinatorConfig;
  readonly version: string;
  /** Of its sources. */
  readonly revision: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** Events between two snapshots at least; absent: see `createSnapshotStore`. */
  readonly snapshotEvents?: number;
}

/** What has to be closed, in the order in which it was opened. */
export type Releases = (() => unknown)[];
