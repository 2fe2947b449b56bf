// The whole spec of a run. A run by itself or of a plan has it in the state; that of a candidate is made from
// its sweep, its trial's genotype and the number of the attempt, so that it need not be stored for each.

import { cellCosts } from '../../core/nn/cell-costs.ts';
import { codeOfKey, genotypeOfKey } from '../../core/nn/genotype-code.ts';
import { type Costs, candidateNetwork } from '../../core/nn/space.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { orderOf } from '../../core/spec/training.ts';
import { type Fidelity, spaceAt } from '../strategies/fidelity.ts';
import { aimsOf } from '../strategies/standing.ts';

import { optional } from './folding.ts';
import {
  type Job,
  type RunState,
  type State,
  type SweepState,
  sweepOf,
  type TrialState,
  trialOf,
} from './state.ts';

/** The spec that determines every bit of a run. */
export function specOf(
  state: State,
  run: Pick<RunState, 'name' | 'job' | 'trialId' | 'attempt' | 'fidelity'>,
): RunSpec {
  const { job } = run;
  if (run.trialId === undefined) return job as RunSpec;
  const trial = trialOf(state, run.trialId);
  const { training } = job;
  const { spec: sweep } = sweepOf(state, trial.sweepId);
  // A run is determined by its spec and seed: another attempt with the same seed would fail in the same step.
  const seed = (training.seed + run.attempt - 1) >>> 0;
  return {
    kind: 'candidate',
    name: run.name,
    network: networkOf(sweepOf(state, trial.sweepId), trial, run.fidelity),
    data: job.data,
    training: {
      ...{ ...training, seed },
      // All candidates of a teacher see the same images in the same order, so that they share its passes.
      ...(job.distillation === undefined ? {} : { order: orderOf(training) }),
    },
    verification: job.verification,
    ...(job.distillation === undefined ? {} : { distillation: job.distillation }),
    workers: job.workers,
    priority: job.priority,
    ...(job.require === undefined ? {} : { require: job.require }),
    ...(job.reuse === undefined ? {} : { reuse: job.reuse }),
    ...inheritsAt(sweep, run.fidelity),
  };
}

/** Whose weights a candidate has at this fidelity, as a field of its spec. */
export function inheritsAt(
  { strategy }: Pick<SweepSpec, 'strategy'>,
  fidelity: Fidelity | undefined,
): Pick<RunSpec, 'inherits'> {
  if (fidelity?.inherited === undefined || strategy.kind !== 'one-shot') return {};
  return optional('inherits', strategy.inherits);
}

/** A run with its whole spec, as whoever computes or proves something with it gets it. */
export type SpecifiedRun = RunState & { readonly spec: RunSpec };

/** The run with its whole spec. */
export function withSpec(state: State, run: RunState): SpecifiedRun {
  return { ...run, spec: specOf(state, run) };
}

/** The network of a candidate, with some of its channels where it is evaluated so. */
export function networkOf(
  { spec }: SweepState,
  { genotypeKey: key }: Pick<TrialState, 'genotypeKey'>,
  fidelity?: Fidelity,
): NetworkSpec {
  return candidateNetwork({ space: spaceAt(spec, fidelity) }, genotypeOfKey(key));
}

/** What a candidate costs with the channels that it is evaluated with. */
export function costsAt({ spec }: SweepState, trial: TrialState, fidelity?: Fidelity): Costs {
  if (fidelity?.width === undefined) return trial.costs;
  return cellCosts(spaceAt(spec, fidelity)).of(codeOfKey(trial.genotypeKey));
}

/** What all candidates of a sweep have in common. */
export function candidateJob(spec: SweepSpec): Job {
  const { evaluation, data, priority, require, reuse, budget } = spec;
  const { training, distillation } = evaluation;
  const isTimed = aimsOf(spec).some((aim) => aim.name === 'latency');
  const verification = isTimed ? { ...evaluation.verification, latency: true } : evaluation.verification;
  const job: Job = {
    ...{ kind: 'candidate', data, training, verification, workers: { min: 1, max: 1 }, priority },
  };
  return {
    ...job,
    ...(distillation === undefined ? {} : { distillation }),
    ...(require === undefined ? {} : { require }),
    ...(reuse === undefined ? {} : { reuse }),
    // Also without one of each trial: what they use is counted for the sweep.
    ...(budget === undefined ? {} : { budget: budget.trial ?? {} }),
  };
}

/** The job of a sweep's candidates where they are evaluated at this fidelity; their networks are `networkOf`. */
export function jobAt(job: Job, { epochs, images, inherited }: Fidelity = {}): Job {
  if (inherited !== undefined) {
    // The search network runs here, whose time says nothing about the candidate.
    const { latency: _measured, ...verification } = job.verification;
    return { ...job, verification };
  }
  if (epochs === undefined && images === undefined) return job;
  const { training } = job;
  return {
    ...job,
    training: {
      ...training,
      ...(epochs === undefined ? {} : { epochs }),
      ...(images === undefined ? {} : { fraction: images * (training.fraction ?? 1) }),
    },
  };
}
