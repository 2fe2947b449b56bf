// What an exchange is created with. Decides nothing.

import type { Clock } from '../clock.ts';
import type { DataConnection } from '../net/data-connection.ts';
import type { Names } from '../net/subjects.ts';
import type { SharedMemory } from './kernels/create-kernels.ts';
import type { HabitStore, Suspect } from './member-watch.ts';
import type { Compression, Member } from './plan.ts';
import type { ResidualStore } from './residuals.ts';
import type { Sharing } from './segment-door.ts';
import type { ExchangeStats, Faults, State } from './wire.ts';

/** What a gang agrees on; plain data. */
export interface ExchangePlan {
  readonly runId: string;
  readonly generation: number;
  /** This member's place in `members`. */
  readonly rank: number;
  readonly members: readonly Member[];
  /** V, the number of shards of the run. */
  readonly shards: number;
  /** Length of every vector. */
  readonly elements: number;
  /** Default: none. */
  readonly compression?: Compression;
  /** Every element of the sum is multiplied by it; 1/V, a power of two, makes the sum a mean. Default: 1. */
  readonly factor?: number;
  /** Names of the vectors of a state, in the order in which they are sent. Default: those of SGD. */
  readonly stateNames?: readonly string[];
  /** Length of the longest of them. Default: that of the vectors that are summed. */
  readonly stateElements?: number;
  /** With int8: sync collects here what was left of every shard, for a checkpoint within a stage. Default: no. */
  readonly gathersResiduals?: boolean;
  /**
   * Quiet time after which missing messages are asked for; about four round trips and some scheduling,
   * milliseconds.
   */
  readonly stallMs?: number;
}

export interface ExchangeOptions extends ExchangePlan {
  /** Several exchanges may share one; with `noEcho` results are not delivered back to their owner. */
  readonly connection: DataConnection;
  /** The fleet's subjects. */
  readonly names: Names;
  /**
   * The replica's state at the open step. Called while others fetch it; it must not change before that step's
   * sum is there.
   */
  readonly provideState: () => State | Promise<State>;
  readonly log: {
    warn(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
  readonly clock: Clock;
  /** Aborting it is `close()`. */
  readonly signal?: AbortSignal;
  /** Loses or repeats messages in tests. */
  readonly faults?: Faults;
  /** Memory that another thread has made for the same plan. */
  readonly memory?: SharedMemory;
  /** Counters that another thread reads. */
  readonly stats?: ExchangeStats;
  /** How members of one host share memory; without, everything goes over the broker. */
  readonly sharing?: Sharing | undefined;
  /** Carries what int8 leaves from one generation of the run to the next. */
  readonly residuals?: ResidualStore;
  /** Carries what was seen of step and answer times from one generation of the run to the next. */
  readonly habits?: HabitStore;
  /**
   * Called with all members that do not do their part (patience.ts), each time that these are others; empty:
   * nobody.
   */
  readonly onSuspects?: (suspects: readonly Suspect[]) => void;
}
