// The procedure of a run whose shards are summed after each step: each own shard's gradient is computed from
// the replica, and the optimiser applies the mean.

import { layoutOf } from '../../core/nn/layout.ts';
import { adapterWidth } from '../../core/spec/distillation.ts';
import type { KeptRun } from '../compute/messages.ts';
import { dealShards, type PlacedShard } from './device-shards.ts';
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
  const { compression } = spec.training;

  const runOf = async (unit: Unit, placed: PlacedShard): Promise<KeptRun> => {
    const { shard, node } = placed;
    const { images, labels } = await unit.readBatch(unit.first, shard);
    const taught = (await unit.teacher?.inputsOf({ step: unit.first, shard, images })) ?? [];
    return { ...placed, inputs: [images, labels, ...taught], into: unit.exchange.vector(node.first) };
  };
  const computeGroup = async (resident: ResidentReplica, unit: Unit, group: readonly PlacedShard[]) => {
    const runs = await Promise.all(group.map((placed) => runOf(unit, placed)));
    await resident.runGraph(graph, unit.replica, runs);
    for (const _ of runs) unit.batchDone();
  };
  /** All shards at once: the compute thread takes them one device's worth after the other, as their batches arrive. */
  const contribute = async (resident: ResidentReplica, unit: Unit): Promise<Contribution> => {
    const { devices, addsUp } = await resident.prepare(unit.replica);
    const apart = !addsUp || compression !== 'none';
    const { groups, nodes } = dealShards({ shards: unit.shards, devices, apart });
    const computed = Promise.all(groups.map((group) => computeGroup(resident, unit, group)));
    await Promise.race([computed, unit.failed]);
    return {
      vectors: new Map(nodes.map(({ first }) => [first, unit.exchange.vector(first)])),
      summed: nodes.filter(({ size }) => size > 1),
      waited: 0,
      images: perShard * unit.shards.length,
    };
  };
  const join = (place: GangPlace): Membership => {
    const resident = createResidentReplica(options, { classes });
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
