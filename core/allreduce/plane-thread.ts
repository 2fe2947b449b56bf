// The data thread of a worker: the connection for gradients, and the exchanges of all its runs. Socket, sums and repair are here, so
// that a busy main thread delays no peer. Decides nothing: it wires messages of the main thread to exchange.ts.

import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../clock.ts';
import { toFleetError } from '../errors.ts';
import { connectData, type DataConnection } from '../net/data-connection.ts';
import { philox } from '../rng.ts';
import { createExchange, type Exchange, type ReduceOptions } from './exchange.ts';
import type { FromPlane, InjectedFaults, PlaneFailure, PlaneSettings, ToPlane } from './plane-messages.ts';
import { createResidualStore, type ResidualStore } from './residuals.ts';
import { createHabitStore, type HabitStore } from './watch.ts';
import { type ExchangeStats, type Faults, STATS, type State } from './wire.ts';

interface Hosted {
  readonly exchange: Exchange;
  /** Of this member. */
  readonly shards: readonly number[];
  /** Askers that wait for the main thread's state. */
  readonly waiting: ((state: State | undefined) => void)[];
}

const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread');
const tell = (message: FromPlane): void => port.postMessage(message);
const settings = workerData as PlaneSettings;
const hosted = new Map<number, Hosted>();
const residuals = new Map<string, ResidualStore>();
const habits = new Map<string, HabitStore>();
const faults = settings.faults && randomFaults(settings.faults);

try {
  const connection = await connectData({
    ...settings,
    noEcho: true,
    onStatus: (up, reason) => tell({ kind: 'status', up, reason }),
  });
  port.on('message', (message: ToPlane) => perform(connection, message));
  tell({ kind: 'connected' });
} catch (caught) {
  tell({ kind: 'refused', failure: failureOf(caught) });
}

function perform(connection: DataConnection, message: ToPlane): void {
  switch (message.kind) {
    case 'open':
      hosted.set(message.exchange, host(connection, message));
      return;
    case 'sync': {
      const { exchange, call, mine } = message;
      answer(exchange, call, async () => {
        const synced = await exchangeOf(exchange).sync(mine);
        return { kind: 'synced', exchange, call, synced };
      });
      return;
    }
    case 'reduce': {
      const { exchange, call, step, options } = message;
      answer(exchange, call, async () => {
        await reduce(exchange, step, options);
        return { kind: 'reduced', exchange, call };
      });
      return;
    }
    case 'state':
      for (const resolve of hosted.get(message.exchange)?.waiting.splice(0) ?? []) resolve(message.state);
      return;
    case 'close': {
      const gone = hosted.get(message.exchange);
      hosted.delete(message.exchange);
      gone?.exchange.close();
      for (const resolve of gone?.waiting.splice(0) ?? []) resolve(undefined);
      return;
    }
    case 'forget':
      residuals.delete(message.runId);
      habits.delete(message.runId);
  }
}

function host(
  connection: DataConnection,
  { exchange: id, plan, memory, stats }: Extract<ToPlane, { kind: 'open' }>,
): Hosted {
  const waiting: Hosted['waiting'] = [];
  const store = residuals.get(plan.runId) ?? createResidualStore();
  residuals.set(plan.runId, store);
  const seen = habits.get(plan.runId) ?? createHabitStore();
  habits.set(plan.runId, seen);
  const log =
    (level: 'warn' | 'error') =>
    (fields: object, message: string): void =>
      tell({ kind: 'log', level, fields: { ...fields }, message });
  const exchange = createExchange({
    ...plan,
    connection,
    memory,
    stats: sharedStats(stats),
    residuals: store,
    habits: seen,
    onSuspects: (suspects) => tell({ kind: 'suspects', exchange: id, suspects }),
    clock: systemClock,
    log: { warn: log('warn'), error: log('error') },
    provideState: async () => {
      const state = await new Promise<State | undefined>((resolve) => {
        waiting.push(resolve);
        tell({ kind: 'ask-state', exchange: id });
      });
      if (state === undefined) throw new Error('the exchange is closed');
      return state;
    },
    ...(faults && { faults }),
  });
  const { shardFirst, shardCount } = plan.members[plan.rank]!;
  const shards = Array.from({ length: shardCount }, (_, i) => shardFirst + i);
  return { exchange, shards, waiting };
}

function answer(exchange: number, call: number, work: () => Promise<FromPlane>): void {
  work().then(tell, (caught: unknown) =>
    tell({ kind: 'failed', exchange, call, failure: failureOf(caught) }),
  );
}

function exchangeOf(id: number): Exchange {
  return hostedAt(id).exchange;
}

function hostedAt(id: number): Hosted {
  const found = hosted.get(id);
  if (found === undefined) throw new Error(`assertion: exchange ${id} is not open`);
  return found;
}

/** The main thread has filled the vectors where they lie. */
async function reduce(id: number, step: number, options: ReduceOptions): Promise<void> {
  const { exchange, shards } = hostedAt(id);
  await exchange.reduce(step, new Map(shards.map((shard) => [shard, exchange.vector(shard)])), options);
}

/** Counters that the main thread reads whenever it likes. */
function sharedStats(memory: SharedArrayBuffer): ExchangeStats {
  const values = new Float64Array(memory);
  const stats = {} as ExchangeStats;
  STATS.forEach((name, i) => {
    Object.defineProperty(stats, name, {
      enumerable: true,
      get: () => values[i]!,
      set: (value: number) => {
        values[i] = value;
      },
    });
  });
  return stats;
}

function failureOf(caught: unknown): PlaneFailure {
  const { code, message, details } = toFleetError(caught);
  return { code, message, details };
}

/** The same messages in the same order meet the same fates. */
function randomFaults({ seed, drop, duplicate }: InjectedFaults): Faults {
  let count = 0;
  return () => {
    const chance = philox([seed, 0], [count++, 0, 0, 0])[0]! / 2 ** 32;
    return chance < drop ? 'drop' : chance < drop + duplicate ? 'duplicate' : 'pass';
  };
}
