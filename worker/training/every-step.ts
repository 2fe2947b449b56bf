// The procedure of a run whose shards are summed after each step: each own shard's gradient is computed from
// the replica, and the optimiser applies the mean.

import { layoutOf } from '../../core/nn/layout.ts';
import { adapterWidth } from '../../core/spec/distillation.ts';
import type { Contribution, Procedure, ProcedureOptions, Unit } from './procedure.ts';
import { sgdShape, sgdVectors } from './replica.ts';
import { sgdFirst, sgdUpdate } from './sgd-update.ts';
import { trainingGraph } from './training-graph.ts';
import { wholeReplica, wholeReplicaMember } from './whole-replica.ts';

export function createEveryStep(options: ProcedureOptions): Procedure {
  const { spec, network, classes, schedule, compute } = options;
  const layout = layoutOf(network, { classes, adapter: adapterWidth(spec.distillation) });
  const graph = trainingGraph(spec, classes);
  const perShard = schedule.batch / schedule.shards;

  const contributeShard = async (unit: Unit, shard: number) => {
    const batch = await unit.readBatch(unit.first, shard);
    const taught = (await unit.teacher?.inputsOf({ step: unit.first, shard, images: batch.images })) ?? [];
    const { weights } = sgdVectors(unit.replica);
    const inputs = [weights, batch.images, batch.labels, ...taught];
    const vector = unit.exchange.vector(shard);
    await compute.runGraph(graph, inputs, vector);
    unit.batchDone();
    return [shard, vector] as const;
  };
  /** All shards at once: the compute thread takes them one after the other, as their batches arrive. */
  const contribute = async (unit: Unit): Promise<Contribution> => {
    const vectors = Promise.all(unit.shards.map((shard) => contributeShard(unit, shard)));
    return {
      vectors: new Map(await Promise.race([vectors, unit.failed])),
      waited: 0,
      images: perShard * unit.shards.length,
    };
  };
  const applyMean = sgdUpdate(options, classes);

  return {
    ...wholeReplica,
    replicaShape: sgdShape(layout),
    stateShape: sgdShape(layout),
    sumLength: layout.vectorCount,
    graphs: [graph],
    backboneCount: layout.backboneCount,
    writeFirst: sgdFirst(options),
    join: async (place) => ({ ...wholeReplicaMember(place), contribute, applyMean }),
    dispose: () => undefined,
  };
}
