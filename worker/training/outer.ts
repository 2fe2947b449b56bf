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
    const ended = await Promise.allSettled(
      unit.shards.map((shard) =>
        contributeShard(context, { ...unit, signal }, shard).catch((caught: unknown) => {
          stop.abort(caught);
          throw caught;
        }),
      ),
    );
    const vectors = new Map<number, Float32Array>();
    let steps = 0;
    ended.forEach((outcome, place) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      vectors.set(unit.shards[place]!, outcome.value.vector);
      steps += outcome.value.steps;
    });
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

/**
 * Trains a shard to the end of the round and writes what it contributes. `steps`: how many it took now; it
 * may have taken others in an earlier generation.
 */
async function contributeShard(context: RoundContext, unit: Unit, shard: number) {
  const { replica } = unit;
  const own = context.inner.of(shard, replica);
  const before = own.steps;
  // Room for the gradients, until the contribution goes there.
  const vector = unit.exchange.vector(shard);
  const isTrained = () => unit.first + own.steps === unit.end;
  if (!isTrained()) own.kept ??= await keptState(context, own);
  while (!isTrained()) {
    unit.signal.throwIfAborted();
    await trainStep(context, unit, { shard, vector });
  }
  await own.kept?.read();
  freeKept(own);
  const { weights, running } = sgdVectors(replica);
  await context.compute.writeDifference({
    from: { weights, running },
    to: { weights: own.weights, running: own.running },
    losses: own.losses,
    steps: own.steps,
    into: vector,
  });
  return { vector, steps: own.steps - before };
}

/** The inner replica on the device, where the engine keeps vectors there: on the first, since each step is one run. */
const keptState = (
  { compute, spec, classes }: RoundContext,
  { weights, momentum, running }: InnerReplica,
): Promise<KeptState | undefined> =>
  compute.keepState({ update: updateOf(spec, classes), state: { weights, momentum, running }, device: 0 });

/** The next step of a shard's inner replica. */
async function trainStep(
  context: RoundContext,
  unit: Unit,
  { shard, vector }: { readonly shard: number; readonly vector: Float32Array },
): Promise<void> {
  const { inner, graph } = context;
  const { learningRate } = unit;
  const own = inner.of(shard, unit.replica);
  const step = unit.first + own.steps;
  const batch = await unit.readBatch(step, shard);
  const taught = (await unit.teacher?.inputsOf({ step, shard, images: batch.images })) ?? [];
  const inputs = [batch.images, batch.labels, ...taught];
  if (own.kept !== undefined) await own.kept.step({ graph, inputs, into: vector, learningRate, step });
  else await stepOnHost(context, own, { inputs, vector, learningRate, step });
  unit.batchDone();
  const losses = vector.subarray(vector.length - LOSS_COUNT);
  for (let i = 0; i < LOSS_COUNT; i++) own.losses[i]! += losses[i]!;
  own.steps += 1;
  unit.onProgress(Math.min(...unit.shards.map((other) => inner.of(other, unit.replica).steps)));
}

async function stepOnHost(
  { spec, classes, compute, graph }: RoundContext,
  { weights, momentum, running }: InnerReplica,
  given: {
    readonly inputs: Arrays;
    readonly vector: Float32Array;
    readonly learningRate: number;
    readonly step: number;
  },
): Promise<void> {
  const { inputs, vector, learningRate, step } = given;
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
