// How much is proposed in one turn, by the clock and by what is proposed, and that the candidates do not depend on it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDesk, type Desk } from '../../../../coordinator/decisions/desk.ts';
import { decideGroup } from '../../../../coordinator/decisions/group.ts';
import { initialState } from '../../../../coordinator/model/state.ts';
import { sweep } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { connections } from '../../../support/state.ts';

const TRIALS = 100;
/** One of some candidates has no more. */
const PARAMETERS_MAX = 74_500;

/** The sweep is submitted, and gone on with until nothing is put off; candidates by turn. */
function turnsOf(desk: Desk, change: object): string[][] {
  const spec = sweep({ strategy: { trials: TRIALS }, parallelism: TRIALS, ...change });
  const submit = { input: { kind: 'submit', documents: [{ kind: 'sweep', spec, facts: FACTS }] } } as const;
  const observe = () => ({ now: 1, connected: connections([]) });
  const turns: string[][] = [];
  let group = decideGroup(initialState, [submit], observe, desk);
  for (;;) {
    turns.push(group.events.flatMap((event) => (event.kind === 'trial.proposed' ? [event.genotype] : [])));
    if (!group.isUnfinished) return turns;
    assert.ok(turns.length < 10 * TRIALS, 'it goes on for ever');
    group = decideGroup(group.state, [], observe, desk);
  }
}

for (const [name, change] of [
  ['a random search', {}],
  ['a search for few parameters', { constraints: { parametersMax: PARAMETERS_MAX } }],
] as const)
  test(`of ${name}, a turn on a slow clock proposes less than one without, and the same in all`, () => {
    const plain = turnsOf(createDesk(), change);
    assert.ok(plain.length > 1, `${plain.length} turns`);
    assert.equal(plain.flat().length, TRIALS);
    for (const ms of [1, 1_000]) {
      let now = 0;
      const slow = turnsOf(createDesk({ monotonic: () => (now += ms) }), change);
      assert.deepEqual(slow.flat(), plain.flat());
      assert.ok(
        slow.length > 2 * plain.length,
        `${slow.length} turns at ${ms} ms a look, ${plain.length} without`,
      );
    }
  });
