// The shard vectors of one training step when the head is sharded by class. Decides the order of the parts:
//
// 1. The backbone runs forward for the own shards, and the members gather all unit embeddings and labels.
// 2. Every class shard computes maximum and sum of the exponents of its logits for each image, and the members
//    gather these statistics. From all of them follows the softmax over all classes (core/head/step.ts).
// 3. Every class shard computes the gradients of its classes, which stay where they are, and of the
//    embeddings, which are summed over all class shards in the canonical tree.
// 4. The backbone runs backward from that sum. What follows is the same as in any run: the sum of the shard
//    vectors, the optimiser.
//
// A class shard that this member only keeps in reserve (core/head/holders.ts) is computed too, in the time in
// which the sum of step 3 is under way: its update has to be known here in case the member that owns it dies.

import { placesOf, STATISTICS, sampleClasses } from '../../core/head/classes.ts';
import { during } from '../../core/worker-time.ts';
import { type Compilable, type GraphSpec, graphKey } from '../compute/messages.ts';
import {
  type BackboneStarter,
  type BackboneUnit,
  backboneGraph,
  createBackboneStep,
} from './backbone-step.ts';
import { type Head, rangeOf, rowsInStep, rowsSpecOf } from './head.ts';
import type { HeadGang } from './head-gang.ts';
import type { Unit } from './procedure.ts';
import type { HeadInputs, ResidentHead } from './resident-head.ts';

/** What a member has for all steps of its generation. */
export interface HeadStepContext {
  readonly head: Head;
  readonly headGang: Pick<HeadGang, 'gatherEmbeddings' | 'gatherStatistics' | 'slopesVector' | 'sumSlopes'>;
  /** Begins the backbone's part of a shard. */
  readonly replica: BackboneStarter;
  readonly rows: Pick<ResidentHead, 'choose' | 'statistics' | 'gradients'>;
}

export type HeadUnit = BackboneUnit & Pick<Unit, 'learningRate' | 'clock' | 'begin' | 'contributionDigest'>;

/**
 * The vector of each own shard, and the seconds spent waiting for other members. When it resolves, the update
 * of the class shards is ready to be committed with the step.
 */
export async function computeWithHead(context: HeadStepContext, unit: HeadUnit) {
  const { head, headGang } = context;
  const { shards, clock, begin } = unit;
  const digest = unit.contributionDigest();
  let waited = 0;
  const waitFor = async <T>(gathered: Promise<T>): Promise<T> => {
    const from = clock.monotonic();
    const result = await during(begin, 'reduce_wait', gathered);
    waited += (clock.monotonic() - from) / 1000;
    return result;
  };
  head.pendingRate = undefined;
  const backbone = createBackboneStep({ head, starter: context.replica }, unit);
  try {
    const writeOwn = await backbone.forward();
    const gathered = await waitFor(headGang.gatherEmbeddings(writeOwn, digest));
    const inputs = await shardInputs(context, unit.first, {
      unit: gathered.slice(0, head.batch * head.embedding),
      labels: Int32Array.from(gathered.subarray(head.batch * head.embedding)),
    });
    const writeStatistics = await runStatistics(context, shards, inputs);
    const statistics = (await waitFor(headGang.gatherStatistics(writeStatistics, digest))).slice();
    const gradientsOf = (shard: number) =>
      context.rows.gradients(
        shardGraph(head, 'head-gradients', shard),
        shard,
        inputs.get(shard)!,
        statistics,
      );
    const losses = await Promise.all(
      shards.map(async (shard) => {
        const { ofUnit, losses: own } = await gradientsOf(shard);
        headGang.slopesVector(shard).set(ofUnit);
        return own;
      }),
    );
    const summed = headGang.sumSlopes(digest);
    const inReserve = Promise.all(
      [...head.held.keys()].filter((shard) => !shards.includes(shard)).map(gradientsOf),
    );
    const [slopes] = await Promise.all([waitFor(summed), inReserve]);
    head.pendingRate = unit.learningRate;
    // Every class shard computes the same losses, because all start from the same statistics.
    return { vectors: await backbone.backward(slopes, losses[0]!), waited };
  } finally {
    backbone.dispose();
  }
}

/** What each class shard held here computes with. */
async function shardInputs(
  { head, rows }: HeadStepContext,
  step: number,
  { unit, labels }: { readonly unit: Float32Array; readonly labels: Int32Array },
): Promise<Map<number, HeadInputs>> {
  const inputs = new Map<number, HeadInputs>();
  for (const [shard, own] of head.held) {
    own.chosen = sampleClasses({
      ...{ range: own.range, size: rowsInStep(head, own.range), labels },
      ...{ seed: head.spec.training.seed, step, shard },
    });
    inputs.set(shard, { unit, places: placesOf(labels, own.range, own.chosen) });
  }
  await Promise.all([...head.held.keys()].map(rows.choose));
  return inputs;
}

/** The own class shards' statistics. The result writes this member's part of the gather. */
async function runStatistics(
  { head, rows }: HeadStepContext,
  shards: readonly number[],
  inputs: ReadonlyMap<number, HeadInputs>,
): Promise<(gathered: Float32Array) => void> {
  const found = await Promise.all(
    shards.map((shard) =>
      rows.statistics(shardGraph(head, 'head-statistics', shard), shard, inputs.get(shard)!),
    ),
  );
  return (gathered) =>
    shards.forEach((shard, place) => {
      gathered.set(found[place]!, shard * STATISTICS * head.batch);
    });
}

/**
 * All graphs of a run with a sharded head, for whichever shards this worker may get; class shards have two
 * sizes at most.
 */
export function headGraphs(head: Head): Compilable[] {
  const all = Array.from({ length: head.shards }, (_, shard): Compilable[] => [
    shardGraph(head, 'head-statistics', shard),
    shardGraph(head, 'head-gradients', shard),
    rowsSpecOf(head, shard),
  ]).flat();
  const distinct = new Map(all.map((graph) => [graphKey(graph), graph]));
  return [backboneGraph(head.spec), ...distinct.values()];
}

function shardGraph(head: Head, kind: 'head-statistics' | 'head-gradients', shard: number): GraphSpec {
  const { batch, shards, embedding, spec } = head;
  const classes = rowsInStep(head, rangeOf(head, shard));
  return { kind, batch, shards, embedding, classes, loss: spec.training.loss };
}
