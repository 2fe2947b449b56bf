// The coordinator's registry as its parts share it.

import {
  type COORDINATOR_METRICS,
  type FAILURE_REASONS,
  LOSS_REASONS,
} from '../../core/metrics/coordinator-catalogue.ts';
import type { ProgramMetrics } from '../../core/metrics/families.ts';
import type { LossCause } from '../model/state.ts';

/** The registry and the families of a coordinator. */
export type Registered = ProgramMetrics<typeof COORDINATOR_METRICS>;
/** Its families by their names in the catalogue. */
export type CoordinatorFamilies = Registered['families'];
/** Why something failed, as a label. */
export type FailureReason = (typeof FAILURE_REASONS)[number];

/** Why a worker was lost, as a label. */
export function lossReasonOf(cause: LossCause | undefined): (typeof LOSS_REASONS)[number] {
  return LOSS_REASONS.find((reason) => reason === cause) ?? 'unknown';
}
