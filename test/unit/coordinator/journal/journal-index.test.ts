import assert from 'node:assert/strict';
import test from 'node:test';
import { createJournalIndex } from '../../../../coordinator/journal/journal-index.ts';
import { idsOf } from '../../../../coordinator/journal/why.ts';
import type { Decided, Event } from '../../../../coordinator/model/events.ts';
import { isWhole, planWith, type State } from '../../../../coordinator/model/state.ts';
import { plan, teacher } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, inOrder, recorded } from '../../../support/state.ts';
import { createSweepFleet } from '../../../support/sweep-fleet.ts';

const costs = { parameters: 1, mflops: 1, multiplyAdds: 1 };

/** A plan with a sweep and a teacher, a sweep and a run by themselves, workers, losses. */
function history(): Event[] {
  const fleet = createSweepFleet(2);
  const { add } = fleet;
  const planSpec = recorded(plan());
  const runSpec = recorded(teacher());
  add(planSpec.event);
  add(runSpec.event);
  add({ kind: 'plan.submitted', planId: 'plan-1', spec: planSpec.digest, yaml: '', facts: FACTS });
  for (let n = 0; n < 5; n++) {
    const number = fleet.propose();
    fleet.assign(number, n % 2 === 0 ? 'w1' : 'w2');
    if (n % 3 === 0) fleet.fail(number);
    else fleet.finish(number, 0.5);
  }
  const created = { spec: runSpec.digest, facts: FACTS, costs, reason: 'submitted' };
  add({ kind: 'run.created', runId: 'run-6', planId: 'plan-1', role: 'teacher', ...created });
  add({ kind: 'run.created', runId: 'run-7', ...created });
  add({ kind: 'run.cancelled', runId: 'run-7', reason: 'by request' });
  add({ kind: 'worker.lost', workerId: 'w2', incarnation: 'i', reason: 'silent' });
  return [...fleet.events];
}

/** The ids whose events belong to a story, from the state that the events lead to. */
function storyOf(state: State, id: string): ReadonlySet<string> {
  const ids = new Set([id]);
  const sweepId = planWith(state, id)?.sweepId ?? id;
  if (planWith(state, id)?.sweepId !== undefined) ids.add(sweepId);
  for (const trial of inOrder(state.trials)) if (ids.has(trial.sweepId)) ids.add(trial.id);
  for (const run of inOrder(state.runs)) {
    const parents = isWhole(run) ? [run.trialId, run.sweepId, run.planId] : [run.trialId, run.sweepId];
    if (parents.some((parent) => parent !== undefined && ids.has(parent))) ids.add(run.id);
  }
  return ids;
}

const isAbout = (event: Event, ids: ReadonlySet<string>): boolean =>
  idsOf(event).some((id) => id !== undefined && ids.has(id));

/** The events in messages of one to three. */
function messages(events: readonly Event[]): Event[][] {
  const groups: Event[][] = [];
  for (let at = 0; at < events.length; ) {
    const size = 1 + (groups.length % 3);
    groups.push(events.slice(at, at + size));
    at += size;
  }
  return groups;
}

test('the messages and events of each story are those that reading the whole journal finds', () => {
  const events = history();
  const groups = messages(events);
  const index = createJournalIndex();
  for (const [at, group] of groups.entries()) index.add(at + 1, group);
  const state = folded(events);
  const ids = ['plan-1', 'sweep-1', 'w1', 'w2', 'run-6', 'run-7', 'run-99', 'w9'];
  for (let n = 1; n <= 5; n++) ids.push(`trial-${n}`, `run-${n}`);
  for (const id of ids) {
    const story = storyOf(state, id);
    const expected = groups.flatMap((group, at) =>
      group.some((event) => isAbout(event, story)) ? [at + 1] : [],
    );
    assert.deepEqual([...index.messagesAbout(id)], expected, id);
    for (const event of events)
      assert.equal(index.isAbout(event, id), isAbout(event, story), `${id} ${event.kind}`);
  }
  let first = 1;
  groups.forEach((group, at) => {
    assert.equal(index.firstEventOf(at + 1), first);
    first += group.length;
    // A story that goes on after an event begins with the message that has the next one.
    const later = [...index.messagesAbout('sweep-1', first - 1)];
    assert.deepEqual(
      later,
      [...index.messagesAbout('sweep-1')].filter((sequence) => sequence! > at + 1),
    );
  });
});

test('a number far behind the others, and a message after many that were cut out, take no room', () => {
  const index = createJournalIndex();
  const at = (event: Decided) => ({ ...event, atMs: 1 }) as Event;
  index.add(1, [at({ kind: 'run.cancelled', runId: 'run-999999999', reason: 'r' })]);
  index.add(70_000, [at({ kind: 'run.cancelled', runId: 'run-3', reason: 'r' })]);
  assert.deepEqual([...index.messagesAbout('run-999999999')], [1]);
  assert.deepEqual([...index.messagesAbout('run-3')], [70_000]);
  assert.equal(index.firstEventOf(70_000), 2);
  assert.deepEqual([...index.messagesAbout('run-4')], []);
});

test('who looks for something rare in a long journal gives others a turn', () => {
  const index = createJournalIndex();
  const at = (event: Decided) => ({ ...event, atMs: 1 }) as Event;
  const lost = at({ kind: 'worker.lost', workerId: 'w1', incarnation: 'i', reason: 'silent' });
  index.add(1, [lost]);
  for (let n = 2; n <= 120_000; n++)
    index.add(n, [at({ kind: 'run.cancelled', runId: `run-${n}`, reason: 'r' })]);
  index.add(120_001, [lost]);
  assert.deepEqual([...index.messagesAbout('w1')], [1, undefined, 120_001]);
});

test('the story of a plan has its sweep, and with it the trials and runs', () => {
  const index = createJournalIndex();
  const at = (event: Decided) => ({ ...event, atMs: 1 }) as Event;
  const spec = 'd';
  index.add(1, [at({ kind: 'plan.submitted', planId: 'plan-1', spec, yaml: '', facts: FACTS })]);
  index.add(4, [at({ kind: 'sweep.submitted', sweepId: 'sweep-3', planId: 'plan-1', spec, facts: FACTS })]);
  const strategy = {
    kind: 'random',
    nextDraw: 1,
    accepted: 1,
    skipped: { count: 0, firstReason: '' },
  } as const;
  const proposed = { sweepId: 'sweep-3', number: 1, genotype: 'k', costs, strategy };
  index.add(5, [at({ kind: 'trial.proposed', trialId: 'trial-70', ...proposed })]);
  index.add(9, [
    at({ kind: 'trial.attempted', trialId: 'trial-70', runId: 'run-500', attempt: 1, reason: 'r' }),
  ]);
  index.add(12, [at({ kind: 'run.cancelled', runId: 'run-500', reason: 'r' })]);
  assert.deepEqual([...index.messagesAbout('plan-1')], [1, 4, 5, 9, 12]);
  assert.deepEqual([...index.messagesAbout('sweep-3')], [4, 5, 9, 12]);
  assert.deepEqual([...index.messagesAbout('trial-70')], [5, 9, 12]);
  assert.deepEqual([...index.messagesAbout('run-500')], [9, 12]);
});
