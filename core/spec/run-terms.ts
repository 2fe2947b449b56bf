// What every run that a user submits says beside what it computes: who may compute it, when, at what cost, and what of
// it stays stored.

import { runBudget } from './budget.ts';
import { priority, requirement, reuse, weight, workers } from './common.ts';
import { checkpoints } from './retention.ts';

/** Fields of a training and of a differentiable search. */
export const runTerms = {
  workers: workers.prefault({}),
  checkpoints,
  priority: priority.describe('higher runs first'),
  weight,
  reuse,
  require: requirement,
  budget: runBudget,
};
