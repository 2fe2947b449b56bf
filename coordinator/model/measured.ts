// What was measured of a candidate: the objectives of its run, and on which device class its latency was measured.
// A latency is journalled with the result it came with and never measured again for it.

import {
  accuracyOf,
  type EndedRun,
  type Latency,
  type Objectives,
  type RunState,
  type SweepState,
  type TrialState,
} from './state.ts';

/** What a result of a candidate has. */
export interface Measured {
  readonly objectives: Objectives;
  /** The device class of its latency. */
  readonly measuredOn?: string;
}

/** The latency of a run: its own, or that of the run whose result it has taken. */
export const latencyOf = ({ evaluation, reused }: Pick<RunState, 'evaluation' | 'reused'>) =>
  evaluation?.latency ?? reused?.latency;

/** The objectives of a run that has ended; undefined without an accuracy. */
export function measuresOf(run: Pick<RunState, 'evaluation' | 'reused'>): Measured | undefined {
  const accuracy = accuracyOf(run);
  if (accuracy === undefined) return undefined;
  const latency = latencyOf(run);
  if (latency === undefined) return { objectives: { accuracy } };
  return { objectives: { accuracy, latency: latency.milliseconds }, measuredOn: latency.deviceClass };
}

/** The latency among the measures of a trial, or of a rung of it. */
export function latencyIn({ objectives, measuredOn }: Partial<Measured>): Latency | undefined {
  const milliseconds = objectives?.latency;
  return milliseconds === undefined || measuredOn === undefined
    ? undefined
    : { milliseconds, deviceClass: measuredOn };
}

/** The latency of a candidate's run of which its trial has the result. */
export function latencyOfEnded(
  trial: TrialState,
  run: Pick<EndedRun, 'id' | 'halted' | 'fidelity'>,
): Latency | undefined {
  if (run.halted === undefined && run.fidelity === undefined) return latencyIn(trial);
  return latencyIn(trial.rungs?.findLast(({ runId }) => runId === run.id) ?? {});
}

/** The counts of a sweep's latencies by device class, after another result. */
export function countedOn(
  { measuredOn: counts = {} }: Pick<SweepState, 'measuredOn'>,
  deviceClass: string,
): Readonly<Record<string, number>> {
  return { ...counts, [deviceClass]: (counts[deviceClass] ?? 0) + 1 };
}
