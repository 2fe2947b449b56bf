// The procedure of a run whose shards are summed after each step: each own shard's gradient is computed from
// the replica, and the optimiser applies the mean.

import { layoutOf } from '../../core/nn/layout.ts';
import { adapterWidth } from '../../core/spec/distillation.ts';
import type { KeptRun } from '../compute/messages.ts';
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

  const runOf = async (unit: Unit, shard: number): Promise<KeptRun> => {
    const { images, labels } = await unit.readBatch(unit.first, shard);
    const taught = (await unit.teacher?.inputsOf({ step: unit.first, shard, images })) ?? [];
    return { inputs: [images, labels, ...taught], into: unit.exchange.vector(shard) };
  };
  const contributeShards = async (resident: ResidentReplica, unit: Unit, shards: readonly number[]) => {
    const runs = await Promise.all(shards.map((shard) => runOf(unit, shard)));
    await resident.runGraph(graph, unit.replica, runs);
    for (const _ of runs) unit.batchDone();
    return runs.map(({ into }, i) => [shards[i]!, into] as const);
  };
  /** All shards at once: the compute thread takes them one device's worth after the other, as their batches arrive. */
  const contribute = async (resident: ResidentReplica, unit: Unit): Promise<Contribution> => {
    const together = await resident.prepare(unit.replica);
    const groups = inGroups(unit.shards, together);
    const vectors = Promise.all(groups.map((shards) => contributeShards(resident, unit, shards)));
    return {
      vectors: new Map((await Promise.race([vectors, unit.failed])).flat()),
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

/** As many shards in each as are computed at once. */
const inGroups = (shards: readonly number[], together: number): number[][] =>
  Array.from({ length: Math.ceil(shards.length / together) }, (_, group) =>
    shards.slice(group * together, (group + 1) * together),
  );
