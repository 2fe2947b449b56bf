// A fleet as commands use it: calls with one answer, calls with many, and every failure as one sentence with
// what to do. Decides that a call goes to the coordinator that leads, whichever was named, and how long it waits
// for one to lead. A call may so be made twice; each kind of call bears that.

import { join } from 'node:path';
import type {
  CallOptions,
  ClientReadableStream,
  ClientUnaryCall,
  Metadata,
  ServiceError,
} from '@grpc/grpc-js';
import { after, systemClock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { clientTls } from '../../core/net/client-tls.ts';
import {
  createDialler,
  createFleetClient,
  isConnected,
  streamed,
  unary,
  usesProxy,
} from '../../core/net/grpc-client.ts';
import { createRoute } from '../../core/net/route.ts';
import { ASK_AGAIN, delayMs } from '../../core/retry.ts';
import { addressesOf } from '../../core/text/host-port.ts';
import type { FleetServiceClient } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { type Address, readFleetFile, supervisorOf } from './local/fleet-file.ts';
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

/** How long a command waits for a coordinator to lead, milliseconds: a standby takes over within five seconds. */
const LEADER_WAIT_MS = 8_000;
/** How long a machine that is gone is waited for when there are others, milliseconds. */
const CONNECT_MS = 3_000;

export function openFleet(address: Address): FleetClient {
  const addresses = addressesOf(address.coordinator);
  const route = createRoute(addresses);
  const dial = createDialler(createFleetClient, {
    token: address.token,
    tls: clientTls({ caFile: address.tlsCaFile ?? '' }, address.tlsServerName),
  });

  /**
   * Does `work` with the coordinator that leads. One that does not is no failure while another may: the work is
   * tried there, for some seconds.
   */
  async function withLeader<T>(
    work: (service: FleetServiceClient, signal: AbortSignal | undefined) => Promise<T>,
    limits: { readonly withinMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<T> {
    const until = systemClock.monotonic() + Math.min(LEADER_WAIT_MS, limits.withinMs);
    let hurried = false;
    for (let failures = 1; ; failures++) {
      const endpoint = route.current;
      try {
        return await attempt(work, limits.signal);
      } catch (caught) {
        const error = await dial.explained(endpoint, toFleetError(caught));
        // A program of another kind may have taken an address since; each is asked once.
        const isOther = error.code === 'unimplemented' && failures < addresses.length;
        if (limits.signal?.aborted || !(isElsewhere(error) || isOther)) throw explain(error, address);
        const isNamed = route.failed(error);
        const mayCome = addresses.length > 1 || error.details.standby === true || isSupervised(address);
        if (!mayCome || systemClock.monotonic() >= until) throw explain(error, address);
        // Two that name each other are not asked without end.
        hurried = isNamed && !hurried;
        if (!hurried) await systemClock.sleep(delayMs(ASK_AGAIN, failures), limits.signal);
      }
    }
  }

  /** One try at the address that is next; with others to try it is given up when there is no connection. */
  async function attempt<T>(
    work: (service: FleetServiceClient, signal: AbortSignal | undefined) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const service = dial.to(route.current);
    if (addresses.length === 1) return work(service, signal);
    const giveUp = new AbortController();
    const gone = new FleetError('unavailable', `no connection to ${route.current}`);
    const stop = after(CONNECT_MS, () => {
      if (!isConnected(service)) giveUp.abort(gone);
    });
    const either = signal === undefined ? giveUp.signal : AbortSignal.any([signal, giveUp.signal]);
    try {
      return await work(service, either);
    } catch (caught) {
      throw giveUp.signal.aborted ? gone : caught;
    } finally {
      stop();
    }
  }

  const client: FleetClient = {
    address,
    ask: (pick, request, deadlineMs = 30_000, signal) =>
      withLeader(
        (service, ending) =>
          unary(service, pick(service), request, { deadlineMs, ...(ending && { signal: ending }) }),
        { withinMs: deadlineMs, signal },
      ),
    async *follow(pick, request, signal) {
      if (signal?.aborted) return;
      try {
        // The first message shows that the call was taken; what breaks after that is for the caller.
        const { first, rest } = await withLeader(
          async (service, ending) => {
            const method = pick(service).bind(service) as ReturnType<typeof pick>;
            const messages = streamed(method(request), ending);
            return { first: await messages.next(), rest: messages };
          },
          { withinMs: LEADER_WAIT_MS, signal },
        );
        if (first.done === true) return;
        yield first.value;
        yield* rest;
      } catch (caught) {
        // An abort is no failure: the loop just ends.
        if (signal?.aborted) return;
        const error = toFleetError(caught);
        if (isElsewhere(error)) route.failed(error);
        throw explain(error, address);
      }
    },
    async ready(deadlineMs) {
      await client.ask((service) => service.getStore, {}, deadlineMs);
    },
    close: dial.close,
  };
  return client;
}

/** Another coordinator may answer, or this one later; a coordinator that lacks something answers for the fleet. */
function isElsewhere(error: FleetError): boolean {
  return error.code === 'unavailable' && error.details.missing === undefined;
}

/** A supervisor starts the coordinator again. */
function isSupervised({ dir }: Address): boolean {
  return dir !== undefined && supervisorOf(dir) !== undefined;
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
      if (error.details.missing !== undefined || error.details.standby === true) return undefined;
      return `no coordinator answers at ${where}${usesProxy(where) ? ' through the proxy of the environment' : ''}${absence(address)}`;
    case 'unauthenticated':
      return `the coordinator at ${where} refused the token (${error.message}); name the fleet's folder with --dir, or give a token that it takes with --token-file or --token`;
    case 'deadlineExceeded':
      return `the coordinator at ${where} did not answer in time; see its log, or try again`;
    case 'unimplemented':
      return `the coordinator at ${where} does not offer this (${error.message}); is it of another version than this CLI?`;
    default:
      return undefined;
  }
}

/** Of the coordinators of a fleet in a folder: with one of them it has no number. */
function logsOf(dir: string): string {
  const isSeveral = (readFleetFile(dir)?.coordinator ?? '').includes(',');
  return isSeveral ? join(dir, 'logs') : join(dir, 'logs', 'coordinator.log');
}

/** The sentence for a coordinator that does not answer: what is known about it, and what to do. */
function absence({ dir }: Address): string {
  if (dir === undefined)
    return '; is the fleet up? `pocketfleet up` starts one, --dir or --coordinator names another';
  const supervisor = supervisorOf(dir);
  return supervisor === undefined
    ? `: the fleet in ${dir} is not running; \`pocketfleet up --dir ${shellWord(dir)}\` starts it again with what it has`
    : `: the fleet in ${dir} has a supervisor (process ${supervisor.pid}) that starts its coordinator again when it dies; try again in a moment, or see ${logsOf(dir)}`;
}
