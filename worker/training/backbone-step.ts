// The backbone's part of a step whose head is sharded by class, for the shards of this worker: forward to the unit embeddings, and
// backward once the gradients of those are there. Decides which shard's numbers go where, and that nothing stays in the compute
// thread of a step that is broken off; what lies between the two is head-step.ts'.

import type { Exchange } from '../../core/allreduce/exchange.ts';
import type { Batch } from '../../core/data/loading/loader-messages.ts';
import { FleetError } from '../../core/errors.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { Begun, Compute } from '../compute/client.ts';
import type { TwoPartSpec } from '../compute/messages.ts';
import type { Head } from './head.ts';

export interface BackboneContext {
  readonly spec: RunSpec;
  readonly head: Head;
  /** Backbone alone. */
  readonly weights: Float32Array;
  /** Own shards. */
  readonly shards: readonly number[];
  readonly compute: Compute;
  readonly exchange: Pick<Exchange, 'vector'>;
}

export interface ShardData {
  readonly batchOf: (shard: number) => Promise<Batch>;
  /** Teacher embeddings of a batch; undefined without a teacher. */
  readonly teacherOf: ((batch: Batch) => Promise<Float32Array>) | undefined;
}

export interface BackboneStep {
  /** Reads the batches and runs the backbone forward; the result fills this member's part of the gather. */
  forward(): Promise<(own: Float32Array) => void>;
  /** The vector of each own shard. `slopes`: of all embeddings [B, E]; `losses`: of all images [B]. */
  backward(slopes: Float32Array, losses: Float32Array): Promise<Map<number, Float32Array>>;
  /** Frees what the compute thread keeps of it, now or when it arrives; nothing can be done with it any more. */
  release(): void;
}

export function createBackboneStep(
  context: BackboneContext,
  { batchOf, teacherOf }: ShardData,
): BackboneStep {
  const { spec, head, weights, shards, compute, exchange } = context;
  const { batch, embedding } = head;
  const perShard = batch / head.shards;
  const graph = backboneGraph(spec);
  const batches = new Map<number, Batch>();
  const begun = new Map<number, Promise<Begun>>();
  let released = false;

  const forwardOf = async (shard: number): Promise<void> => {
    const own = await batchOf(shard);
    // Of several batches one may arrive after the step was given up for another's sake.
    if (released) throw new FleetError('cancelled', 'the step was broken off');
    batches.set(shard, own);
    const computation = compute.begin(graph, [weights, own.images]);
    begun.set(shard, computation);
    await computation;
  };
  const backwardOf = async (shard: number, slopes: Float32Array, losses: Float32Array) => {
    const first = shard * perShard;
    const end = first + perShard;
    const teacher = await teacherOf?.(batches.get(shard)!);
    const vector = exchange.vector(shard);
    const inputs = [
      slopes.slice(first * embedding, end * embedding),
      Float32Array.of(meanOf(losses.subarray(first, end))),
      ...(teacher ? [teacher] : []),
    ];
    await (await begun.get(shard)!).finish(inputs, vector);
    return [shard, vector] as const;
  };

  return {
    async forward() {
      await Promise.all(shards.map(forwardOf));
      const units = await Promise.all(
        shards.map(async (shard) => [shard, (await begun.get(shard)!).outputs[0]!] as const),
      );
      return (own) => {
        for (const [shard, unit] of units) {
          own.set(unit, shard * perShard * embedding);
          own.set(batches.get(shard)!.labels, batch * embedding + shard * perShard);
        }
      };
    },
    backward: async (slopes, losses) =>
      new Map(await Promise.all(shards.map((shard) => backwardOf(shard, slopes, losses)))),
    release() {
      released = true;
      for (const computation of begun.values())
        computation.then(
          (one) => one.release(),
          () => undefined,
        );
    },
  };
}

export const backboneGraph = ({ training, network, distillation }: RunSpec): TwoPartSpec => ({
  kind: 'backbone',
  network,
  batch: training.batch / training.shards,
  distillationWeight: distillation?.weight,
});

/** In double, in order: the same for everybody. */
function meanOf(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}
