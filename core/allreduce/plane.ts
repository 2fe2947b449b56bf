// The main thread's side of the data thread: exchanges that live there, used as if they lived here. Vectors are copied into
// shared memory, or computed there (Exchange.vector), and sums are read from it; calls and answers are small messages.
// Decides nothing of the protocol. If the thread dies, every open call is rejected and `died` says why.

import type { Worker } from 'node:worker_threads';
import { createDeferred, type Deferred } from '../deferred.ts';
import { digest64 } from '../digest.ts';
import { CODES, type Code, FleetError, toFleetError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { BrokerAddress } from '../net/broker-address.ts';
import { letGoOfShared } from '../shared-memory.ts';
import { startThread } from '../thread.ts';
import type { Exchange, ExchangePlan } from './exchange.ts';
import { createExchangeMemory } from './memory.ts';
import { planOf } from './plan.ts';
import type { FromPlane, InjectedFaults, PlaneFailure, PlaneSettings, ToPlane } from './plane-messages.ts';
import type { Synced } from './sync.ts';
import { checkVectors, fillVectors, vectorView } from './vectors.ts';
import type { Suspect } from './watch.ts';
import { type ExchangeStats, STATS, type State } from './wire.ts';

export type { InjectedFaults } from './plane-messages.ts';

export interface PlaneExchangeOptions extends ExchangePlan {
  /** The replica's state at the open step; see ExchangeOptions. Arrays in shared memory are not copied. */
  readonly provideState: () => State;
  /** See ExchangeOptions. */
  readonly onSuspects?: (suspects: readonly Suspect[]) => void;
  /** Aborting it is `close()`. */
  readonly signal?: AbortSignal;
}

export interface DataPlane {
  /** Several may be open at once, of different runs. */
  createExchange(options: PlaneExchangeOptions): Exchange;
  /** Frees what is kept of a run between its generations. */
  forget(runId: string): void;
  /** Resolves with the reason when the thread ended without being asked to. */
  readonly died: Promise<FleetError>;
  close(): Promise<void>;
}

/** Resolves when the broker has been reached for the first time; after that the plane comes back after any outage. */
export async function createDataPlane(
  options: BrokerAddress & {
    /** Shown by the broker, e.g. `worker-1 gradients`. */
    readonly name: string;
    readonly log: Pick<Logger, 'warn' | 'error' | 'info'>;
    /** How long the first connection may take while the broker starts, milliseconds. */
    readonly waitMs?: number;
    readonly signal?: AbortSignal;
    readonly faults?: InjectedFaults;
  },
): Promise<DataPlane> {
  const { log, signal, waitMs = 15_000, faults, ...address } = options;
  const settings: PlaneSettings = { ...address, waitMs, faults };
  const worker = startThread(new URL('./plane-thread.ts', import.meta.url), {
    workerData: settings,
    name: 'gradients',
  });
  const connected = createDeferred<void>();
  const exchanges = new Map<number, Hosted>();
  let nextExchange = 1;
  let closing = false;
  let ended: FleetError | undefined;
  const died = createDeferred<FleetError>();

  worker.on('message', (message: FromPlane) => {
    switch (message.kind) {
      case 'connected':
        connected.resolve();
        return;
      case 'refused':
        connected.reject(errorFrom(message.failure));
        return;
      case 'status':
        if (message.up) log.info(`gradients: ${message.reason}`);
        else log.warn(`gradients: ${message.reason}; the exchange waits for the broker`);
        return;
      case 'log':
        log[message.level](message.fields, message.message);
        return;
      default:
        exchanges.get(message.exchange)?.take(message);
    }
  });
  const end = (error: FleetError) => {
    if (ended) return;
    ended = error;
    connected.reject(error);
    for (const exchange of exchanges.values()) exchange.fail(error);
    if (!closing) died.resolve(error);
  };
  worker.on('error', (caught) => end(toFleetError(caught, 'data thread')));
  worker.on('exit', (code) =>
    end(
      closing
        ? new FleetError('cancelled', 'the data thread was closed')
        : new FleetError('internal', `the data thread ended with exit code ${code}`),
    ),
  );
  const close = async () => {
    closing = true;
    await worker.terminate();
  };

  const onAbort = () => connected.reject(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();
  try {
    await connected.promise;
  } catch (caught) {
    await close();
    throw caught;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }

  return {
    createExchange(exchangeOptions) {
      if (ended) throw ended;
      const id = nextExchange++;
      const hosted = openExchange({
        ...exchangeOptions,
        id,
        worker,
        log,
        onClosed: () => exchanges.delete(id),
      });
      exchanges.set(id, hosted);
      return hosted.exchange;
    },
    forget: (runId) => worker.postMessage({ kind: 'forget', runId } satisfies ToPlane),
    died: died.promise,
    close,
  };
}

type Answer = Extract<FromPlane, { readonly exchange: number }>;

interface Hosted {
  readonly exchange: Exchange;
  take(answer: Answer): void;
  fail(error: FleetError): void;
}

function openExchange(
  options: PlaneExchangeOptions & {
    readonly id: number;
    readonly worker: Worker;
    readonly log: Pick<Logger, 'error'>;
    readonly onClosed: () => void;
  },
): Hosted {
  const { id, worker, log, onClosed, provideState, onSuspects, signal, ...plan } = options;
  const { runId, generation, elements } = plan;
  const memory = createExchangeMemory(planOf(plan), plan.rank);
  const counters = new SharedArrayBuffer(STATS.length * Float64Array.BYTES_PER_ELEMENT);
  const calls = new Map<number, Deferred<Synced | undefined>>();
  let nextCall = 1;
  let failure: FleetError | undefined;

  const post = (message: ToPlane): void => worker.postMessage(message);
  post({ kind: 'open', exchange: id, plan, memory: memory.shared, stats: counters });

  function ask(message: (call: number) => ToPlane): Promise<Synced | undefined> {
    if (failure !== undefined) return Promise.reject(failure);
    const call = nextCall++;
    const deferred = createDeferred<Synced | undefined>();
    calls.set(call, deferred);
    post(message(call));
    return deferred.promise;
  }

  function take(answer: Answer): void {
    if (answer.kind === 'ask-state') {
      post({ kind: 'state', exchange: id, state: stateOrUndefined() });
      return;
    }
    if (answer.kind === 'suspects') {
      onSuspects?.(answer.suspects);
      return;
    }
    const call = calls.get(answer.call);
    calls.delete(answer.call);
    if (answer.kind === 'failed') call?.reject(errorFrom(answer.failure));
    else call?.resolve(answer.kind === 'synced' ? answer.synced : undefined);
  }

  function stateOrUndefined(): State | undefined {
    try {
      const { weights, momentum, running } = provideState();
      return { weights, momentum, running };
    } catch (caught) {
      log.error({ runId, generation }, `no state for a peer that asks: ${toFleetError(caught).message}`);
      return undefined;
    }
  }

  function fail(error: FleetError): void {
    failure ??= error;
    for (const call of calls.values()) call.reject(failure);
    calls.clear();
  }

  function close(): void {
    if (failure?.code === 'cancelled') return;
    signal?.removeEventListener('abort', close);
    fail(new FleetError('cancelled', `generation ${generation} of run ${runId} was left`));
    post({ kind: 'close', exchange: id });
    onClosed();
    letGoOfShared(memory.shared.buffer.byteLength);
  }
  signal?.addEventListener('abort', close, { once: true });
  if (signal?.aborted) close();

  const exchange: Exchange = {
    sync: async (mine) => (await ask((call) => ({ kind: 'sync', exchange: id, call, mine }))) as Synced,
    vector: (shard) => vectorView(memory, plan, shard),
    async reduce(step, vectors, given = {}) {
      checkVectors(plan, vectors);
      fillVectors(memory, plan, vectors);
      // Here, because the thread would have to ask for the weights.
      const digest = given.digest ?? digest64(provideState().weights);
      await ask((call) => ({ kind: 'reduce', exchange: id, call, step, options: { ...given, digest } }));
      return memory.floats(memory.layout.sum, elements);
    },
    stats: () => statsFrom(counters),
    close,
  };
  return { exchange, take, fail };
}

function statsFrom(counters: SharedArrayBuffer): ExchangeStats {
  const values = new Float64Array(counters);
  return Object.fromEntries(STATS.map((name, i) => [name, values[i]!])) as ExchangeStats;
}

function errorFrom({ code, message, details }: PlaneFailure): FleetError {
  const known: Code = code in CODES ? (code as Code) : 'internal';
  return new FleetError(known, message, { details: { ...details } });
}
