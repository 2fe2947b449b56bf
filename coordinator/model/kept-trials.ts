// Which trials of a sweep keep their checkpoint although their result is known: the best one, and with several
// objectives those that no other dominates.

import { FRONT_MAX } from '../../core/spec/retention.ts';
import { frontWith } from '../strategies/kept-front.ts';
import { aimsOf, scoresOf } from '../strategies/standing.ts';
import type { SweepState, TrialState } from './state.ts';

/** Whether a sweep looks for several things, and so has a front. */
export const hasFront = ({ spec }: Pick<SweepState, 'spec'>): boolean => aimsOf(spec).length > 1;

/**
 * Ids of the front of a sweep once this trial is done, in the order in which its trials came, FRONT_MAX at most; only
 * results of the full evaluation are on it.
 */
export function frontTrialsWith(
  { spec, frontTrialIds = [] }: Pick<SweepState, 'spec' | 'frontTrialIds'>,
  trial: TrialState,
  trialOf: (id: string) => TrialState,
): readonly string[] {
  const own = frontScores(spec, trial);
  if (own === undefined) return frontTrialIds;
  const front = frontTrialIds.map((id) => ({ id, scores: frontScores(spec, trialOf(id)) ?? [] }));
  return frontWith(front, { id: trial.id, scores: own }, FRONT_MAX).map(({ id }) => id);
}

function frontScores(
  spec: SweepState['spec'],
  { state, fidelity, objectives, costs }: TrialState,
): number[] | undefined {
  if (state !== 'done' || fidelity !== undefined || objectives === undefined) return undefined;
  return scoresOf(spec, { objectives, costs });
}

type Kept = Pick<SweepState, 'bestTrialId' | 'frontTrialIds'>;

/** Ids of the trials that keep a checkpoint. */
export function keptTrials({ bestTrialId, frontTrialIds = [] }: Kept): ReadonlySet<string> {
  return new Set(bestTrialId === undefined ? frontTrialIds : [bestTrialId, ...frontTrialIds]);
}

/** Whether a trial keeps its checkpoint. */
export const isKeptTrial = (sweep: Kept, trialId: string): boolean =>
  sweep.bestTrialId === trialId || sweep.frontTrialIds?.includes(trialId) === true;
