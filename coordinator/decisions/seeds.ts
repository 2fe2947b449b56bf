// The searches of a sweep over seeds: each trial has one, and when that has ended its cells are the trial's candidate,
// which is evaluated as in any sweep. A trial does not wait for the searches of others, so seeds are found and trained
// side by side, and what is found depends on the seed alone.

import { cellCosts } from '../../core/nn/cell-costs.ts';
import { codeOfKey, genotypeKey, genotypeOfText } from '../../core/nn/genotype-code.ts';
import { costsOfRun } from '../../core/nn/space.ts';
import { searchOfSeed, withSeeds } from '../../core/spec/seed-searches.ts';
import {
  endingOf,
  hasEnded,
  type RunState,
  runOf,
  storedStep,
  sweepOf,
  type TrialState,
  trialOf,
} from '../model/state.ts';
import { attemptsSpent } from './budgets.ts';
import { type Draft, emit, nextId } from './draft.ts';
import { stageFound } from './found.ts';
import { recordSpec } from './specs.ts';
import { lossInTheWay } from './stages.ts';

/** Settles a trial whose cells are not found yet. Returns whether it has them now, and its evaluation may begin. */
export function settleSearch(draft: Draft, trial: TrialState): boolean {
  const runId = trial.searchRunIds?.at(-1);
  if (runId === undefined) {
    beginSearch(draft, trial, `search from seed ${trial.seed} for ${trial.id}`);
    return false;
  }
  const run = runOf(draft.state, runId);
  if (!hasEnded(run)) return false;
  const { spec } = sweepOf(draft.state, trial.sweepId);
  const end = (state: 'failed' | 'cancelled', reason: string) => {
    emit(draft, { kind: 'trial.ended', trialId: trial.id, state, reason });
    return false;
  };
  const spent = attemptsSpent(draft.state, trial.sweepId);
  if (run.state === 'cancelled') return end('cancelled', `its search ${endingOf(run)}`);
  if (run.state === 'failed') {
    if (run.failureCause !== 'infrastructure') return end('failed', `its search ${endingOf(run)}`);
    const attempt = `attempt ${run.attempt} of ${spec.attemptsMax}`;
    if (run.attempt >= spec.attemptsMax) return end('failed', `its search ${endingOf(run)} (${attempt})`);
    if (spent !== undefined) return end('failed', `its search ${endingOf(run)}; ${spent}`);
    searchAgain(draft, trial, run, `attempt ${run.attempt + 1} of ${spec.attemptsMax}`);
    return false;
  }
  const found = stageFound(run);
  if (typeof found === 'string') return end('failed', found);
  const genotype = genotypeKey(genotypeOfText(found.genotype));
  emit(draft, {
    kind: 'trial.found',
    ...{ trialId: trial.id, runId, genotype, costs: cellCosts(spec.space).of(codeOfKey(genotype)) },
    reason: `cells of ${runId}@${found.stage}, from seed ${trial.seed}`,
  });
  return spent === undefined || end('failed', `${runId} has found its cells; ${spent}`);
}

/**
 * The next attempt at a search that infrastructure has failed: the same run goes on from what it has stored. Another
 * one begins where nothing is stored, or where what is stored cannot be read any more.
 */
function searchAgain(draft: Draft, trial: TrialState, run: RunState, attempt: string): void {
  const step = storedStep(run);
  if (step === 0 || lossInTheWay(draft.state, run) !== undefined) {
    beginSearch(draft, trial, `search from seed ${trial.seed}, ${attempt}, after: ${run.reason}`);
    return;
  }
  emit(draft, {
    kind: 'run.continued',
    ...{ runId: run.id, attempt: run.attempt + 1 },
    reason: `from step ${step}, ${attempt}, after: ${run.reason}`,
  });
}

function beginSearch(draft: Draft, { id: trialId, sweepId, seed }: TrialState, reason: string): void {
  const { spec, facts } = sweepOf(draft.state, sweepId);
  const sweep = withSeeds(spec);
  if (sweep === undefined || seed === undefined)
    throw new Error(`assertion: ${trialId} has a seed and ${sweepId} no searches`);
  const run = searchOfSeed(sweep, seed);
  emit(draft, {
    kind: 'run.created',
    ...{ runId: nextId(draft.state, 'run'), spec: recordSpec(draft, run), facts },
    ...{ costs: costsOfRun(run, facts), reason, trialId },
  });
}

/** Begins the trial of a seed. */
export function beginSeed(
  draft: Draft,
  sweepId: string,
  {
    seed,
    reason,
    cursor,
  }: { readonly seed: number; readonly reason: string; readonly cursor: { readonly draws: number } },
): void {
  const trialId = nextId(draft.state, 'trial');
  emit(draft, {
    kind: 'trial.proposed',
    ...{ trialId, sweepId, number: sweepOf(draft.state, sweepId).trialsProposed + 1, genotype: '' },
    ...{ costs: { parameters: 0, mflops: 0, multiplyAdds: 0 }, cursor, why: reason, seed },
  });
  settleSearch(draft, trialOf(draft.state, trialId));
}
