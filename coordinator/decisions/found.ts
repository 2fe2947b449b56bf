// What the stages of a search have found, as they are journalled: how often the normal cell skips, and how much of
// both cells is other than a stage before. Decides from that whether a search ends early, and which genotype is meant
// by the name of a search.

import { genotypeOfText } from '../../core/nn/genotype-code.ts';
import { edgesChanged } from '../../core/search/drift.ts';
import { earlyEnd, skipConnections } from '../../core/search/policy.ts';
import type { SearchFound } from '../../core/spec/search.ts';
import { optional } from '../model/folding.ts';
import type { FoundState, RunState } from '../model/state.ts';

/** What a stage of a search has found, compared with the stage before it. */
export function foundAt({ checkpoints }: RunState, stage: number, found: SearchFound): FoundState {
  const genotype = genotypeOfText(found.genotype);
  const before = checkpoints.find((one) => one.stage === stage - 1)?.found;
  const changed = before && edgesChanged(genotypeOfText(before.genotype), genotype);
  return {
    genotype: found.genotype,
    skips: skipConnections(genotype),
    ...optional('changed', changed),
    trainingLoss: found.trainingLoss,
    ...optional('validationLoss', found.validationLoss),
    ...optional('evaluation', found.evaluation),
    ...optional('alphas', found.alphas),
  };
}

/** Why a search ends with its newest stage, which is not its last one; undefined where it goes on. */
export function collapseOf({ job, checkpoints }: RunState): string | undefined {
  // A report that was lost with its worker has left no genotype.
  const skipsOf = (stage: number) =>
    checkpoints.find((one) => one.stage === stage)?.found?.skips ?? Number.NaN;
  return earlyEnd(job, checkpoints.at(-1)?.stage ?? 0, skipsOf);
}

/** A stage of a search with what it has found. */
type StageFound = FoundState & { readonly stage: number };

/** What the stage that is meant has found, or why none is. Without an epoch: the last one of a search that is done. */
export function stageFound({ id, state, checkpoints, job }: RunState, epoch?: number): StageFound | string {
  const stages = checkpoints.flatMap(({ stage, found }) =>
    found === undefined ? [] : [{ stage, ...found }],
  );
  if (job.search?.strategy === 'uniform')
    return `search ${id} trains random paths (search.strategy: uniform) and decodes no genotype; a sweep of strategy one-shot ranks candidates with its weights`;
  const newest = stages.at(-1)?.stage;
  if (newest === undefined) return `search ${id} has no epoch behind it yet, and so no genotype`;
  if (epoch !== undefined)
    return (
      stages.find(({ stage }) => stage === epoch) ??
      `search ${id} has the epochs 1 to ${newest} of ${job.training.epochs} behind it, not ${epoch}`
    );
  if (state === 'done') return stages.at(-1)!;
  return state === 'failed' || state === 'cancelled'
    ? `search ${id} ${state === 'failed' ? 'has failed' : 'was cancelled'}; ${id}@${newest} takes what it had found by then`
    : `search ${id} goes on; ${id}@${newest} takes what it has found by now`;
}
