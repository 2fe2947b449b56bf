// Trials and ended runs as rows without names: what a snapshot has a hundred thousand of. Field by field,
// because a start makes all of them again, and a loop over the names of fields takes four times as long.

import type { Costs } from '../../core/nn/space.ts';
import type { Fidelity } from '../strategies/fidelity.ts';
import type { Screened } from '../strategies/screening.ts';
import type { CheckpointState, EndedRun, KeptStage, Objectives, Rung, TrialState } from './state.ts';

/** A trial; `null` stands for what is absent. Its id follows from the number of its row. */
export type TrialRow = readonly [
  number: number,
  sweepId: string,
  place: number,
  state: TrialState['state'],
  reason: string,
  createdAtMs: number,
  endedAtMs: number | null,
  genotypeKey: string,
  parameters: number,
  mflops: number,
  multiplyAdds: number,
  runIds: readonly string[],
  objectives: Objectives | null,
  rungs: readonly Rung[] | null,
  move: number | null,
  priority: number | null,
  /** Epochs alone, or another fidelity. */
  fidelity: number | Fidelity | null,
  isStopped: true | null,
  screened: Screened | null,
  measuredOn: string | null,
  seed: number | null,
  searchRunIds: readonly string[] | null,
];

/** The row of a trial. */
export function trialRow(number: number, trial: TrialState): TrialRow {
  const { sweepId, number: place, state, reason, createdAtMs, genotypeKey, costs, runIds } = trial;
  const { parameters, mflops, multiplyAdds } = costs;
  const { endedAtMs = null, objectives = null, rungs = null, move = null, priority = null } = trial;
  const fidelity = trial.fidelity?.epochs ?? trial.fidelity ?? null;
  const { isStopped = null } = trial;
  return [
    ...([number, sweepId, place, state, reason, createdAtMs, endedAtMs, genotypeKey] as const),
    ...([parameters, mflops, multiplyAdds, runIds, objectives, rungs, move, priority, fidelity] as const),
    isStopped,
    trial.screened ?? null,
    trial.measuredOn ?? null,
    trial.seed ?? null,
    trial.searchRunIds ?? null,
  ];
}

/** The trial of a row. */
export function trialFromRow(row: TrialRow): TrialState {
  const endedAtMs = row[6];
  const objectives = row[12];
  const rungs = row[13];
  const move = row[14];
  const priority = row[15];
  const fidelity = row[16];
  const costs: Costs = { parameters: row[8], mflops: row[9], multiplyAdds: row[10] };
  const trial: { -readonly [K in keyof TrialState]: TrialState[K] } = {
    id: `trial-${row[0]}`,
    sweepId: row[1],
    number: row[2],
    state: row[3],
    reason: row[4],
    createdAtMs: row[5],
    genotypeKey: row[7],
    costs,
    runIds: row[11],
  };
  if (endedAtMs !== null) trial.endedAtMs = endedAtMs;
  if (objectives !== null) trial.objectives = objectives;
  if (rungs !== null) trial.rungs = rungs;
  if (move !== null) trial.move = move;
  if (priority !== null) trial.priority = priority;
  if (fidelity !== null) trial.fidelity = typeof fidelity === 'number' ? { epochs: fidelity } : fidelity;
  if (row[17] !== null) trial.isStopped = row[17];
  const screened = row[18];
  if (screened !== null) trial.screened = screened;
  if (row[19] !== null) trial.measuredOn = row[19];
  if (row[20] !== null) trial.seed = row[20];
  if (row[21] !== null) trial.searchRunIds = row[21];
  return trial;
}

/** An ended run, as a trial. */
export type EndedRunRow = readonly [
  number: number,
  state: EndedRun['state'],
  reason: string,
  trialId: string,
  sweepId: string,
  attempt: number,
  generation: number,
  deviceClass: string | null,
  createdAtMs: number,
  startedAtMs: number | null,
  endedAtMs: number | null,
  finalStep: number | null,
  weightsDigest: string | null,
  accuracy: number | null,
  failureCause: string | null,
  stages: number,
  halted: CheckpointState | null,
  code: string | null,
  reusedFrom: string | null,
  fidelity: Fidelity | null,
  kept: readonly KeptStage[] | null,
  isLetGo: true | null,
];

/** The row of an ended run. */
export function endedRunRow(number: number, run: EndedRun): EndedRunRow {
  const { state, reason, trialId, sweepId, attempt, generation, createdAtMs, stages } = run;
  const { deviceClass = null, startedAtMs = null, endedAtMs = null, finalStep = null } = run;
  const { weightsDigest = null, accuracy = null, failureCause = null, halted = null } = run;
  const { code = null, reusedFrom = null, fidelity = null, kept = null, isLetGo = null } = run;
  return [
    ...([number, state, reason, trialId, sweepId, attempt, generation, deviceClass] as const),
    ...([createdAtMs, startedAtMs, endedAtMs, finalStep, weightsDigest, accuracy] as const),
    ...([failureCause, stages, halted, code, reusedFrom, fidelity, kept, isLetGo] as const),
  ];
}

/** The ended run of a row. `same`: one string for all that are equal to it. */
export function endedRunFromRow(row: EndedRunRow, same: (text: string) => string): EndedRun {
  const run: { -readonly [K in keyof EndedRun]: EndedRun[K] } = {
    id: `run-${row[0]}`,
    state: row[1],
    reason: row[2],
    trialId: row[3],
    sweepId: row[4],
    attempt: row[5],
    generation: row[6],
    createdAtMs: row[8],
    stages: row[15],
  };
  if (row[7] !== null) run.deviceClass = same(row[7]);
  if (row[9] !== null) run.startedAtMs = row[9];
  if (row[10] !== null) run.endedAtMs = row[10];
  if (row[11] !== null) run.finalStep = row[11];
  if (row[12] !== null) run.weightsDigest = row[12];
  if (row[13] !== null) run.accuracy = row[13];
  if (row[14] !== null) run.failureCause = row[14];
  if (row[16] !== null) run.halted = row[16];
  if (row[17] !== null) run.code = same(row[17]);
  if (row[18] !== null) run.reusedFrom = row[18];
  if (row[19] !== null) run.fidelity = row[19];
  if (row[20] !== null) run.kept = row[20];
  if (row[21] !== null) run.isLetGo = row[21];
  return run;
}
