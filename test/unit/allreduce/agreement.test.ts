// What follows from where members stand: the step, the giver, the source of a residual, the answer to a hello.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  agreementOf,
  answerToHello,
  giverOfState,
  heardIn,
  helloPauseMs,
  partsOfHello,
  type Standing,
  sourceOfResidual,
  wordsOfHello,
} from '../../../core/allreduce/agreement.ts';
import { FleetError } from '../../../core/errors.ts';

const at = (step: number, digest = 'same', round = 1): Standing => ({ round, step, digest, inventory: [] });
const others = (...standings: (Standing | undefined)[]): Map<number, Standing> =>
  new Map(standings.flatMap((standing, i) => (standing === undefined ? [] : [[i + 1, standing] as const])));
const own = (standing: Standing) => ({ rank: 0, standing });

test('members agree on the largest step that any of them has, once every one of this round is heard', () => {
  assert.deepEqual(agreementOf(own(at(6)), others(at(7, 'x'), at(6)), 3), { kind: 'agreed', step: 7 });
  assert.deepEqual(agreementOf(own(at(6)), others(at(7)), 3), { kind: 'incomplete' });
  assert.deepEqual(agreementOf(own(at(6, 'a', 2)), others(at(7), at(7, 'a', 2)), 3), { kind: 'incomplete' });
  assert.deepEqual(agreementOf(own(at(-1, 'a')), others(at(-1, 'b')), 2), { kind: 'agreed', step: -1 });
});

test('a member that sees a later round knows that its own ended without a state', () => {
  assert.deepEqual(agreementOf(own(at(-1)), others(at(0, 'a', 2), at(-1)), 3), { kind: 'overtaken' });
  assert.deepEqual(agreementOf(own(at(-1)), others(at(0, 'a', 2)), 3), { kind: 'incomplete' });
});

test('two members at one step with different weights stop the run, also behind the largest', () => {
  assert.deepEqual(agreementOf(own(at(3, 'a')), others(at(5, 'x'), at(3, 'b')), 3), {
    kind: 'differ',
    first: 0,
    second: 2,
  });
  assert.deepEqual(agreementOf(own(at(4, 'a')), others(at(5, 'x'), at(5, 'y')), 3), {
    kind: 'differ',
    first: 1,
    second: 2,
  });
});

test('all members draw the same conclusion from the same standings', () => {
  const standing = fc.record({
    step: fc.integer({ min: -1, max: 3 }),
    digest: fc.constantFrom('a', 'b'),
    round: fc.constant(1),
    inventory: fc.constant([]),
  });
  fc.assert(
    fc.property(fc.array(standing, { minLength: 2, maxLength: 5 }), (standings) => {
      const seen = standings.map((mine, rank) => {
        const rest = new Map([...standings.entries()].filter(([other]) => other !== rank));
        return agreementOf({ rank, standing: mine }, rest, standings.length);
      });
      for (const agreement of seen) assert.deepEqual(agreement, seen[0]);
      if (seen[0]!.kind !== 'agreed') return;
      const { step } = seen[0]!;
      assert.equal(step, Math.max(...standings.map((each) => each.step)));
      for (const [rank, each] of standings.entries()) {
        if (each.step === step) continue;
        const rest = new Map([...standings.entries()].filter(([other]) => other !== rank));
        const [giver] = giverOfState(rest, step);
        assert.equal(
          giver,
          standings.findIndex((other) => other.step === step),
          'the lowest rank gives',
        );
      }
    }),
  );
});

test('a step at which no other member stands has no giver', () => {
  assert.throws(() => giverOfState(others(at(1)), 2), FleetError);
});

test('a residual comes from here, else from whoever has it of that very step, else from nobody', () => {
  const wanted = { shard: 3, step: 9 };
  const having = (...inventory: { shard: number; step: number }[]): Standing => ({ ...at(9), inventory });
  assert.equal(sourceOfResidual(wanted, [wanted], others(having(wanted))), 'own');
  assert.equal(sourceOfResidual(wanted, [{ shard: 3, step: 8 }], others(at(9), having(wanted))), 2);
  assert.equal(sourceOfResidual(wanted, [], others(having({ shard: 3, step: 8 }))), 'nobody');
});

test('a hello is answered with `here` before this member stands there, and with a hello while its sender lacks one', () => {
  assert.deepEqual(answerToHello(undefined, { round: 1, heard: [] }), { here: true, hello: false });
  const mine = { rank: 2, round: 1 };
  assert.deepEqual(answerToHello(mine, { round: 2, heard: [] }), { here: true, hello: false });
  assert.deepEqual(answerToHello(mine, { round: 1, heard: [0, 1] }), { here: false, hello: true });
  assert.deepEqual(answerToHello(mine, { round: 1, heard: [2] }), { here: false, hello: false });
});

test('who was heard in a round is who stood in it or a later one', () => {
  assert.deepEqual(heardIn(others(at(1), at(1, 'a', 2), at(1, 'a', 3)), 2), [2, 3]);
});

test('the words of a hello come apart as they were put together', () => {
  const words = fc.array(fc.nat(), { maxLength: 6 });
  fc.assert(
    fc.property(words, words, (heard, inventory) => {
      assert.deepEqual(partsOfHello(wordsOfHello(heard, inventory)), { heard, inventory });
    }),
  );
  assert.deepEqual(partsOfHello([]), { heard: [], inventory: [] });
});

test('the pause between hellos doubles from 50 to 500 ms', () => {
  const pauses: number[] = [];
  for (let i = 0; i < 6; i++) pauses.push(helloPauseMs(pauses.at(-1)));
  assert.deepEqual(pauses, [50, 100, 200, 400, 500, 500]);
});
