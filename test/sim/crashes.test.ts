// A coordinator dies at every message that it appends, one world for each: before the message, after it, and
// between the messages of one decision. Whatever the supervisor starts again ends as if nothing had happened.

import assert from 'node:assert/strict';
import test from 'node:test';
import { folded, plainOf } from '../support/state.ts';
import type { AppendFate } from './broker.ts';
import { plan } from './specs.ts';
import { allEnded, createWorld, FACTS, type World } from './world.ts';

/** A search of 4 trials, a teacher and two students, with decisions that are cut into several messages. */
async function trainPlan(seed: number, fate: (message: number) => AppendFate): Promise<World> {
  const world = createWorld({ seed, coordinators: 2, groupEventsMax: 3, snapshotEvents: 20 });
  world.addWorker('w1');
  world.addWorker('w2');
  let message = 0;
  let done = false;
  world.fate = () => (done ? 'stored' : fate(++message));
  const search = { ...plan().search!, strategy: { kind: 'random', trials: 4 } };
  const documents = [{ kind: 'plan', spec: plan({ search }), yaml: '', facts: FACTS }] as const;
  // A plan whose answer was lost with its coordinator may be there already.
  while (world.witness.state.plans.size === 0) {
    await world.runUntil(() => world.leader !== undefined, 60_000);
    await world.callOnce({ kind: 'submit', documents }).catch(() => undefined);
  }
  await world.runUntil(() => allEnded(world), 600_000);
  done = true;
  await world.runUntil(() => world.leader?.isSettled === true, 60_000);
  return world;
}

/** Ends of runs and trials, the winner, and how many messages were needed. */
function outcomeOf(world: World) {
  const { state, ends, open } = world.witness;
  const ended = [...ends].map((entry) => entry.join(' ')).sort();
  assert.deepEqual([...open], [], 'something was lost');
  return { ended, plans: state.plans.size, sweeps: state.sweeps.size, trials: state.trials.size };
}

test('a coordinator that dies at any append, before, after or within a decision, loses and repeats nothing', async () => {
  const calm = await trainPlan(1, () => 'stored');
  const expected = outcomeOf(calm);
  const messages = calm.broker.lastSequence;
  assert.ok(messages > 20, `${messages} messages`);
  assert.ok(calm.broker.snapshot !== undefined, 'a start has a snapshot to begin with');
  const deaths = { 'killed before': 0, 'killed after': 0, 'answer lost': 0 };
  // Each message dies in one of the three ways.
  for (const [offset, fate] of (Object.keys(deaths) as (keyof typeof deaths)[]).entries())
    for (let at = 1 + offset; at <= messages; at += 3) {
      const world = await trainPlan(1, (message) => {
        if (message !== at) return 'stored';
        deaths[fate] += 1;
        return fate;
      });
      assert.deepEqual(outcomeOf(world), expected, `${fate} at message ${at}`);
      const { leader } = world;
      assert.deepEqual(
        leader && plainOf(leader.driver.state),
        plainOf(world.witness.state),
        `${fate} at message ${at}: the leader's state`,
      );
      assert.deepEqual(plainOf(folded(world.events)), plainOf(world.witness.state));
    }
  for (const [fate, count] of Object.entries(deaths)) assert.ok(count > 5, `${count} x ${fate}`);
});
