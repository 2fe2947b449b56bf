// The backbone's part of a step whose head is sharded by class, for the own shards: forward to the unit
// embeddings, and backward once the gradients of those are known. Decides which shard's numbers go where, and
// that the compute thread keeps nothing of a step that is given up.

import type { Batch } from '../../core/data/loading/loader-messages.ts';
import { FleetError } from '../../core/errors.ts';
import { adapterWidth } from '../../core/spec/distillation.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { TwoPartRun } from '../compute/client.ts';
import type { TwoPartSpec } from '../compute/messages.ts';
import type { Head } from './head.ts';
import type { Unit } from './procedure.ts';
import type { ResidentReplica } from './resident-replica.ts';

/** What the backbone needs of a step. */
export type BackboneUnit = Pick<Unit, 'first' | 'replica' | 'shards' | 'exchange' | 'teacher' | 'readBatch'>;

/** Begins computations whose first input is a replica's weights. */
export type BackboneStarter = Pick<ResidentReplica, 'startTwoPart'>;

/** The backbone in one step of a run with a sharded head. */
export interface BackboneStep {
  /**
   * Reads the batches and runs the backbone forward. The result writes this member's part of the gather:
   * embeddings and labels.
   */
  forward(): Promise<(gathered: Float32Array) => void>;
  /**
   * The vector of each own shard. `slopes`: gradients of all embeddings, [B, E]; `losses`: of all images,
   * [B].
   */
  backward(slopes: Float32Array, losses: Float32Array): Promise<Map<number, Float32Array>>;
  /** Frees what the compute thread keeps of the step, now or when it arrives. The step is over. */
  dispose(): void;
}

/** Nothing is begun before `forward`. */
export function createBackboneStep(
  { head, starter }: { readonly head: Head; readonly starter: BackboneStarter },
  { first: step, replica, shards, exchange, teacher, readBatch }: BackboneUnit,
): BackboneStep {
  const { batch, embedding } = head;
  const perShard = batch / head.shards;
  const graph = backboneGraph(head.spec);
  const batches = new Map<number, Batch>();
  const started = new Map<number, Promise<TwoPartRun>>();
  let disposed = false;

  const forwardOf = async (shard: number): Promise<void> => {
    const own = await readBatch(step, shard);
    // One of several batches may arrive after the step was given up because of another one.
    if (disposed) throw new FleetError('cancelled', 'the step was broken off');
    batches.set(shard, own);
    const computation = starter.startTwoPart(graph, replica, [own.images]);
    started.set(shard, computation);
    await computation;
  };
  const backwardOf = async (shard: number, slopes: Float32Array, losses: Float32Array) => {
    const first = shard * perShard;
    const end = first + perShard;
    const { images } = batches.get(shard)!;
    const taught = (await teacher?.inputsOf({ step, shard, images })) ?? [];
    const vector = exchange.vector(shard);
    const inputs = [
      slopes.slice(first * embedding, end * embedding),
      Float32Array.of(meanOf(losses.subarray(first, end))),
      ...taught,
    ];
    await (await started.get(shard)!).complete(inputs, vector);
    return [shard, vector] as const;
  };

  return {
    async forward() {
      await Promise.all(shards.map(forwardOf));
      const units = await Promise.all(
        shards.map(async (shard) => [shard, (await started.get(shard)!).outputs[0]!] as const),
      );
      return (gathered) => {
        for (const [shard, unit] of units) {
          gathered.set(unit, shard * perShard * embedding);
          gathered.set(batches.get(shard)!.labels, batch * embedding + shard * perShard);
        }
      };
    },
    backward: async (slopes, losses) =>
      new Map(await Promise.all(shards.map((shard) => backwardOf(shard, slopes, losses)))),
    dispose() {
      disposed = true;
      for (const computation of started.values())
        computation.then(
          (one) => one.discard(),
          () => undefined,
        );
    },
  };
}

export function backboneGraph({ training, network, distillation }: RunSpec): TwoPartSpec {
  const adapter = adapterWidth(distillation);
  return {
    kind: 'backbone',
    network,
    batch: training.batch / training.shards,
    distils: distillation !== undefined,
    ...(adapter === undefined ? {} : { adapter }),
    ...(training.recompute ? { recompute: true } : {}),
    ...(training.precision === undefined ? {} : { precision: training.precision }),
  };
}

/** In double precision and in order, so that all members get the same. */
function meanOf(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}
