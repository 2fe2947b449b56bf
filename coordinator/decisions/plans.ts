// Performing what a plan does next, until it has to wait or has ended. Each step becomes one event, and the
// next step is derived from the state with that event: several steps may follow within one decision, and none
// is skipped.

import { costsOf } from '../../core/nn/space.ts';
import { planOf } from '../model/state.ts';
import { type Draft, emit, nextId } from './draft.ts';
import { nextOfPlan } from './plan.ts';
import { recordSpec } from './specs.ts';
import { lagAtSubmit } from './sweeps.ts';
import { startAtSubmit } from './warm-start.ts';

/** Performs the steps of an open plan that are possible now. */
export function settlePlan(draft: Draft, planId: string): void {
  for (;;) {
    const plan = planOf(draft.state, planId);
    const next = nextOfPlan(draft.state, plan);
    switch (next.kind) {
      case 'wait':
        return;
      case 'search':
        emit(draft, {
          kind: 'sweep.submitted',
          sweepId: nextId(draft.state, 'sweep'),
          spec: recordSpec(draft, next.spec),
          facts: plan.facts,
          planId,
          ...lagAtSubmit(draft, next.spec),
          ...startAtSubmit(draft.state, next.spec),
        });
        break;
      case 'train': {
        const teacherRunId = next.spec.distillation?.teacher;
        emit(draft, {
          kind: 'run.created',
          runId: nextId(draft.state, 'run'),
          spec: recordSpec(draft, next.spec),
          facts: plan.facts,
          costs: costsOf(next.spec.network),
          reason: next.reason,
          planId,
          role: next.role,
          ...(teacherRunId === undefined ? {} : { teacherRunId }),
        });
        break;
      }
      case 'fail':
        emit(draft, { kind: 'plan.ended', planId, state: 'failed', reason: next.reason });
        return;
      case 'done': {
        const { reason, winnerRunId } = next;
        emit(draft, {
          kind: 'plan.ended',
          planId,
          state: 'done',
          reason,
          ...(winnerRunId === undefined ? {} : { winnerRunId }),
        });
        return;
      }
    }
  }
}
