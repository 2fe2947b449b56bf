// Which student a plan exports, and which networks of a front its students get.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextOfPlan } from '../../../../coordinator/decisions/plan.ts';
import type { Decided, Event } from '../../../../coordinator/model/events.ts';
import { planOf, trialOf } from '../../../../coordinator/model/state.ts';
import { planSchema } from '../../../../core/spec/plan.ts';
import { plan, student, teacher } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, plainOf, recorded, wholeRuns } from '../../../support/state.ts';
import { core } from './core.ts';

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

test('a plan trains a student for each of the networks that cover the front of its search', () => {
  const fleet = core(1);
  const [first] = plan().students;
  const spec = plan({ students: [{ ...first, name: 'small', network: { pareto: 3 } }], teacher: undefined });
  fleet.give({ kind: 'submit', documents: [{ kind: 'plan', spec, yaml: '', facts: FACTS }] });
  for (let trial = 1; trial <= 6; trial++) fleet.finish(`run-${trial}`, 0.5 + (trial % 4) / 10);
  const front = () => wholeRuns(fleet.state).filter(({ job }) => job.kind === 'student');
  const { search } = spec;
  const done = [...Array(6).keys()].map((at) => trialOf(fleet.state, `trial-${at + 1}`));
  assert.ok(search !== undefined);
  const isBeaten = (a: (typeof done)[number]) =>
    done.some(
      (b) =>
        b.objectives!.accuracy! >= a.objectives!.accuracy! &&
        b.costs.parameters <= a.costs.parameters &&
        (b.objectives!.accuracy! > a.objectives!.accuracy! || b.costs.parameters < a.costs.parameters),
    );
  const members = done.filter((one) => !isBeaten(one)).length;
  const count = Math.min(3, members);
  for (const run of front()) assert.match(run.reason, /free|network of trial-/);
  assert.deepEqual(
    front().map(({ name }) => name),
    [...Array(count).keys()].map((at) => `small-${at + 1}`),
  );
  const created = fleet.events.filter((event) => event.kind === 'run.created' && event.role === 'student');
  assert.equal(created.length, count);
  for (const [at, event] of created.entries())
    assert.match(
      (event as { reason: string }).reason,
      new RegExp(
        `network of trial-\\d, ${at + 1} of ${count} that cover the front of sweep-1: accuracy 0\\.\\d+`,
      ),
    );
  for (const { id } of front()) fleet.finish(id, 0.6);
  assert.equal(planOf(fleet.state, 'plan-1').state, 'done');
  assert.deepEqual(plainOf(folded(fleet.events)), plainOf(fleet.state));
});

test('a front without a search, and names that meet those of its students, are refused', () => {
  const [first] = plan().students;
  const issuesOf = (change: Record<string, unknown>) =>
    planSchema
      .safeParse({ ...plan(), ...change })
      .error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  const student = { ...first, name: 'a', network: { pareto: 2 } };
  assert.deepEqual(issuesOf({ search: undefined, students: [student] }), [
    'students.0.network: pareto names candidates of a search, and this plan has no search',
  ]);
  assert.deepEqual(issuesOf({ students: [student, { ...first, name: 'a-2' }] }), [
    'students.1.name: a-2 is the name of another run of this plan',
  ]);
});
