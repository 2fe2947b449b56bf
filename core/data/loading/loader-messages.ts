// The calls of a data thread: what goes with each, and what it answers.

import type { HalfOfSet, Stratification } from '../../search/halves.ts';
import type { Schedule } from '../../spec/schedule.ts';
import type { DataFacts } from '../inspection/inspection.ts';
import type { RecordTable } from '../packs/record-table.ts';

export interface BatchRequest {
  readonly schedule: Schedule;
  readonly seed: number;
  /** The run's augmentation switch. */
  readonly flip: boolean;
  /**
   * Shorter side, above 112, that images are scaled to before each is cut out at a place of its own; absent: as
   * they are stored.
   */
  readonly cropFrom?: number;
  /** The half of the images that the schedule is of; absent: it is of all. */
  readonly half?: HalfOfSet;
  /** From 0 over the whole run; fixes epoch and position. */
  readonly step: number;
  /** 0 to V - 1. */
  readonly shard: number;
}

/** One shard of one step, b = B/V images; the buffers belong to the receiver. */
export interface Batch {
  /** RGB bytes, [b, 112, 112, 3]. */
  readonly images: Uint8Array<ArrayBuffer>;
  /** [b], which image of the training split, or of the half asked for, each is. */
  readonly indices: Uint32Array;
  /** [b], 0 to classes - 1. */
  readonly labels: Int32Array;
}

/** What a thread has found out about the data set that it opened. */
export interface OpenedSet {
  readonly facts: DataFacts;
  /** [held-out images] */
  readonly heldOutLabels: Int32Array;
  /** Labels of the set in the order of its classes, where they were renumbered. */
  readonly labelMap: string | undefined;
  /** Where the records of a pack lie, for the threads that open it next; undefined for other sets. */
  readonly table: RecordTable | undefined;
}

/** Asks for what the division of the training images by this seed gives. */
export interface HalvesRequest {
  readonly seed: number;
  readonly stratify: Stratification;
}

export interface HalvesFacts {
  /** Images of each half. */
  readonly weights: number;
  readonly alphas: number;
  /** People with one image, who are in one half alone. */
  readonly single: number;
}

export type DataCalls = {
  readonly facts: { readonly ask: undefined; readonly answer: OpenedSet };
  readonly batch: { readonly ask: BatchRequest; readonly answer: Batch };
  readonly halves: { readonly ask: HalvesRequest; readonly answer: HalvesFacts };
  /** Held-out images from..from+count-1, RGB bytes, [count, 112, 112, 3]. */
  readonly 'held-out': {
    readonly ask: { readonly from: number; readonly count: number };
    readonly answer: Uint8Array<ArrayBuffer>;
  };
};
