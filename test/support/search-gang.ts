// Members of a search in one process, each with its own replica and procedure, which train together over planes
// that the caller gives. Decides contents and oracles: after each step all members must have equal bits.

import assert from 'node:assert/strict';
import type { Exchange, ExchangePlan, ExchangeStats } from '../../core/allreduce/exchange.ts';
import { type Node, rootOf } from '../../core/allreduce/plan.ts';
import { systemClock } from '../../core/clock.ts';
import type { Loader } from '../../core/data/loading/loader.ts';
import { type Samplings, samplingsOf } from '../../core/data/loading/samplings.ts';
import { createDeferred } from '../../core/deferred.ts';
import { sharedFloats } from '../../core/shared-memory.ts';
import { documentOf, documentSchema } from '../../core/spec/document.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { roundsBefore } from '../../core/spec/schedule.ts';
import type { SearchFound } from '../../core/spec/search.ts';
import { namesOf, type StateVectors, stateDigest } from '../../core/state-vectors.ts';
import type { Compute } from '../../worker/compute/client.ts';
import { batchSources } from '../../worker/run/session.ts';
import { chooseProcedure, trainedNetwork } from '../../worker/training/choose-procedure.ts';
import type { GangPlace, Procedure } from '../../worker/training/procedure.ts';
import { type Replica, replicaOf } from '../../worker/training/replica.ts';
import { createLedger } from '../../worker/training/step-ledger.ts';
import { type TrainContext, trainUnit } from '../../worker/training/train.ts';
import { dumbSum, membersOf } from './gang.ts';
import { firstPlace } from './replicas.ts';

type Plane = GangPlace['plane'];

/** A search of 8 identities and 48 training images, 24 in each half; the steps of an epoch are 24 / batch. */
export function tinySearch(search: Record<string, unknown> = {}): RunSpec {
  const spec = documentSchema.parse({
    kind: 'search',
    name: 'tiny',
    supernet: { channels: 2, layers: 4 },
    data: { kind: 'synthetic', identities: 8, images: 8, holdout: 2, seed: 5 },
    search: { epochs: 2, batch: 16, shards: 8, seed: 7, force: true, ...search },
    workers: { max: search.shards ?? 8 },
  });
  const run = documentOf(spec);
  assert.equal(run.kind, 'search');
  return run as RunSpec;
}

export interface SearchMember {
  readonly replica: Replica;
  readonly procedure: Procedure;
  /** Makes one step with the others. */
  step(): ReturnType<typeof trainUnit>;
  /** What its state stands for at the end of a stage, with the others; undefined where nothing is decoded. */
  found(stage: number): Promise<SearchFound | undefined>;
  /** Counters of its exchanges. */
  stats(): readonly Readonly<ExchangeStats>[];
  /** The whole state, with the others; undefined at all but the first. */
  state(): Promise<StateVectors | undefined>;
  leave(): Promise<void>;
}

export interface SearchGangOptions {
  readonly spec: RunSpec;
  readonly classes: number;
  readonly trainingImages: number;
  readonly loader: Pick<Loader, 'batch'>;
  /** What computes, for all members or for each. */
  readonly compute: Compute | ((rank: number) => Compute);
  /** The plane of each member. */
  readonly planes: (rank: number) => Plane;
  /** Shards of each member. */
  readonly counts: readonly number[];
  readonly runId: string;
  readonly generation?: number;
  /** Replicas with which members begin; absent: the seed's. */
  readonly replicas?: readonly Replica[];
  /** What members keep of the run from an earlier generation; absent: nothing. */
  readonly procedures?: readonly Procedure[];
  readonly signal?: AbortSignal;
}

/** Opens a gang whose members agree on the step at which they go on. */
export async function joinSearch(options: SearchGangOptions): Promise<SearchMember[]> {
  return Promise.all(options.counts.map((_, rank) => joinMember(options, rank)));
}

async function joinMember(options: SearchGangOptions, rank: number): Promise<SearchMember> {
  const { spec, classes, trainingImages, counts, runId, generation = 1 } = options;
  const compute = typeof options.compute === 'function' ? options.compute(rank) : options.compute;
  const signal = options.signal ?? new AbortController().signal;
  const samplings: Samplings = samplingsOf(spec, trainingImages);
  const { schedule } = samplings.own;
  const network = trainedNetwork(spec, classes);
  const procedure =
    options.procedures?.[rank] ?? chooseProcedure({ runId, spec, network, classes, schedule, compute });
  const members = membersOf(counts);
  const plane = options.planes(rank);
  let replica: Replica;
  const exchange = plane.createExchange({
    ...{ runId, generation, rank, members, shards: schedule.shards, factor: 1 / schedule.shards },
    elements: procedure.sumLength,
    compression: spec.training.compression,
    stateNames: namesOf(procedure.replicaShape),
    stateElements: Math.max(...procedure.replicaShape.map(({ length }) => length)),
    provideState: () => {
      const byName = Object.fromEntries(replica.vectors.map(({ name, values }) => [name, values]));
      return { ...byName, weights: replica.vectors[0]!.values };
    },
    signal,
  });
  const membership = await procedure.join({ ...firstPlace(signal), runId, generation, rank, members, plane });
  // What a member holds of a head is known once it has joined.
  replica = options.replicas?.[rank] ?? (await firstOf(procedure));
  const agreed = await exchange.sync({ step: roundsBefore(schedule, replica.step), digest: replica.digest });
  if (agreed.state !== undefined) {
    const { state } = agreed;
    const vectors = procedure.replicaShape.map(({ name }) => ({ name, values: state[name]! }));
    replica = replicaOf({ step: agreed.step, vectors });
  }
  await membership.settleHoldings(replica);
  const { shardFirst, shardCount } = members[rank]!;
  const context: TrainContext = {
    ...{ spec, schedule, replica, membership, exchange, signal, clock: systemClock },
    shards: Array.from({ length: shardCount }, (_, i) => shardFirst + i),
    ...batchSources(spec, samplings, options.loader),
    teacher: undefined,
    ledger: createLedger(samplings),
    begin: () => () => undefined,
    onBoundary: async () => undefined,
    onUnit: () => undefined,
    onProgress: () => undefined,
  };
  return {
    replica,
    procedure,
    step: () => trainUnit(context),
    found: async (stage) => membership.found?.(stage, replica, context.alphaBatches!),
    stats: () => [exchange.stats(), ...membership.exchangeStats()],
    state: () => membership.gatherState(replica),
    async leave() {
      await membership.leave();
      exchange.close();
    },
  };
}

/** The same state in memory of its own: a member changes its replica in place. */
export function copyOf({ step, vectors }: Replica): Replica {
  const copies = vectors.map(({ name, values }) => {
    const copy = sharedFloats(values.length);
    copy.set(values);
    return { name, values: copy };
  });
  return replicaOf({ step, vectors: copies });
}

export async function firstOf(procedure: Procedure): Promise<Replica> {
  const vectors = procedure.stateShape.map(({ name, length }) => ({ name, values: sharedFloats(length) }));
  await procedure.writeFirst(vectors);
  return procedure.adopt({ step: 0, vectors });
}

/** Steps of a gang; all members must have the same state after each. Returns the last one's digest. */
export async function stepTogether(members: readonly SearchMember[], steps: number): Promise<string> {
  for (let step = 0; step < steps; step++) {
    await Promise.all(members.map((member) => member.step()));
    const digests = new Set(members.map(({ replica }) => stateDigest(replica.vectors)));
    assert.equal(digests.size, 1, `members differ after step ${members[0]!.replica.step}`);
  }
  return stateDigest(members[0]!.replica.vectors);
}

/**
 * Planes of one process without a network: an exchange adds up what its members give, in the canonical tree, and
 * compresses nothing. A sum answers when all have given, and `broken` may refuse it.
 */
export function createSums(broken?: (runId: string, round: number) => Error | undefined): Plane {
  const open = new Map<string, ReturnType<typeof createSum>>();
  return {
    ...firstPlace(new AbortController().signal).plane,
    createExchange(plan) {
      const key = `${plan.runId}/${plan.generation}`;
      const sum = open.get(key) ?? createSum(plan, broken);
      open.set(key, sum);
      return sum();
    },
  };
}

function createSum(
  plan: ExchangePlan,
  broken: (runId: string, round: number) => Error | undefined = () => undefined,
) {
  const { shards, elements, members, factor = 1, compression = 'none' } = plan;
  const vectors = Array.from({ length: shards }, () => sharedFloats(elements));
  const given = new Map<number, Float32Array>();
  const summed: Node[] = [];
  const digests = new Set<string>();
  let mean = createDeferred<Float32Array<SharedArrayBuffer>>();
  mean.promise.catch(() => undefined);
  let starts: number[] = [];
  let started = createDeferred<number>();
  return (): Exchange => ({
    vector: (shard) => vectors[shard]!,
    bringResiduals: () => undefined,
    residuals: async () => [],
    async sync({ step }) {
      starts.push(step);
      const agreed = started;
      if (starts.length === members.length) {
        assert.equal(new Set(starts).size, 1, 'without a network nobody is behind');
        starts = [];
        started = createDeferred();
        agreed.resolve(step);
      }
      return { step: await agreed.promise };
    },
    async reduce(round, own, options) {
      const refused = broken(plan.runId, round);
      if (refused !== undefined) {
        mean.reject(refused);
        throw refused;
      }
      for (const [shard, vector] of own) given.set(shard, vector.slice());
      summed.push(...(options?.summed ?? []));
      assert.ok(
        compression === 'none' || summed.length === 0,
        'shards that travel compressed are given apart',
      );
      digests.add(options?.digest ?? '');
      const waited = mean;
      if (summed.reduce((count, { size }) => count + size - 1, given.size) === shards) {
        assert.equal(digests.size, 1, 'all contribute under one digest');
        const result = sharedFloats(elements);
        const all = Array.from({ length: shards }, (_, shard) => given.get(shard)!);
        result.set(dumbSum(all, 0, rootOf(shards).size, summed).map((value) => value * factor));
        given.clear();
        summed.length = 0;
        digests.clear();
        mean = createDeferred();
        mean.promise.catch(() => undefined);
        waited.resolve(result);
      }
      return waited.promise;
    },
    stats: () => ({}) as ReturnType<Exchange['stats']>,
    close: () => undefined,
  });
}
