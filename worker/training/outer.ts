// The procedure of a run with `sync: outer` (DiLoCo; Douillard et al., 2023, arXiv:2311.08105). In a round
// every own shard trains a replica of its own, its inner replica, for the steps of the round. Then one sum
// averages how far the shards got, and every member applies the same outer step to the replica that the round
// began with (core/optim/outer.ts).
//
// Nothing here depends on how many workers there are, hence neither does the result. Inner replicas outlive a
// generation: when a member is lost, its shards train the open round again at the member that gets them, and
// all other shards go on where they are.

import { LOSS_COUNT, layoutOf } from '../../core/nn/layout.ts';
import { adapterWidth } from '../../core/spec/distillation.ts';
import type { TrainingSpec } from '../../core/spec/training.ts';
import type { KeptState } from '../compute/client.ts';
import type { Arrays, GraphSpec } from '../compute/messages.ts';
import { oneOfEach } from './device-shards.ts';
import { createInnerReplicas, freeKept, type InnerReplica, type InnerReplicas } from './inner-replicas.ts';
import type { Contribution, Membership, Procedure, ProcedureOptions, Unit } from './procedure.ts';
import { sgdShape, sgdVectors } from './replica.ts';
import { updateOf } from './resident-replica.ts';
import { sgdFirst } from './sgd-update.ts';
import { trainingGraph } from './training-graph.ts';
import { wholeReplica, wholeReplicaMember } from './whole-replica.ts';

export type OuterSync = Extract<TrainingSpec['sync'], { readonly kind: 'outer' }>;

export function createOuter(
  options: ProcedureOptions,
  sync: OuterSync,
  innerReplicas?: InnerReplicas,
): Procedure {
  const { spec, network, classes, schedule, compute } = options;
  const attached = { classes, adapter: adapterWidth(spec.distillation) };
  const layout = layoutOf(network, attached);
  const graph = trainingGraph(spec, classes);
  const inner = innerReplicas ?? createInnerReplicas(layout);
  const context: RoundContext = { ...options, graph, inner };
  const perShard = schedule.batch / schedule.shards;
  const { learningRate, momentum } = sync;

  /**
   * Resolves or rejects only when no shard is being trained any more, because the next generation takes the
   * inner replicas up. Whatever ends one shard therefore stops the others and is thrown after they have
   * stopped.
   */
  const contribute = async (unit: Unit): Promise<Contribution> => {
    const stop = new AbortController();
    const signal = AbortSignal.any([unit.signal, stop.signal]);
    const groups = await groupsOf(context, unit);
    const ended = await Promise.allSettled(
      groups.map((group) =>
        contributeGroup(context, { ...unit, signal }, group).catch((caught: unknown) => {
          stop.abort(caught);
          throw caught;
        }),
      ),
    );
    const vectors = new Map<number, Float32Array>();
    let steps = 0;
    for (const outcome of ended) {
      if (outcome.status === 'rejected') throw outcome.reason;
      for (const [shard, vector] of outcome.value.vectors) vectors.set(shard, vector);
      steps += outcome.value.steps;
    }
    return { vectors, waited: 0, images: steps * perShard };
  };

  const applyMean: Membership['applyMean'] = async (unit, mean) => {
    const { differenceNorm, digest } = await compute.applyOuterStep({
      network: spec.network,
      ...attached,
      outer: { learningRate, momentum },
      step: unit.first,
      ...sgdVectors(unit.replica),
      mean,
    });
    inner.keep(unit.shards);
    return { gradientNorm: differenceNorm, digest };
  };

  return {
    ...wholeReplica,
    replicaShape: sgdShape(layout),
    stateShape: sgdShape(layout),
    sumLength: layout.vectorCount,
    graphs: [graph, updateOf(spec, classes)],
    backboneCount: layout.backboneCount,
    writeFirst: sgdFirst(options),
    join: async (place) => ({ ...wholeReplicaMember(place), contribute, applyMean }),
    dispose: () => inner.keep([]),
  };
}

interface RoundContext extends ProcedureOptions {
  /** The training step of one shard. */
  readonly graph: GraphSpec;
  readonly inner: InnerReplicas;
}

const isTrained = ({ inner }: RoundContext, { first, end, replica }: Unit, shard: number): boolean =>
  first + inner.of(shard, replica).steps === end;

/**
 * Puts the inner replicas of shards that are not trained to the end onto devices, where the engine keeps vectors
 * there. Returns which shards are trained step by step together: one on each device, or each by itself.
 */
async function groupsOf(context: RoundContext, unit: Unit): Promise<readonly (readonly number[])[]> {
  const { inner } = context;
  const own = (shard: number) => inner.of(shard, unit.replica);
  const isOpen = (shard: number) => !isTrained(context, unit, shard);
  // Those that an earlier generation has left on a device stay there.
  const open = unit.shards.filter(isOpen).sort((a, b) => placeOf(own(a)) - placeOf(own(b)));
  const byDevice: number[][] = [];
  for (const shard of open) {
    const replica = own(shard);
    replica.kept ??= await keptState(context, replica, emptiest(byDevice));
    if (replica.kept === undefined) return unit.shards.map((one) => [one]);
    while (byDevice.length < replica.kept.devices) byDevice.push([]);
    byDevice[replica.kept.device!]!.push(shard);
  }
  return [...oneOfEach(byDevice), ...unit.shards.filter((shard) => !isOpen(shard)).map((shard) => [shard])];
}

/** Replicas that are nowhere come last. */
const placeOf = ({ kept }: InnerReplica): number => kept?.device ?? Number.MAX_SAFE_INTEGER;

/** The device that has the fewest shards, the first of several; nothing is known of the devices before the first shard. */
const emptiest = (byDevice: readonly (readonly number[])[]): number =>
  Math.max(
    0,
    byDevice.findIndex(({ length }) => byDevice.every((other) => length <= other.length)),
  );

const keptState = (
  { compute, spec, classes }: RoundContext,
  { weights, momentum, running }: InnerReplica,
  device: number,
): Promise<KeptState | undefined> =>
  compute.keepState({ update: updateOf(spec, classes), state: { weights, momentum, running }, device });

/**
 * Trains shards to the end of the round and writes what they contribute. `steps`: how many they took now; they
 * may have taken others in an earlier generation.
 */
async function contributeGroup(context: RoundContext, unit: Unit, group: readonly number[]) {
  const { replica } = unit;
  let steps = 0;
  for (;;) {
    const open = group.filter((shard) => !isTrained(context, unit, shard));
    if (open.length === 0) break;
    unit.signal.throwIfAborted();
    await trainStep(context, unit, open);
    steps += open.length;
  }
  const { weights, running } = sgdVectors(replica);
  const vectors = new Map<number, Float32Array>();
  for (const shard of group) {
    const own = context.inner.of(shard, replica);
    const vector = unit.exchange.vector(shard);
    await own.kept?.read();
    freeKept(own);
    await context.compute.writeDifference({
      from: { weights, running },
      to: { weights: own.weights, running: own.running },
      losses: own.losses,
      steps: own.steps,
      into: vector,
    });
    vectors.set(shard, vector);
  }
  return { vectors, steps };
}

/** The step of one shard's inner replica, and where its gradients go until the contribution goes there. */
interface ShardStep {
  readonly shard: number;
  readonly own: InnerReplica;
  readonly step: number;
  readonly inputs: Arrays;
  readonly vector: Float32Array;
}

async function shardStep({ inner }: RoundContext, unit: Unit, shard: number): Promise<ShardStep> {
  const own = inner.of(shard, unit.replica);
  const step = unit.first + own.steps;
  const { images, labels } = await unit.readBatch(step, shard);
  const taught = (await unit.teacher?.inputsOf({ step, shard, images })) ?? [];
  return { shard, own, step, inputs: [images, labels, ...taught], vector: unit.exchange.vector(shard) };
}

/** The next step of each shard's inner replica. */
async function trainStep(context: RoundContext, unit: Unit, shards: readonly number[]): Promise<void> {
  const { inner } = context;
  const steps = await Promise.all(shards.map((shard) => shardStep(context, unit, shard)));
  if (steps[0]!.own.kept === undefined) await stepOnHost(context, unit, steps[0]!);
  else await stepOnDevices(context, unit, steps);
  for (const { own, vector } of steps) {
    unit.batchDone();
    const losses = vector.subarray(vector.length - LOSS_COUNT);
    for (let i = 0; i < LOSS_COUNT; i++) own.losses[i]! += losses[i]!;
    own.steps += 1;
    unit.onProgress(Math.min(...unit.shards.map((other) => inner.of(other, unit.replica).steps)));
  }
}

async function stepOnDevices(
  { compute, graph, inner }: RoundContext,
  { learningRate }: Unit,
  steps: readonly ShardStep[],
): Promise<void> {
  try {
    await compute.stepStates(
      graph,
      steps.map(({ own, vector, step, inputs }) => ({
        ...{ state: own.kept!, inputs, into: vector, learningRate, step },
      })),
    );
  } catch (caught) {
    // Some may have stepped, and a state may be lost to an update that failed.
    for (const { shard } of steps) inner.forget(shard);
    throw caught;
  }
}

async function stepOnHost(
  { spec, classes, compute, graph }: RoundContext,
  { learningRate }: Unit,
  { own, inputs, vector, step }: ShardStep,
): Promise<void> {
  const { weights, momentum, running } = own;
  await compute.runGraph(graph, [weights, ...inputs], vector);
  await compute.applyStep({
    network: spec.network,
    classes,
    adapter: adapterWidth(spec.distillation),
    optimizer: spec.training.optimizer,
    ...{ learningRate, step, weights, momentum, running },
    mean: vector,
  });
}
