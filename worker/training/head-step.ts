// One training step's shard vectors when the head is sharded by class: the backbone runs forward, the members put their embeddings
// together, every class shard computes its part, and the backbone runs backward from the summed gradient of its embeddings.
// Decides the order of these; the backbone's two halves are backbone-step.ts', the arithmetic core/head/step.ts', the wire
// head-gang.ts'. What follows (the sum of the vectors, the optimiser) is train.ts', as in any run.
//
// A class shard that this member only keeps (core/head/holders.ts) has its gradient computed while the others' are under way.

import type { Clock } from '../../core/clock.ts';
import { placesOf, STATISTICS, sampleClasses } from '../../core/head/classes.ts';
import { type GraphSpec, graphKey, type TwoPartSpec } from '../compute/messages.ts';
import { type BackboneContext, backboneGraph, createBackboneStep, type ShardData } from './backbone-step.ts';
import { type ClassShard, type Head, rangeOf, rowsInStep } from './head.ts';
import type { HeadGang } from './head-gang.ts';

export interface HeadStepContext extends BackboneContext {
  readonly headGang: HeadGang;
  readonly clock: Clock;
}

export interface HeadStep extends ShardData {
  readonly step: number;
  readonly learningRate: number;
  /** Under which all members contribute: weights and samples. */
  readonly digest: string;
}

/** The vector of each own shard; when it resolves, the head's update is ready to be committed with the step. */
export async function computeWithHead(context: HeadStepContext, at: HeadStep) {
  const { head, headGang, shards, clock } = context;
  let waited = 0;
  const forOthers = async <T>(round: Promise<T>): Promise<T> => {
    const from = clock.monotonic();
    const result = await round;
    waited += (clock.monotonic() - from) / 1000;
    return result;
  };
  head.pendingRate = undefined;
  const backbone = createBackboneStep(context, at);
  try {
    const own = await backbone.forward();
    const together = await forOthers(headGang.embeddings(own, at.digest));
    const inputs = partInputs(head, at.step, {
      unit: together.slice(0, head.batch * head.embedding),
      labels: Int32Array.from(together.subarray(head.batch * head.embedding)),
    });
    const parts = await runStatistics(context, inputs);
    const statistics = (await forOthers(headGang.statistics(parts, at.digest))).slice();
    const gradientsOf = (shard: number) => runGradients(context, shard, [...inputs.get(shard)!, statistics]);
    const found = await Promise.all(
      shards.map(async (shard) => {
        const { ofUnit, losses } = await gradientsOf(shard);
        headGang.slopesOf(shard).set(ofUnit);
        return losses;
      }),
    );
    const summed = headGang.slopes(at.digest);
    const kept = Promise.all(
      [...head.held.keys()].filter((shard) => !shards.includes(shard)).map(gradientsOf),
    );
    const [slopes] = await Promise.all([forOthers(summed), kept]);
    head.pendingRate = at.learningRate;
    // Every class shard finds the same losses.
    return { vectors: await backbone.backward(slopes, found[0]!), waited };
  } finally {
    backbone.release();
  }
}

type PartInputs = readonly [unit: Float32Array, rows: Float32Array, places: Int32Array];

/** What each class shard held here computes with. */
function partInputs(
  head: Head,
  step: number,
  { unit, labels }: { readonly unit: Float32Array; readonly labels: Int32Array },
): Map<number, PartInputs> {
  const inputs = new Map<number, PartInputs>();
  for (const [shard, own] of head.held) {
    choose(head, { shard, own, labels, step });
    inputs.set(shard, [unit, own.rows, placesOf(labels, own.range, own.chosen)]);
  }
  return inputs;
}

/** Own class shards' parts of the softmax; the result fills this member's part of the gather. */
async function runStatistics(
  { head, shards, compute }: HeadStepContext,
  inputs: ReadonlyMap<number, PartInputs>,
): Promise<(own: Float32Array) => void> {
  const parts = await Promise.all(
    shards.map(
      async (shard) => (await compute.run(partGraph(head, 'head-statistics', shard), inputs.get(shard)!))[0]!,
    ),
  );
  return (own) =>
    shards.forEach((shard, i) => {
      own.set(parts[i]!, shard * STATISTICS * head.batch);
    });
}

/** Gradients of a class shard: of its classes, which stay here, and of the embeddings. */
async function runGradients(
  { head, compute }: HeadStepContext,
  shard: number,
  inputs: readonly [...PartInputs, statistics: Float32Array],
) {
  const graph = partGraph(head, 'head-gradients', shard);
  const [ofUnit, losses] = await compute.run(graph, inputs, head.held.get(shard)!.gradient);
  return { ofUnit: ofUnit!, losses: losses! };
}

/** All graphs that a run with a sharded head needs, whichever shards this worker will have; class shards have two sizes at most. */
export function headGraphs(head: Head): (GraphSpec | TwoPartSpec)[] {
  const parts = Array.from({ length: head.shards }, (_, shard) =>
    (['head-statistics', 'head-gradients'] as const).map((kind) => partGraph(head, kind, shard)),
  ).flat();
  const distinct = new Map(parts.map((graph) => [graphKey(graph), graph]));
  return [backboneGraph(head.spec), ...distinct.values()];
}

function partGraph(head: Head, kind: 'head-statistics' | 'head-gradients', shard: number): GraphSpec {
  const { batch, shards, embedding, spec } = head;
  const classes = rowsInStep(head, rangeOf(head, shard));
  return { kind, batch, shards, embedding, classes, loss: spec.training.loss };
}

/** Which classes of a shard take part; puts their rows together. */
function choose(
  head: Head,
  at: {
    readonly shard: number;
    readonly own: ClassShard;
    readonly labels: Int32Array;
    readonly step: number;
  },
): void {
  const { shard, own, labels, step } = at;
  const { embedding } = head;
  own.chosen = sampleClasses({
    range: own.range,
    size: rowsInStep(head, own.range),
    labels,
    seed: head.spec.training.seed,
    step,
    shard,
  });
  if (own.rows === own.weights) return;
  own.chosen.forEach((place, i) => {
    own.rows.set(own.weights.subarray(place * embedding, (place + 1) * embedding), i * embedding);
  });
}
