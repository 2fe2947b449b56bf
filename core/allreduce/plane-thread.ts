// The data thread of a worker: the connection for gradients, and the exchanges of all its runs. Socket, sums
// and repair are here, so that a busy main thread delays no peer. Decides what outlives an exchange: what
// compression has left of a run and how fast its peers were, until the run is released.

import { workerData } from 'node:worker_threads';
import { systemClock } from '../clock.ts';
import { connectData, type DataConnection } from '../net/data-connection.ts';
import { namesOf } from '../net/subjects.ts';
import { philox } from '../rng.ts';
import { answerCalls } from '../thread-calls.ts';
import { createExchange, type Exchange, type ReduceOptions } from './exchange.ts';
import { createHabitStore, type HabitStore } from './member-watch.ts';
import type { FromPlane, InjectedFaults, PlaneCalls, PlaneSettings, ToPlane } from './plane-messages.ts';
import { createResidualStore, type ResidualStore } from './residuals.ts';
import { shardsGiven } from './vectors.ts';
import { type ExchangeStats, type Faults, STATS, type State } from './wire.ts';

interface Hosted {
  readonly exchange: Exchange;
  /** The shards of this member. */
  readonly shards: readonly number[];
  /** Askers that wait for the main thread's state. */
  readonly waiting: ((state: State | undefined) => void)[];
}

const settings = workerData as PlaneSettings;
const names = namesOf(settings.prefixes);
const hosted = new Map<number, Hosted>();
const residuals = new Map<string, ResidualStore>();
const habits = new Map<string, HabitStore>();
const faults = settings.faults && randomFaults(settings.faults);

let connection: DataConnection | undefined;

const note = answerCalls<PlaneCalls, ToPlane, FromPlane>({
  answers: {
    async connect() {
      connection = await connectData({
        ...settings,
        noEcho: true,
        onStatus: (up, reason) => note({ kind: 'status', up, reason }),
      });
      return undefined;
    },
    sync: async ({ exchange, mine }) => hostedAt(exchange).exchange.sync(mine),
    residuals: async ({ exchange }) => hostedAt(exchange).exchange.residuals(),
    reduce: async ({ exchange, step, options }) => reduce(exchange, step, options),
  },
  onNote: acceptNote,
});

function acceptNote(message: ToPlane): void {
  switch (message.kind) {
    case 'open-exchange':
      hosted.set(message.exchange, host(message));
      return;
    case 'give-state':
      for (const resolve of hosted.get(message.exchange)?.waiting.splice(0) ?? []) resolve(message.state);
      return;
    case 'bring-residuals':
      hosted.get(message.exchange)?.exchange.bringResiduals(message.residuals);
      return;
    case 'close-exchange': {
      const gone = hosted.get(message.exchange);
      hosted.delete(message.exchange);
      gone?.exchange.close();
      for (const resolve of gone?.waiting.splice(0) ?? []) resolve(undefined);
      return;
    }
    case 'release-run':
      residuals.delete(message.runId);
      habits.delete(message.runId);
      return;
    case 'rights':
      if (settings.worker !== undefined) settings.worker.jwt = message.jwt;
  }
}

function host({ exchange: id, plan, memory, stats }: Extract<ToPlane, { kind: 'open-exchange' }>): Hosted {
  if (connection === undefined)
    throw new Error('assertion: an exchange is opened before the broker is reached');
  const waiting: Hosted['waiting'] = [];
  const store = residuals.get(plan.runId) ?? createResidualStore();
  residuals.set(plan.runId, store);
  const seen = habits.get(plan.runId) ?? createHabitStore();
  habits.set(plan.runId, seen);
  const log =
    (level: 'warn' | 'error') =>
    (fields: object, message: string): void =>
      note({ kind: 'log', level, fields: { ...fields }, message });
  const exchange = createExchange({
    ...plan,
    connection,
    names,
    memory,
    stats: sharedStats(stats),
    residuals: store,
    habits: seen,
    onSuspects: (suspects) => note({ kind: 'suspects', exchange: id, suspects }),
    clock: systemClock,
    log: { warn: log('warn'), error: log('error') },
    provideState: async () => {
      const state = await new Promise<State | undefined>((resolve) => {
        waiting.push(resolve);
        note({ kind: 'need-state', exchange: id });
      });
      if (state === undefined) throw new Error('the exchange is closed');
      return state;
    },
    ...(faults && { faults }),
    sharing: settings.sharing,
  });
  const { shardFirst, shardCount } = plan.members[plan.rank]!;
  const shards = Array.from({ length: shardCount }, (_, i) => shardFirst + i);
  return { exchange, shards, waiting };
}

function hostedAt(id: number): Hosted {
  const found = hosted.get(id);
  if (found === undefined) throw new Error(`assertion: exchange ${id} is not open`);
  return found;
}

/** The main thread has filled the vectors in the memory of the exchange. */
async function reduce(id: number, step: number, options: ReduceOptions): Promise<undefined> {
  const { exchange, shards } = hostedAt(id);
  const given = shardsGiven(shards, options.summed);
  await exchange.reduce(step, new Map(given.map((shard) => [shard, exchange.vector(shard)])), options);
}

/** Counters that the main thread can read at any time. */
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

/** Seeded faults: the same messages in the same order are lost or repeated again. */
function randomFaults({ seed, drop, duplicate }: InjectedFaults): Faults {
  let count = 0;
  return () => {
    const chance = philox([seed, 0], [count++, 0, 0, 0])[0]! / 2 ** 32;
    return chance < drop ? 'drop' : chance < drop + duplicate ? 'duplicate' : 'pass';
  };
}
