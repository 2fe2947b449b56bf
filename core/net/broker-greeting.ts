// The line INFO with which a NATS server greets. Decides what this program takes from it, and that a server which
// greets otherwise is no broker.
// Protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol#info

import { z } from 'zod';
import { shapedJson } from '../text/shape.ts';

/** What the server says of itself. */
export interface Greeting {
  /** Bytes that a message may have. */
  readonly maxPayload: number;
  readonly tlsRequired: boolean;
  readonly tlsOffered: boolean;
  /** What is to be signed by a client that has a key. */
  readonly nonce: string | undefined;
}

/** Servers send more fields with each release. */
const infoSchema = z.looseObject({
  max_payload: z.int().min(1),
  tls_required: z.boolean().default(false),
  tls_available: z.boolean().default(false),
  nonce: z.string().max(1_000).optional(),
});

/** Reads the line, without its line end. Throws `dataLoss` for one that is no greeting of a NATS server. */
export function greetingIn(line: string): Greeting {
  const info = shapedJson(infoSchema, line.slice('INFO '.length), 'its greeting', 'dataLoss');
  return {
    maxPayload: info.max_payload,
    tlsRequired: info.tls_required,
    tlsOffered: info.tls_required || info.tls_available,
    nonce: info.nonce,
  };
}
