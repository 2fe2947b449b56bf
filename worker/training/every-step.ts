// The procedure of a run whose shards are summed after each step: each own shard's gradient is computed from
// the replica, and the optimiser applies the mean.

import { layoutOf } from '../../core/nn/layout.ts';
import { adapterWidth } from '../../core/spec/distillation.ts';
import type { Contribution, GangPlace, Membership, Procedure, ProcedureOptions, Unit } from './procedure.ts';
import { sgdShape } from './replica.ts';
import { createResidentReplica, type ResidentReplica, updateOf } from './resident-replica.ts';
import { sgdFirst } from './sgd-update.ts';
import { trainingGraph } from './training-graph.ts';
import { wholeReplica, wholeReplicaMember } from './whole-replica.ts';

export function createEveryStep(options: ProcedureOptions): Procedure {
  const { spec, network, classes, schedule } = options;
  const layout = layoutOf(network, { classes, adapter: adapterWidth(spec.distillation) });
  const graph = trainingGraph(spec, classes);
  const perShard = schedule.batch / schedule.shards;

  const contributeShard = async (resident: ResidentReplica, unit: Unit, shard: number) => {
    const batch = await unit.readBatch(unit.first, shard);
    const taught = (await unit.teacher?.inputsOf({ step: unit.first, shard, images: batch.images })) ?? [];
    const vector = unit.exchange.vector(shard);
    await resident.runGraph(graph, unit.replica, [batch.images, batch.labels, ...taught], vector);
    unit.batchDone();
    return [shard, vector] as const;
  };
  /** All shards at once: the compute thread takes them one after the other, as their batches arrive. */
  const contribute = async (resident: ResidentReplica, unit: Unit): Promise<Contribution> => {
    await resident.prepare(unit.replica);
    const vectors = Promise.all(unit.shards.map((shard) => contributeShard(resident, unit, shard)));
    return {
      vectors: new Map(await Promise.race([vectors, unit.failed])),
      waited: 0,
      images: perShard * unit.shards.length,
    };
  };
  const join = (place: GangPlace): Membership => {
    const resident = createResidentReplica(options, classes);
    const member = wholeReplicaMember(place);
    return {
      ...member,
      contribute: (unit) => contribute(resident, unit),
      applyMean: resident.applyMean,
      async gatherState(replica) {
        const vectors = await member.gatherState(replica);
        if (vectors !== undefined) await resident.settle();
        return vectors;
      },
      leave: resident.leave,
    };
  };

  return {
    ...wholeReplica,
    replicaShape: sgdShape(layout),
    stateShape: sgdShape(layout),
    sumLength: layout.vectorCount,
    graphs: [graph, updateOf(spec, classes)],
    backboneCount: layout.backboneCount,
    writeFirst: sgdFirst(options),
    join: async (place) => join(place),
    dispose: () => undefined,
  };
}
