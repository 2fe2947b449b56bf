// The update of a replica by the mean gradient of one step, as every procedure does it that sums gradients.

import { adapterWidth } from '../../core/spec/distillation.ts';
import type { Membership, ProcedureOptions } from './procedure.ts';
import { sgdVectors } from './replica.ts';

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
