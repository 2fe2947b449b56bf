// Searches whose candidates learn from a teacher: they wait for its stages, its retention knows them, and its end is
// theirs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { identityOf } from '../../../../coordinator/model/identity.ts';
import { embeddingRunOf, isEmbedding } from '../../../../coordinator/model/orders.ts';
import { specOf } from '../../../../coordinator/model/spec-of.ts';
import { planOf, runOf, sweepOf } from '../../../../coordinator/model/state.ts';
import { planSchema } from '../../../../core/spec/plan.ts';
import { sweepIn } from '../../../../core/spec/plan-search.ts';
import { type SweepSpec, sweepSchema } from '../../../../core/spec/sweep.ts';
import { orderOf } from '../../../../core/spec/training.ts';
import { plan, sweep, teacher, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, plainOf } from '../../../support/state.ts';
import { core } from './core.ts';

const EPOCHS = 3;
const short = { ...training, epochs: EPOCHS };
const one = { min: 1, max: 1 };
const taught = (of: string, change: Record<string, unknown> = {}): SweepSpec =>
  sweep({ evaluation: { training: short, distillation: { teacher: of, ...change } } });
const asTeacher = (change: Record<string, unknown> = {}) =>
  teacher({ training: short, workers: one, ...change });

/** A teacher on the first worker and a search on the others. */
function begun(workers: number, change: Record<string, unknown> = {}) {
  const fleet = core(workers);
  fleet.give({
    kind: 'submit',
    documents: [
      { kind: 'sweep', spec: taught('teacher', change), facts: { ...FACTS, digest: 'd' } },
      { kind: 'run', spec: asTeacher(), facts: { ...FACTS, digest: 'd' } },
    ],
  });
  return fleet;
}

const held = (fleet: ReturnType<typeof core>) =>
  runOf(fleet.state, 'run-1').checkpoints.map(({ stage, held: what = 'all' }) => `${stage} ${what}`);

test('each candidate is a student of the teacher, in one order of images for every attempt', () => {
  const fleet = begun(3);
  assert.equal(sweepOf(fleet.state, 'sweep-1').teacherRunId, 'run-1');
  fleet.checkpoint('run-1', 1);
  assert.deepEqual(fleet.running(), ['run-1', 'run-2', 'run-3']);
  const run = runOf(fleet.state, 'run-2');
  assert.deepEqual([run.teacherRunId, run.job.distillation?.teacher], ['run-1', 'run-1']);
  const first = specOf(fleet.state, run);
  const again = specOf(fleet.state, { ...run, attempt: 2 });
  assert.notEqual(first.training.seed, again.training.seed);
  assert.equal(orderOf(first.training), orderOf(again.training));
  assert.deepEqual([first.kind, first.distillation?.teacher], ['candidate', 'run-1']);
  assert.deepEqual(runOf(fleet.state, 'run-1').studentRunIds.slice(0, 2), ['run-2', 'run-3']);
  assert.deepEqual(plainOf(folded(fleet.events)), plainOf(fleet.state));
});

test('a candidate that waits for a stage gives its worker to one whose stage is there', () => {
  const fleet = begun(3);
  fleet.checkpoint('run-1', 1);
  fleet.checkpoint('run-2', 1);
  for (let tick = 0; tick < 20; tick++) fleet.give({ kind: 'tick' });
  const { state, reason } = runOf(fleet.state, 'run-2');
  assert.equal(state, 'pausing');
  assert.equal(reason, 'waits for stage 2 of run-1, and gives its workers to run-4 meanwhile');
});

test('networks of all stages stay while the search goes on, and those of the last two after it', () => {
  const fleet = begun(3);
  for (const stage of [1, 2, 3]) fleet.checkpoint('run-1', stage);
  fleet.finish('run-1');
  assert.deepEqual(held(fleet), ['1 network', '2 all', '3 all']);
  for (let done = 0; done < 6; done++) {
    const [running] = fleet.running();
    fleet.finish(running!, 0.5 + done / 100);
    if (done === 4) {
      // Those with a result are the teacher's students no longer: it would list every candidate of its searches.
      assert.ok(runOf(fleet.state, 'run-1').studentRunIds.length <= 2);
      assert.deepEqual(held(fleet), ['1 network', '2 all', '3 all']);
      assert.throws(
        () => fleet.give({ kind: 'drop', runId: 'run-1', stage: 1, reason: '' }),
        /stage 1 of run-1 is needed by .*sweep-1/,
      );
    }
  }
  assert.equal(sweepOf(fleet.state, 'sweep-1').state, 'done');
  assert.deepEqual(held(fleet), ['1 nothing', '2 all', '3 all']);
  assert.throws(() => fleet.give({ kind: 'remove', id: 'run-1', reason: '' }), /sweep-1 learned from run-1/);
  fleet.give({ kind: 'remove', id: 'sweep-1', reason: '' });
  fleet.give({ kind: 'remove', id: 'run-1', reason: '' });
  assert.deepEqual(plainOf(folded(fleet.events)), plainOf(fleet.state));
});

test('a search whose teacher ends without a stage that its candidates need ends with that reason', () => {
  const fleet = begun(3);
  fleet.checkpoint('run-1', 1);
  fleet.give({ kind: 'cancel', id: 'run-1', reason: '' });
  const { state, reason } = sweepOf(fleet.state, 'sweep-1');
  assert.equal(state, 'failed');
  assert.match(reason, /^its candidates learn from run-1, and run-1 was cancelled: .* short of stage 2/);
  assert.deepEqual(fleet.running(), []);
});

test('what a candidate computes depends on its teacher and on how it learns, not on the id of the teacher', () => {
  const keyOf = (fleet: ReturnType<typeof core>, id: string) => {
    fleet.checkpoint('run-1', 1);
    return identityOf(fleet.state, runOf(fleet.state, id))?.group;
  };
  const key = keyOf(begun(3), 'run-2');
  assert.equal(typeof key, 'string');
  assert.equal(keyOf(begun(2), 'run-2'), key);
  assert.notEqual(keyOf(begun(3, { weight: 50 }), 'run-2'), key);
  assert.notEqual(keyOf(begun(3, { schedule: 'single-step' }), 'run-2'), key);
});

test("a plan's candidates learn from its own teacher only when that starts at once", () => {
  const base = plan();
  const search = { ...sweepIn(base)!, evaluation: { training: short, distillation: { teacher: 'teacher' } } };
  const of = (change: Record<string, unknown>, own: Record<string, unknown> = {}) =>
    planSchema.safeParse({
      ...base,
      search: { ...search, ...own },
      teacher: { ...base.teacher, training: short, ...change },
    });
  const late = of({});
  assert.match(late.error?.issues[0]?.message ?? '', /starts when the search has ended; give start: at-once/);
  const small = of({ start: 'at-once' }, { space: { ...search.space, embedding: 8 } });
  assert.ok(
    small.error?.issues.some(({ message }) => /embeddings of 8 and teacher teacher of 16/.test(message)),
  );
  const good = of({ start: 'at-once' });
  assert.ok(good.success);
  const fleet = core(2);
  fleet.give({ kind: 'submit', documents: [{ kind: 'plan', spec: good.data, yaml: '', facts: FACTS }] });
  const { teacherRunId, sweepId } = planOf(fleet.state, 'plan-1');
  assert.deepEqual([teacherRunId, sweepId], ['run-1', 'sweep-1']);
  assert.equal(sweepOf(fleet.state, 'sweep-1').teacherRunId, 'run-1');
});

test('a list of stages for another number of epochs, and a teacher that is none, are refused', () => {
  const listed = sweepSchema.safeParse({
    ...sweep(),
    evaluation: { training: short, distillation: { teacher: 'run-1', schedule: [1, 2] } },
  });
  assert.deepEqual(listed.error?.issues[0]?.path, ['evaluation', 'distillation', 'schedule']);
  const fleet = core(1);
  assert.throws(
    () => fleet.submit({ kind: 'sweep', spec: taught('nobody'), facts: FACTS }),
    /^evaluation\.distillation\.teacher: "nobody" is neither|evaluation\.distillation\.teacher: "nobody"/,
  );
});

test('candidates share the stream of their teacher, from one run that ends with the search', () => {
  const fleet = begun(6, { share: 'stream' });
  fleet.checkpoint('run-1', 1);
  const open = () => fleet.running().map((id) => runOf(fleet.state, id));
  const candidates = open().filter(({ job }) => job.kind === 'candidate');
  const learners = runOf(fleet.state, 'run-1').studentRunIds.map((id) => runOf(fleet.state, id));
  const pools = learners.filter(isEmbedding);
  assert.ok(candidates.length >= 2);
  assert.equal(pools.length, 1, 'one for all of them');
  const [pool] = pools;
  for (const candidate of candidates) assert.equal(embeddingRunOf(fleet.state, candidate)?.id, pool!.id);
  assert.equal(
    orderOf(specOf(fleet.state, pool!).training),
    orderOf(specOf(fleet.state, candidates[0]!).training),
  );
  assert.deepEqual(
    [pool!.job.network?.kind, pool!.teacherRunId, pool!.job.distillation?.teacher],
    [runOf(fleet.state, 'run-1').job.network?.kind, 'run-1', 'run-1'],
  );
  // All workers are taken; the first that is free computes for the others, before a further candidate begins.
  fleet.finish(candidates[0]!.id);
  assert.ok(fleet.running().includes(pool!.id));
  fleet.give({ kind: 'cancel', id: 'sweep-1', reason: 'enough' });
  const end = runOf(fleet.state, pool!.id);
  assert.equal(end.state, 'done');
  assert.match(end.reason, /^no student needs embeddings any more/);
  assert.deepEqual(plainOf(folded(fleet.events)), plainOf(fleet.state));
});
