// The calls and notes between the main thread and the data thread. Vectors, sums and counters are in shared
// memory and never in a message, so a step costs two small ones.

import type { BrokerAddress } from '../net/broker-address.ts';
import type { Prefixes } from '../net/subjects.ts';
import type { ExchangePlan, ReduceOptions, Residual, ShardResidual, Synced } from './exchange.ts';
import type { SharedMemory } from './kernels/create-kernels.ts';
import type { Suspect } from './member-watch.ts';
import type { Sharing } from './segment-door.ts';
import type { State } from './wire.ts';

/**
 * Random losses and repetitions for tests of whole workers: a probability from 0 to 1 for each message sent
 * or received.
 */
export interface InjectedFaults {
  readonly seed: number;
  readonly drop: number;
  readonly duplicate: number;
}

export interface PlaneSettings extends BrokerAddress {
  readonly name: string;
  readonly waitMs: number;
  readonly prefixes: Prefixes;
  readonly faults: InjectedFaults | undefined;
  readonly sharing: Sharing | undefined;
}

/** What the data thread is asked. */
export type PlaneCalls = {
  /** Answered when the broker has been reached for the first time; only then exchanges may be opened. */
  readonly connect: { readonly ask: undefined; readonly answer: undefined };
  readonly sync: {
    readonly ask: {
      readonly exchange: number;
      readonly mine: { readonly step: number; readonly digest: string };
    };
    readonly answer: Synced;
  };
  readonly residuals: {
    readonly ask: { readonly exchange: number };
    readonly answer: readonly ShardResidual[];
  };
  /** The vectors and the sum are in the exchange's memory. */
  readonly reduce: {
    readonly ask: { readonly exchange: number; readonly step: number; readonly options: ReduceOptions };
    readonly answer: undefined;
  };
};

/** What the data thread is sent without an answer. */
export type ToPlane =
  | {
      readonly kind: 'open-exchange';
      readonly exchange: number;
      readonly plan: ExchangePlan;
      readonly memory: SharedMemory;
      /** As many float64 as STATS names. */
      readonly stats: SharedArrayBuffer;
    }
  /** Follows `need-state`; undefined: there is no state to give. */
  | {
      readonly kind: 'give-state';
      readonly exchange: number;
      readonly state: State | undefined;
    }
  | { readonly kind: 'bring-residuals'; readonly exchange: number; readonly residuals: readonly Residual[] }
  | { readonly kind: 'close-exchange'; readonly exchange: number }
  /** Nothing of the run is needed any more. */
  | { readonly kind: 'release-run'; readonly runId: string }
  /** A newer JWT, for the next connection. */
  | { readonly kind: 'rights'; readonly jwt: string };

/** What the data thread sends without being asked. */
export type FromPlane =
  | { readonly kind: 'status'; readonly up: boolean; readonly reason: string }
  /** Members that do not do their part; see ExchangeOptions. */
  | { readonly kind: 'suspects'; readonly exchange: number; readonly suspects: readonly Suspect[] }
  /** A peer needs the state: a member that is behind has asked for it. */
  | { readonly kind: 'need-state'; readonly exchange: number }
  | {
      readonly kind: 'log';
      readonly level: 'warn' | 'error';
      readonly fields: Readonly<Record<string, unknown>>;
      readonly message: string;
    };
