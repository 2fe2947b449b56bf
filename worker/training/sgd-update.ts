// What procedures have in common whose optimiser is SGD: the state with which the seed begins a run, and the update
// of a replica by the mean gradient of one step.

import { initialRunning } from '../../core/nn/init.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { adapterWidth } from '../../core/spec/distillation.ts';
import type { Membership, Procedure, ProcedureOptions } from './procedure.ts';
import { sgdVectors } from './replica.ts';

/** The state with which the seed begins a run that SGD trains: weights and statistics, and no momentum. */
export const sgdFirst =
  ({ spec, compute, network, classes }: ProcedureOptions): Procedure['writeFirst'] =>
  async (vectors) => {
    const { weights, running } = sgdVectors({ vectors });
    // In the compute thread: many classes take seconds, in which the main thread has to go on sending
    // heartbeats.
    await compute.writeInitialWeights({
      network: spec.network,
      classes,
      adapter: adapterWidth(spec.distillation),
      seed: spec.training.seed,
      into: weights,
    });
    running.set(initialRunning(layoutOf(network)));
  };

/** `classes`: those whose gradient is in the sum; 0 when the head is sharded. */
export const sgdUpdate =
  ({ spec, compute }: ProcedureOptions, classes: number): Membership['applyMean'] =>
  (unit, mean) =>
    compute.applyStep({
      network: spec.network,
      classes,
      adapter: adapterWidth(spec.distillation),
      optimizer: spec.training.optimizer,
      learningRate: unit.learningRate,
      step: unit.first,
      ...sgdVectors(unit.replica),
      mean,
    });
