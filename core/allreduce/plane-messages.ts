// What the main thread and the data thread say to each other. Decides the words only; plane-thread.ts answers them and plane.ts
// asks. Vectors, sums and counters are in shared memory and never in a message.

import type { BrokerAddress } from '../net/broker-address.ts';
import type { ExchangePlan, ReduceOptions, Synced } from './exchange.ts';
import type { SharedMemory } from './kernels.ts';
import type { Suspect } from './watch.ts';
import type { State } from './wire.ts';

/** Random losses and repetitions for tests of whole workers: probabilities of each message sent or received. */
export interface InjectedFaults {
  readonly seed: number;
  readonly drop: number;
  readonly duplicate: number;
}

export interface PlaneSettings extends BrokerAddress {
  readonly name: string;
  readonly waitMs: number;
  readonly faults: InjectedFaults | undefined;
}

export type ToPlane =
  | {
      readonly kind: 'open';
      readonly exchange: number;
      readonly plan: ExchangePlan;
      readonly memory: SharedMemory;
      /** As many float64 as STATS names. */
      readonly stats: SharedArrayBuffer;
    }
  | {
      readonly kind: 'sync';
      readonly exchange: number;
      readonly call: number;
      readonly mine: { readonly step: number; readonly digest: string };
    }
  | {
      readonly kind: 'reduce';
      readonly exchange: number;
      readonly call: number;
      readonly step: number;
      readonly options: ReduceOptions;
    }
  /** Answer to `ask-state`. */
  | {
      readonly kind: 'state';
      readonly exchange: number;
      readonly state: State | undefined;
    }
  | { readonly kind: 'close'; readonly exchange: number }
  /** Nothing of the run is needed any more. */
  | { readonly kind: 'forget'; readonly runId: string };

/** The error family does not survive structured cloning, so its parts travel. */
export interface PlaneFailure {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export type FromPlane =
  | { readonly kind: 'connected' }
  | { readonly kind: 'refused'; readonly failure: PlaneFailure }
  | { readonly kind: 'status'; readonly up: boolean; readonly reason: string }
  | {
      readonly kind: 'synced';
      readonly exchange: number;
      readonly call: number;
      readonly synced: Synced;
    }
  | {
      readonly kind: 'reduced';
      readonly exchange: number;
      readonly call: number;
    }
  | {
      readonly kind: 'failed';
      readonly exchange: number;
      readonly call: number;
      readonly failure: PlaneFailure;
    }
  /** Members that do not do their part; see ExchangeOptions. */
  | { readonly kind: 'suspects'; readonly exchange: number; readonly suspects: readonly Suspect[] }
  /** A peer needs the state: a member that is behind has asked for it. */
  | { readonly kind: 'ask-state'; readonly exchange: number }
  | {
      readonly kind: 'log';
      readonly level: 'warn' | 'error';
      readonly fields: Readonly<Record<string, unknown>>;
      readonly message: string;
    };
