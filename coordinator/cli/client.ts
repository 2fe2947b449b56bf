// A fleet as commands use it: calls with one answer, calls with many, and every failure as one sentence with
// what to do.

import { join } from 'node:path';
import type {
  CallOptions,
  ClientReadableStream,
  ClientUnaryCall,
  Metadata,
  ServiceError,
} from '@grpc/grpc-js';
import { systemClock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { createFleetClient, streamed, unary, usesProxy } from '../../core/net/grpc-client.ts';
import type { FleetServiceClient } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { type Address, supervisorOf } from './local/fleet-file.ts';
import { shellWord } from './shell-word.ts';

type Unary<Q, R> = (
  request: Q,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: R) => void,
) => ClientUnaryCall;
type Streaming<Q, R> = (request: Q, options?: Partial<CallOptions>) => ClientReadableStream<R>;

export interface FleetClient {
  readonly address: Address;
  /** A call with one answer, within `deadlineMs` (default 30 s). */
  ask<Q, R>(
    pick: (service: FleetServiceClient) => Unary<Q, R>,
    request: Q,
    deadlineMs?: number,
    signal?: AbortSignal,
  ): Promise<R>;
  /** A call with many answers. Leaving the loop or aborting ends the call; aborting is no failure. */
  follow<Q, R>(
    pick: (service: FleetServiceClient) => Streaming<Q, R>,
    request: Q,
    signal?: AbortSignal,
  ): AsyncIterable<R>;
  /**
   * Resolves when the coordinator can be reached; refuses with a sentence when it cannot within `deadlineMs`.
   */
  ready(deadlineMs: number): Promise<void>;
  close(): void;
}

export function openFleet(address: Address): FleetClient {
  const service = createFleetClient({ endpoint: address.coordinator, token: address.token });
  return {
    address,
    ask: async (pick, request, deadlineMs = 30_000, signal) => {
      try {
        return await unary(service, pick(service), request, { deadlineMs, ...(signal && { signal }) });
      } catch (caught) {
        throw explain(toFleetError(caught), address);
      }
    },
    follow: (pick, request, signal) => {
      const method = pick(service).bind(service) as ReturnType<typeof pick>;
      return answers(() => method(request), address, signal);
    },
    ready: (deadlineMs) =>
      new Promise((resolve, reject) => {
        service.waitForReady(systemClock.now() + deadlineMs, (error) => {
          if (error) reject(unreachable(address, error));
          else resolve();
        });
      }),
    close: () => service.close(),
  };
}

async function* answers<R>(
  start: () => ClientReadableStream<R>,
  address: Address,
  signal: AbortSignal | undefined,
): AsyncGenerator<R> {
  if (signal?.aborted) return;
  try {
    yield* streamed(start(), signal);
  } catch (caught) {
    // An abort is no failure: the loop just ends.
    if (!signal?.aborted) throw explain(toFleetError(caught), address);
  }
}

/** A failed call as a sentence for a person; the coordinator's own words where it had any. */
export function explain(error: FleetError, address: Address): FleetError {
  const sentence = sentenceFor(error, address);
  return sentence === undefined ? error : new FleetError(error.code, sentence, { cause: error });
}

function sentenceFor(error: FleetError, address: Address): string | undefined {
  const where = address.coordinator;
  switch (error.code) {
    case 'unavailable':
      // The coordinator answered, and has its own sentence for it.
      if (error.details.missing !== undefined) return undefined;
      return `no coordinator answers at ${where}${usesProxy(where) ? ' through the proxy of the environment' : ''}${absence(address)}`;
    case 'unauthenticated':
    case 'permissionDenied':
      return `the coordinator at ${where} refused the token (${error.message}); give the one in the fleet's fleet.json with --dir or --token`;
    case 'deadlineExceeded':
      return `the coordinator at ${where} did not answer in time; see its log, or try again`;
    case 'unimplemented':
      return `the coordinator at ${where} does not offer this (${error.message}); is it of another version than this CLI?`;
    default:
      return undefined;
  }
}

/** The sentence for a coordinator that does not answer: what is known about it, and what to do. */
function absence({ dir }: Address): string {
  if (dir === undefined)
    return '; is the fleet up? `pocketfleet up` starts one, --dir or --coordinator names another';
  const supervisor = supervisorOf(dir);
  return supervisor === undefined
    ? `: the fleet in ${dir} is not running; \`pocketfleet up --dir ${shellWord(dir)}\` starts it again with what it has`
    : `: the fleet in ${dir} has a supervisor (process ${supervisor.pid}) that starts its coordinator again when it dies; try again in a moment, or see ${join(dir, 'logs', 'coordinator.log')}`;
}

function unreachable(address: Address, cause: unknown): FleetError {
  return explain(new FleetError('unavailable', 'not reachable', { cause }), address);
}
