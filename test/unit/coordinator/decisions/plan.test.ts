// Which student a plan exports.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextOfPlan } from '../../../../coordinator/decisions/plan.ts';
import type { Decided, Event } from '../../../../coordinator/model/events.ts';
import { planOf } from '../../../../coordinator/model/state.ts';
import { plan, student, teacher } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, recorded } from '../../../support/state.ts';

/** A plan whose students ended with these accuracies and parameters. */
function ended(...students: readonly { readonly accuracy: number; readonly parameters: number }[]) {
  const { network } = teacher();
  const [first] = plan().students;
  const spec = plan({
    search: undefined,
    students: students.map((_, i) => ({ ...first, network, name: `s${i}` })),
  });
  const rest = { auc: 1, eer: 0, tarAtFar: 1, pairs: 20, accuracyStd: 0 };
  const runs = [{ accuracy: 0.99, parameters: 1 }, ...students].flatMap(
    ({ accuracy, parameters }, i): Decided[] => {
      const runId = `run-${i + 1}`;
      const created = { planId: 'plan-1', facts: FACTS, costs: { parameters, mflops: 1, multiplyAdds: 1 } };
      const what =
        i === 0
          ? ({ role: 'teacher', spec: recorded(teacher()) } as const)
          : ({ role: 'student', spec: recorded(student('run-1', { name: `s${i}` })) } as const);
      const finished = { generation: 1, workerId: 'w', step: 8, weightsDigest: 'd' };
      return [
        what.spec.event,
        { kind: 'run.created', runId, reason: 'r', ...created, ...what, spec: what.spec.digest },
        { kind: 'run.finished', runId, ...finished, evaluation: { accuracy, ...rest } },
      ];
    },
  );
  const { event, digest } = recorded(spec);
  const submitted: Decided = {
    ...{ kind: 'plan.submitted', planId: 'plan-1', spec: digest, yaml: '', facts: FACTS },
  };
  const state = folded([event, submitted, ...runs].map((one) => ({ ...one, atMs: 1 }) as Event));
  const next = nextOfPlan(state, planOf(state, 'plan-1'));
  return next.kind === 'done' ? next.winnerRunId : next.kind;
}

test('the most accurate student is exported, of equals the smaller, then the first; the teacher never', () => {
  assert.equal(ended({ accuracy: 0.7, parameters: 1 }, { accuracy: 0.8, parameters: 9 }), 'run-3');
  assert.equal(ended({ accuracy: 0.8, parameters: 9 }, { accuracy: 0.8, parameters: 5 }), 'run-3');
  assert.equal(ended({ accuracy: 0.8, parameters: 5 }, { accuracy: 0.8, parameters: 5 }), 'run-2');
});
