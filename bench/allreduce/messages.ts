// The messages between the main process of the benchmark and its members.

import type { Compression } from '../../core/allreduce/exchange.ts';
import type { TlsFiles } from '../../core/net/tls-files.ts';

/**
 * `ring`: float32 over direct connections; a compression: the exchange over the broker; with `shared`: the exchange
 * between neighbours, who read each other's memory.
 */
export type Mode = 'ring' | Compression | `shared ${Compression}`;
export const MODES: readonly Mode[] = [
  'ring',
  'none',
  'bf16',
  'int8',
  'shared none',
  'shared bf16',
  'shared int8',
];

export type Command =
  | {
      readonly kind: 'join';
      readonly rank: number;
      readonly ranks: number;
      readonly ringPorts: readonly number[];
      readonly url: string;
      readonly token: string;
      /** PEM files of a member's identity; undefined: the broker does not encrypt. */
      readonly tls: Required<TlsFiles> | undefined;
    }
  | { readonly kind: 'size'; readonly mebibytes: number }
  | { readonly kind: 'run'; readonly mode: Mode; readonly iterations: number }
  | { readonly kind: 'raw-receive' }
  | { readonly kind: 'raw-send'; readonly port: number; readonly bytes: number }
  | { readonly kind: 'leave' };

export interface Ran {
  readonly kind: 'ran';
  readonly wallMs: number;
  /** Of the whole process, all threads. */
  readonly cpuMs: number;
  /** Of the result. */
  readonly digest: string;
}

export type Report =
  | { readonly kind: 'started'; readonly ringPort: number }
  | { readonly kind: 'joined' }
  | { readonly kind: 'ready' }
  | Ran
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'received'; readonly seconds: number }
  | { readonly kind: 'sent' };
