// What the loader and its threads exchange: a batch that is asked for, and its pixels.

import type { Code } from '../../errors.ts';
import type { Schedule } from '../../spec/schedule.ts';
import type { DataFacts } from '../inspection/inspect.ts';
import type { RecordTable } from '../packs/record-table.ts';

export interface BatchRequest {
  readonly schedule: Schedule;
  readonly seed: number;
  /** The run's augmentation switch. */
  readonly flip: boolean;
  readonly step: number;
  readonly shard: number;
}

/** Images [b, 112, 112, 3] and labels [b] of one shard of one step; the buffers belong to the receiver. */
export interface Batch {
  readonly images: Uint8Array;
  /** Which image of the training split each is. */
  readonly indices: Uint32Array;
  readonly labels: Int32Array;
}

export type Job =
  | { readonly kind: 'facts' }
  | { readonly kind: 'batch'; readonly request: BatchRequest }
  | { readonly kind: 'held-out'; readonly from: number; readonly count: number };

export type Answer =
  | {
      readonly kind: 'facts';
      readonly facts: DataFacts;
      readonly heldOutLabels: Int32Array;
      readonly labelMap: string | undefined;
      readonly table: RecordTable | undefined;
    }
  | {
      readonly kind: 'batch';
      readonly images: Uint8Array<ArrayBuffer>;
      readonly indices: Uint32Array;
      readonly labels: Int32Array;
    }
  | { readonly kind: 'held-out'; readonly images: Uint8Array<ArrayBuffer> }
  | {
      readonly kind: 'failed';
      readonly code: Code;
      readonly message: string;
      readonly details: Record<string, unknown>;
    };
