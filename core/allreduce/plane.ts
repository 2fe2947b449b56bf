// The main thread's side of the data thread: exchanges that live there, used as if they lived here. Decides
// nothing of the protocol. Vectors are copied into shared memory, or computed there (Exchange.vector), and
// sums are read from it; calls and answers are small messages. When the thread ends, every open call is
// rejected and `died` resolves with the reason.

import { FleetError, toFleetError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { BrokerAddress } from '../net/broker-address.ts';
import type { Prefixes } from '../net/subjects.ts';
import { letGoOfShared } from '../shared-memory.ts';
import { stepDigest } from '../step-digest.ts';
import { type CallThread, openThread } from '../thread-calls.ts';
import type { Exchange, ExchangePlan } from './exchange.ts';
import type { Suspect } from './member-watch.ts';
import { createExchangeMemory } from './memory.ts';
import { planOf } from './plan.ts';
import type { FromPlane, InjectedFaults, PlaneCalls, PlaneSettings, ToPlane } from './plane-messages.ts';
import type { Sharing } from './segment-door.ts';
import { checkVectors, fillVectors, vectorView } from './vectors.ts';
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
  releaseRun(runId: string): void;
  /** A newer JWT of the worker's rights on the broker: it counts from the next connection on. */
  renewRights(jwt: string): void;
  /** Resolves with the reason when the thread ended without being asked to. */
  readonly died: Promise<FleetError>;
  close(): Promise<void>;
}

/**
 * Resolves when the broker has been reached for the first time; from then on the plane comes back after any
 * outage.
 */
export async function createDataPlane(
  options: BrokerAddress & {
    /** Shown by the broker, e.g. `worker-1 gradients`. */
    readonly name: string;
    /** Of the fleet's names. */
    readonly prefixes: Prefixes;
    readonly log: Pick<Logger, 'warn' | 'error' | 'info'>;
    /** How long the first connection may take while the broker starts, milliseconds. */
    readonly waitMs?: number;
    readonly signal?: AbortSignal;
    readonly faults?: InjectedFaults;
    /** How workers of one host share memory; without, everything goes over the broker. */
    readonly sharing?: Sharing | undefined;
  },
): Promise<DataPlane> {
  const { log, signal, waitMs = 15_000, faults, sharing, ...address } = options;
  const settings: PlaneSettings = { ...address, waitMs, faults, sharing };
  const exchanges = new Map<number, Hosted>();
  const thread: PlaneThread = openThread<PlaneCalls, ToPlane, FromPlane>({
    file: new URL('./plane-thread.ts', import.meta.url),
    name: 'data thread',
    workerData: settings,
    onNote(note) {
      switch (note.kind) {
        case 'status':
          if (note.up) log.info(`gradients: ${note.reason}`);
          else log.warn(`gradients: ${note.reason}; the exchange waits for the broker`);
          return;
        case 'log':
          log[note.level](note.fields, note.message);
          return;
        default:
          exchanges.get(note.exchange)?.acceptNote(note);
      }
    },
  });
  let nextExchange = 1;

  try {
    await thread.call('connect', undefined, { signal });
  } catch (caught) {
    await thread.close();
    throw caught;
  }

  return {
    createExchange(exchangeOptions) {
      const ended = thread.ended();
      if (ended !== undefined) throw ended;
      const id = nextExchange++;
      const hosted = openExchange({
        ...exchangeOptions,
        id,
        thread,
        log,
        onClosed: () => exchanges.delete(id),
      });
      exchanges.set(id, hosted);
      return hosted.exchange;
    },
    releaseRun: (runId) => thread.note({ kind: 'release-run', runId }),
    renewRights: (jwt) => thread.note({ kind: 'rights', jwt }),
    died: thread.died,
    close: () => thread.close(),
  };
}

type PlaneThread = CallThread<PlaneCalls, ToPlane>;
type ExchangeNote = Extract<FromPlane, { readonly exchange: number }>;

interface Hosted {
  readonly exchange: Exchange;
  acceptNote(note: ExchangeNote): void;
}

function openExchange(
  options: PlaneExchangeOptions & {
    readonly id: number;
    readonly thread: PlaneThread;
    readonly log: Pick<Logger, 'error'>;
    readonly onClosed: () => void;
  },
): Hosted {
  const { id, thread, log, onClosed, provideState, onSuspects, signal, ...plan } = options;
  const { runId, generation, elements } = plan;
  const memory = createExchangeMemory(planOf(plan), plan.rank);
  const counters = new SharedArrayBuffer(STATS.length * Float64Array.BYTES_PER_ELEMENT);
  const leaving = new AbortController();

  thread.note({ kind: 'open-exchange', exchange: id, plan, memory: memory.shared, stats: counters });

  function acceptNote(note: ExchangeNote): void {
    if (note.kind === 'need-state')
      thread.note({ kind: 'give-state', exchange: id, state: stateOrUndefined() });
    else onSuspects?.(note.suspects);
  }

  function stateOrUndefined(): State | undefined {
    try {
      return provideState();
    } catch (caught) {
      log.error({ runId, generation }, `no state for a peer that asks: ${toFleetError(caught).message}`);
      return undefined;
    }
  }

  function close(): void {
    if (leaving.signal.aborted) return;
    signal?.removeEventListener('abort', close);
    leaving.abort(new FleetError('cancelled', `generation ${generation} of run ${runId} was left`));
    thread.note({ kind: 'close-exchange', exchange: id });
    onClosed();
    letGoOfShared(memory.shared.buffer.byteLength);
  }
  signal?.addEventListener('abort', close, { once: true });
  if (signal?.aborted) close();

  const exchange: Exchange = {
    sync: (mine) => thread.call('sync', { exchange: id, mine }, { signal: leaving.signal }),
    bringResiduals: (residuals) => thread.note({ kind: 'bring-residuals', exchange: id, residuals }),
    residuals: () => thread.call('residuals', { exchange: id }, { signal: leaving.signal }),
    vector: (shard) => vectorView(memory, plan, shard),
    async reduce(step, vectors, given = {}) {
      checkVectors(plan, vectors, given.summed);
      fillVectors(memory, plan, vectors);
      // Computed on this side, because the data thread would have to ask for the weights.
      const digest = given.digest ?? stepDigest(provideState().weights);
      const ask = { exchange: id, step, options: { ...given, digest } };
      await thread.call('reduce', ask, { signal: leaving.signal });
      return memory.floats(memory.layout.sum, elements);
    },
    stats: () => statsFrom(counters),
    close,
  };
  return { exchange, acceptNote };
}

function statsFrom(counters: SharedArrayBuffer): ExchangeStats {
  const values = new Float64Array(counters);
  return Object.fromEntries(STATS.map((name, i) => [name, values[i]!])) as ExchangeStats;
}
