// What the protocol parts of one exchange share: the types of the outside, and the small interface through which
// reduction.ts and sync.ts send without knowing that there is a network. Decides nothing.

import type { FleetError } from '../errors.ts';
import type { Header, Kind } from './message.ts';

/** Everything a replica has: what a member that is behind needs to go on. */
export interface State {
  readonly weights: Float32Array;
  readonly momentum: Float32Array;
  readonly running: Float32Array;
}

/** Counters since the exchange was created. */
export const STATS = [
  /** Payload bytes handed to the connection, each publication once. */
  'bytesSent',
  'bytesReceived',
  /** Requests for something missing; a peer that is merely slow is asked too. */
  'nacks',
  /** Messages sent again because a peer asked: what was really lost. */
  'resends',
  /** Messages that had arrived before. */
  'duplicates',
  /** Messages of another generation, run or step, or malformed. */
  'refused',
  'reduces',
  /** Wall time between the calls of reduce and their results. */
  'reduceSeconds',
  /** Messages lost or repeated on purpose; see Faults. */
  'injected',
] as const;
export type ExchangeStats = Record<(typeof STATS)[number], number>;

/** What a fault injector sees of each message; see ExchangeOptions.faults. */
export interface Passage {
  readonly direction: 'send' | 'receive';
  readonly kind: Kind;
  readonly step: number;
  readonly chunk: number;
  /** The other side; -1: all. */
  readonly peer: number;
}
export type Faults = (passage: Passage) => 'pass' | 'drop' | 'duplicate';

export type HeaderFields = Partial<
  Pick<Header, 'encoding' | 'shardFirst' | 'shardCount' | 'chunk' | 'offset' | 'count' | 'digest'>
>;

export interface Wire {
  readonly rank: number;
  readonly ranks: number;
  readonly stats: ExchangeStats;
  /** Quiet time after which missing messages are asked for, milliseconds; grows while patience would have sufficed. */
  readonly stallMs: number;
  /** Milliseconds for which this member has listened; stands still while its thread is busy. */
  now(): number;
  /** A question went to another member, which lets it be suspected if nothing comes. */
  asked(rank: number): void;
  /** A header from this member; fields that a kind does not use are 0. */
  header(kind: Kind, step: number, fields?: HeaderFields): Header;
  /** `data` must keep its bytes until the receiver would take any others for a repetition. */
  sendTo(rank: number, header: Header, data?: Uint8Array): void;
  sendAll(header: Header, data?: Uint8Array): void;
  /** `rank 1 (worker-b)`. */
  nameOf(rank: number): string;
  /** Ends the exchange for the whole gang, because going on would give wrong numbers. */
  stop(error: FleetError): void;
}

/** Where a message's data goes; see FrameSink. */
export type Place = Uint8Array | 'own' | 'skip';
