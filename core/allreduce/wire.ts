// The types that the parts of one exchange share: what a replica is, what is counted, how a fault is
// injected, and the small interface through which the protocol sends without a network in sight. Decides
// nothing.

import type { FleetError } from '../errors.ts';
import type { Header, Kind } from './message.ts';

/**
 * Everything a replica has, as what a member that is behind needs to go on: the vectors that the plan names
 * (`stateNames`). Members compare the digest of what is trained
 * (core/state-vectors.ts).
 */
export interface State {
  readonly weights: Float32Array;
  readonly [name: string]: Float32Array;
}

/** Counters since the exchange was created; each only grows. */
export const STATS = [
  /** Header and data bytes handed to the connection, each publication once. */
  'bytesSent',
  /** Header and data bytes of messages that arrived, wanted or not. */
  'bytesReceived',
  /** Data bytes that neighbours read where they lie, each publication once. */
  'bytesShared',
  /** Requests for something missing; a peer that is merely slow is asked too. */
  'nacks',
  /** Messages sent again because a peer asked: what was really lost. */
  'resends',
  /** Messages whose content had arrived before. */
  'duplicates',
  /** Messages of another generation, run or step, or malformed. */
  'refused',
  /** Steps that were summed. */
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
  /** Rank of the other side; -1: all members. */
  readonly peer: number;
}
export type Faults = (passage: Passage) => 'pass' | 'drop' | 'duplicate';

export type HeaderFields = Partial<
  Pick<
    Header,
    'encoding' | 'inMemory' | 'shardFirst' | 'shardCount' | 'owner' | 'chunk' | 'offset' | 'count' | 'digest'
  >
>;

export interface Wire {
  readonly rank: number;
  readonly ranks: number;
  readonly stats: ExchangeStats;
  /**
   * Quiet time after which missing messages are asked for, milliseconds; grows while more patience would have
   * sufficed.
   */
  readonly stallMs: number;
  /** Milliseconds for which this member has listened; stands still while its thread is busy. */
  now(): number;
  /** Records that another member was asked something: it becomes suspect when it stays silent. */
  noteQuestion(rank: number): void;
  /** A header from this member; fields that a kind does not use are 0. */
  header(kind: Kind, step: number, fields?: HeaderFields): Header;
  /** `data` must keep its bytes until the receiver would count any others as a repetition. */
  sendTo(rank: number, header: Header, data?: Uint8Array): void;
  sendAll(header: Header, data?: Uint8Array): void;
  /** To those who bring this member's results to other hosts. */
  sendToHosts(header: Header, data: Uint8Array): void;
  /** `rank 1 (worker-b)`. */
  nameOf(rank: number): string;
  /** Ends the exchange for the whole gang, because going on would give wrong numbers. */
  stop(error: FleetError): void;
}

/** Where a message's data goes: into these bytes, into memory of its own, or nowhere. */
export type Place = Uint8Array | 'own' | 'skip';
