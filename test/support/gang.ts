// A gang of replicas for tests of the exchange: members in this process, each with a connection or a plane of
// its own, whose weights after a step are that step's sum, so that states and sums check each other. Decides
// contents and oracles.

import assert from 'node:assert/strict';
import {
  type Compression,
  createExchange,
  type Exchange,
  type ExchangePlan,
  type Faults,
  type State,
  type Suspect,
} from '../../core/allreduce/exchange.ts';
import { type Member, type Node, rootOf } from '../../core/allreduce/plan.ts';
import type { DataPlane } from '../../core/allreduce/plane.ts';
import type { ResidualStore } from '../../core/allreduce/residuals.ts';
import type { Sharing } from '../../core/allreduce/segment-door.ts';
import { WITHOUT_STATE } from '../../core/allreduce/sync.ts';
import { systemClock } from '../../core/clock.ts';
import { digest64 } from '../../core/digest.ts';
import { createLogger } from '../../core/log.ts';
import { connectData } from '../../core/net/data-connection.ts';
import { comparedDigest } from '../../core/state-vectors.ts';
import { NAMES } from './names.ts';
import type { TestNats } from './nats.ts';

const log = createLogger({ program: 'test', level: 'silent' });
let runs = 0;
export const nextRun = (): string => `run-${++runs}`;

/** mulberry32: a seeded sequence for contents and faults. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SCALES = [1e-15, 1e-6, 1e-9, 1e-3, 1e-12, 1e-49, 1e-8];

/** The vector of one shard in one step: magnitudes so different that the order of additions shows. */
export function shardVector(step: number, shard: number, elements: number): Float32Array {
  let state = (step * 1000 + shard) >>> 0;
  const vector = new Float32Array(elements);
  for (let i = 0; i < elements; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    vector[i] = state * SCALES[i % SCALES.length]!;
  }
  return vector;
}

/** `summed`: nodes whose sums stand at their first shards. */
export function dumbSum(
  vectors: readonly Float32Array[],
  first = 0,
  size = rootOf(vectors.length).size,
  summed: readonly Node[] = [],
): Float32Array {
  if (size === 1 || summed.some((node) => node.first === first && node.size === size)) return vectors[first]!;
  const left = dumbSum(vectors, first, size / 2, summed);
  if (first + size / 2 >= vectors.length) return left;
  const right = dumbSum(vectors, first + size / 2, size / 2, summed);
  const sum = new Float32Array(left.length);
  for (let i = 0; i < sum.length; i++) sum[i] = left[i]! + right[i]!;
  return sum;
}

export const expectedSum = (step: number, shards: number, elements: number): Float32Array =>
  dumbSum(Array.from({ length: shards }, (_, shard) => shardVector(step, shard, elements)));

/** Members that hold `counts[i]` consecutive shards each. */
export function membersOf(counts: readonly number[]): Member[] {
  let shardFirst = 0;
  return counts.map((shardCount, rank) => {
    const member = { workerId: `worker-${rank}`, shardFirst, shardCount };
    shardFirst += shardCount;
    return member;
  });
}

/** A replica whose weights after a step are the sum of that step: state and sums check each other. */
export interface Replica {
  readonly exchange: Exchange;
  step: number;
  state: State;
  close(): void;
}

export interface GangOptions {
  readonly nats: Pick<TestNats, 'access'>;
  /** Shards of each member. */
  readonly counts: readonly number[];
  readonly elements: number;
  readonly compression?: Compression;
  /** Of each member; what int8 leaves goes with it from one generation to the next. */
  readonly residuals?: readonly (ResidualStore | undefined)[];
  /** Planes of each member, when its exchange shall run in a thread; else it runs here. */
  readonly planes?: readonly DataPlane[];
  readonly runId?: string;
  readonly generation?: number;
  readonly faults?: (rank: number) => Faults;
  readonly stallMs?: number;
  /** How a member shares memory with others of its host. */
  readonly sharing?: (rank: number) => Sharing | undefined;
  /** Of a state that has other vectors than SGD's. */
  readonly stateNames?: readonly string[];
  readonly stateElements?: number;
  readonly onSuspects?: (rank: number, suspects: readonly Suspect[]) => void;
  /** How often a member cannot give its state before it can. */
  readonly stateFailures?: number;
  /** Steps and states that members begin with; without: all at step 0 with zeros. */
  readonly starts?: readonly { readonly step: number; readonly state: State }[];
}

export const zeroState = (elements: number): State => ({
  weights: new Float32Array(elements),
  momentum: new Float32Array(elements),
  running: Float32Array.of(0, 1),
});

const entriesOf = (state: State) => Object.entries(state).map(([name, values]) => ({ name, values }));

export async function join(options: GangOptions, rank: number, runId: string): Promise<Replica> {
  const { counts, elements, compression = 'none' } = options;
  const start = options.starts?.[rank] ?? { step: 0, state: zeroState(elements) };
  const faults = options.faults?.(rank);
  const plan: ExchangePlan = {
    runId,
    generation: options.generation ?? 1,
    rank,
    members: membersOf(counts),
    shards: counts.reduce((sum, count) => sum + count, 0),
    elements,
    compression,
    ...(options.stateNames && { stateNames: options.stateNames }),
    ...(options.stateElements && { stateElements: options.stateElements }),
    // A gang that loses much on purpose asks soon, or the test takes long.
    stallMs: options.stallMs ?? (faults === undefined ? 100 : 40),
  };
  let failures = options.stateFailures ?? 0;
  const provideState = (): State => {
    if (failures-- > 0) throw new Error('not at hand');
    return replica.state;
  };
  const plane = options.planes?.[rank];
  const hosted =
    plane === undefined
      ? await hostHere(options, plan, provideState)
      : { exchange: plane.createExchange({ ...plan, provideState }), close: () => {} };
  const replica: Replica = {
    exchange: hosted.exchange,
    step: start.step,
    state: start.state,
    close() {
      hosted.exchange.close();
      hosted.close();
    },
  };
  return replica;
}

async function hostHere(options: GangOptions, plan: ExchangePlan, provideState: () => State) {
  const { nats } = options;
  const { rank } = plan;
  const faults = options.faults?.(rank);
  const residuals = options.residuals?.[rank];
  const connection = await connectData({
    ...nats.access,
    name: `member ${rank}`,
    noEcho: rank % 2 === 0,
  });
  const exchange = createExchange({
    ...plan,
    connection,
    names: NAMES,
    provideState,
    log,
    clock: systemClock,
    onSuspects: (suspects) => options.onSuspects?.(rank, suspects),
    ...(faults && { faults }),
    ...(residuals && { residuals }),
    sharing: options.sharing?.(rank),
  });
  return { exchange, close: () => connection.close() };
}

export async function gang(
  options: GangOptions,
  work: (replicas: Replica[], runId: string) => Promise<void>,
): Promise<void> {
  const runId = options.runId ?? nextRun();
  const replicas = await Promise.all(options.counts.map((_, rank) => join(options, rank, runId)));
  try {
    await work(replicas, runId);
  } finally {
    for (const replica of replicas) replica.close();
  }
}

/** A member in this process whose peers are elsewhere; plain data. */
export const gangMember = (of: {
  readonly access: TestNats['access'];
  readonly counts: readonly number[];
  readonly elements: number;
  readonly rank: number;
  readonly runId: string;
  readonly sharing: Sharing;
}): Promise<Replica> =>
  join({ ...of, nats: { access: of.access }, sharing: () => of.sharing }, of.rank, of.runId);

export async function synchronise(replica: Replica): Promise<void> {
  const mine =
    replica.step < 0
      ? WITHOUT_STATE
      : { step: replica.step, digest: comparedDigest(entriesOf(replica.state)) };
  const { step, state } = await replica.exchange.sync(mine);
  replica.step = step;
  if (state !== undefined) replica.state = state;
}

/** Runs steps up to `end`; each member starts the next as soon as it has the sum. */
export async function train(
  replica: Replica,
  member: Member,
  end: number,
  /** Steps that begin a stage. */
  isFresh: (step: number) => boolean = (step) => step === 0,
  /** Nodes of the member that it gives added up. */
  summed: readonly Node[] = [],
): Promise<void> {
  const elements = replica.state.weights.length;
  while (replica.step < end) {
    const { step } = replica;
    const vectors = new Map<number, Float32Array>();
    for (let shard = member.shardFirst; shard < member.shardFirst + member.shardCount; shard++)
      vectors.set(shard, shardVector(step, shard, elements));
    const own = [...vectors.values()];
    for (const { first, size } of summed) {
      const sum = dumbSum(own, first - member.shardFirst, size);
      for (let shard = first; shard < first + size; shard++) vectors.delete(shard);
      vectors.set(first, sum);
    }
    // The sum lies where the next one will.
    const options = { fresh: isFresh(step), summed };
    const sum = Float32Array.from(await replica.exchange.reduce(step, vectors, options));
    replica.state = { ...replica.state, weights: sum, momentum: sum.map((value) => -value) };
    replica.step = step + 1;
  }
}

export async function trainAll(
  replicas: readonly Replica[],
  counts: readonly number[],
  end: number,
): Promise<void> {
  await Promise.all(
    replicas.map(async (replica, rank) => {
      await synchronise(replica);
      await train(replica, membersOf(counts)[rank]!, end);
    }),
  );
}

export function assertWeights(replicas: readonly Replica[], expected: Float32Array): void {
  for (const { state } of replicas) assert.equal(digest64(state.weights), digest64(expected));
}
