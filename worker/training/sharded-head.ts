// The procedure of a run with `training.head: sharded`: a step as in every-step.ts, but the classifier head
// is no part of the replica. Decides what of a whole state each member holds and how the members come to hold
// it: the backbone is replicated, the head's classes are cut into shards that the members divide among
// themselves.
//
// A class shard is held by two members (core/head/holders.ts), so one death loses nothing. When both holders
// die at once, their class shards of the open step exist nowhere. Then all members drop their replicas and go
// back to the newest checkpoint: the steps since are computed again, to the same bits.

import { FleetError } from '../../core/errors.ts';
import { planMoves } from '../../core/head/holders.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { sharedFloats } from '../../core/shared-memory.ts';
import { adapterWidth } from '../../core/spec/distillation.ts';
import { createHead, dropShards, type Head, holdFrom } from './head.ts';
import { type HeadGang, headExchangeNames, joinHeadGang } from './head-gang.ts';
import { computeWithHead, headGraphs } from './head-step.ts';
import type { GangPlace, Membership, Procedure, ProcedureOptions } from './procedure.ts';
import { replicaOf, sgdShape, sgdState, sgdVectors } from './replica.ts';
import { createResidentHead } from './resident-head.ts';
import { createResidentReplica, updateOf } from './resident-replica.ts';
import { sgdFirst } from './sgd-update.ts';

export function createShardedHead(options: ProcedureOptions): Procedure {
  const { runId, spec, network, classes, compute } = options;
  const head = createHead(spec, classes);
  const adapter = adapterWidth(spec.distillation);
  /** What every member holds: the backbone, and a student's adapter. */
  const replicated = layoutOf(network, { adapter });
  const whole = layoutOf(network, { classes, adapter });
  return {
    replicaShape: sgdShape(replicated),
    stateShape: sgdShape(whole),
    sumLength: replicated.vectorCount,
    graphs: [...headGraphs(head), updateOf(spec, 0)],
    backboneCount: whole.backboneCount,
    writeFirst: sgdFirst(options),
    exchangeNames: headExchangeNames(runId),
    adopt({ step, vectors }) {
      const { weights, momentum, running } = sgdVectors({ vectors });
      const { parameterCount: count } = replicated;
      holdFrom(head, { weights: weights.subarray(count), momentum: momentum.subarray(count) }, step);
      const withoutHead = {
        weights: weights.subarray(0, count),
        momentum: momentum.subarray(0, count),
        running,
      };
      return replicaOf({ step, vectors: sgdState(withoutHead) });
    },
    async join(place) {
      const headGang = await joinHeadGang({ head, compute, ...place });
      return memberOf(options, { head, headGang, place });
    },
    dispose: () => dropShards(head),
  };
}

function memberOf(
  options: ProcedureOptions,
  { head, headGang, place }: { readonly head: Head; readonly headGang: HeadGang; readonly place: GangPlace },
): Membership {
  const { schedule, compute, runId } = options;
  const { members, log } = place;
  // The backbone's two parts are on the first device.
  const resident = createResidentReplica(options, { classes: 0, device: 0 });
  const rows = createResidentHead(head, compute);
  /** Where the gang can go on, what has to move for it, and which class shards nobody has. */
  const survey = async (replicaStep: number) => {
    const standings = await headGang.standings(replicaStep);
    const step = Math.max(...standings.map(({ replica }) => replica));
    return { step, ...planMoves({ members, standings, shards: head.shards, step }) };
  };
  return {
    async compareHoldings(replicaStep) {
      const { step, lost } = await survey(replicaStep);
      if (step < 0 || lost.length === 0) return 'keep';
      log.warn(
        { run: runId, step, shards: lost },
        `class shards ${lost.join(', ')} of step ${step} are gone with the workers that held them; the run goes back to its newest checkpoint`,
      );
      dropShards(head);
      return 'drop';
    },
    async settleHoldings(replica) {
      const { step, moves, lost } = await survey(replica.step);
      if (lost.length > 0)
        throw new FleetError(
          'unavailable',
          `nobody has class shards ${lost.join(', ')} of step ${step}, at which ${runId} would go on`,
        );
      await headGang.moveShards(moves, step);
    },
    async contribute(unit) {
      await resident.prepare(unit.replica);
      await rows.prepare();
      const computed = computeWithHead({ head, headGang, replica: resident, rows }, unit);
      const { vectors, waited } = await Promise.race([computed, unit.failed]);
      return { vectors, waited, images: (schedule.batch / schedule.shards) * unit.shards.length };
    },
    async applyMean(unit, mean) {
      const applied = await resident.applyMean(unit, mean);
      // Together with the replica or not at all: nothing may stop the loop between the two.
      await rows.commit();
      return applied;
    },
    async gatherState(replica) {
      await rows.settle();
      const gathered = await headGang.gatherHead();
      if (gathered === undefined) return undefined;
      await resident.settle();
      const { weights, momentum, running } = sgdVectors(replica);
      return sgdState({
        weights: joined(weights, gathered.weights),
        momentum: joined(momentum, gathered.momentum),
        running,
      });
    },
    exchangeStats: () => headGang.stats(),
    async leave() {
      headGang.leave();
      try {
        await rows.leave();
      } finally {
        await resident.leave();
      }
    },
  };
}

function joined(backbone: Float32Array, head: Float32Array): Float32Array {
  const whole = sharedFloats(backbone.length + head.length);
  whole.set(backbone);
  whole.set(head, backbone.length);
  return whole;
}
