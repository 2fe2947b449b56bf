// The replica of a run on the device of the compute thread, for one generation: where the engine keeps vectors on its
// device, steps take the weights from there and the optimiser changes all three vectors there. Decides when they go
// to the device and come back: they go before the first unit, and come back for a checkpoint and at the end of the
// generation, because members that are behind and the next generation take them from memory. Where the engine keeps
// vectors on the host, memory is where they are.

import { adapterWidth } from '../../core/spec/distillation.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { Compute, KeptState, TwoPartRun } from '../compute/client.ts';
import type { Arrays, GraphSpec, KeptRun, TwoPartSpec, UpdateSpec } from '../compute/messages.ts';
import type { Membership, ProcedureOptions } from './procedure.ts';
import { type Replica, sgdVectors } from './replica.ts';
import { sgdUpdate } from './sgd-update.ts';

/** The replica of a member, on the devices while its generation lasts where the engine keeps vectors there. */
export interface ResidentReplica {
  /**
   * Makes the replica ready for runGraph; once a unit. Resolves with how many devices compute, and whether they add up
   * nodes of several shards.
   */
  prepare(replica: Replica): Promise<{ readonly devices: number; readonly addsUp: boolean }>;
  /** Runs a graph whose first input is the replica's weights; on one device or several, as KeptState has it. */
  runGraph(graph: GraphSpec, replica: Replica, runs: readonly KeptRun[]): Promise<void>;
  /** Begins a computation whose first input is the replica's weights, on the first device. */
  startTwoPart(graph: TwoPartSpec, replica: Replica, inputs: Arrays): Promise<TwoPartRun>;
  readonly applyMean: Membership['applyMean'];
  /** Copies into memory what steps have changed on the device since the last time. */
  settle(): Promise<void>;
  /** As Membership has it. */
  leave(): Promise<void>;
}

/** The optimiser's step of a run with so many classes in its replica. */
export function updateOf({ network, training, distillation }: RunSpec, classes: number): UpdateSpec {
  const adapter = adapterWidth(distillation);
  return {
    ...{ kind: 'update', network, classes, optimizer: training.optimizer },
    ...(adapter === undefined ? {} : { adapter }),
  };
}

/** `device`: the one that has the replica; without it each has one. */
export function createResidentReplica(
  options: ProcedureOptions,
  { classes, device }: { readonly classes: number; readonly device?: number },
): ResidentReplica {
  const { spec } = options;
  const compute: Compute = options.compute;
  const onHost = sgdUpdate(options, classes);
  let kept: KeptState | undefined;
  let isPrepared = false;
  let isStale = false;
  const settle = async (): Promise<void> => {
    if (!isStale) return;
    await kept!.read();
    isStale = false;
  };
  return {
    async prepare(replica) {
      if (!isPrepared)
        kept = await compute.keepState({
          ...{ update: updateOf(spec, classes), state: sgdVectors(replica) },
          ...(device === undefined ? {} : { device }),
        });
      isPrepared = true;
      return { devices: kept?.devices ?? 1, addsUp: kept !== undefined };
    },
    async runGraph(graph, replica, runs) {
      if (kept !== undefined) return kept.runGraph(graph, runs);
      const { weights } = sgdVectors(replica);
      for (const { inputs, into } of runs) await compute.runGraph(graph, [weights, ...inputs], into);
    },
    startTwoPart(graph, replica, inputs) {
      if (kept !== undefined) return kept.startTwoPart(graph, inputs);
      return compute.startTwoPart(graph, [sgdVectors(replica).weights, ...inputs]);
    },
    async applyMean(unit, mean) {
      if (kept === undefined) return onHost(unit, mean);
      isStale = true;
      return kept.apply({ learningRate: unit.learningRate, step: unit.first, mean });
    },
    settle,
    async leave() {
      try {
        await settle();
      } finally {
        kept?.free();
      }
    },
  };
}
