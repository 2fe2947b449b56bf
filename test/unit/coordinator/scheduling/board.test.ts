// The board follows states of which it does not see each: several decisions are one group. Whatever it has missed, it is the
// board that is made anew from the state.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { State } from '../../../../coordinator/model/state.ts';
import { type Board, createBoard } from '../../../../coordinator/scheduling/board.ts';
import { randomStream } from '../../../../core/rng.ts';
import { sweep, teacher, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { connections } from '../../../support/state.ts';
import { core } from '../decisions/core.ts';

const WORKERS = ['w1', 'w2', 'w3', 'w4'];
const candidates = (device: 'shared' | 'exclusive', trials: number, name: string) =>
  sweep({
    ...{ name, require: { device }, evaluation: { training } },
    strategy: { kind: 'random', trials, seed: 1 },
  });

/** Everything that placing reads of a board. */
function pictureOf(board: Board) {
  const sorted = <T>(values: Iterable<T>) => [...values].sort();
  const byNumber = <K>(sets: ReadonlyMap<K, ReadonlySet<number>>) =>
    sorted(sets).map(([key, numbers]) => [key, sorted(numbers)]);
  return {
    pools: board.pools.all().map(({ key, live, devices, free, idle, taken }) => {
      return { key, live, devices, free, idle, taken };
    }),
    seats: WORKERS.map((id) => board.pools.seatOf(id)).map((seat) => [seat?.held, seat?.isTaken]),
    exclusive: sorted(board.devices.exclusive()).map((id) => [id, board.devices.exclusiveOn(id)]),
    sets: [board.growing, board.shrinking, board.wide, board.pausing, board.students, board.budgeted].map(
      (numbers) => sorted(numbers),
    ),
    running: byNumber(board.running),
    lent: byNumber(board.lent),
    holding: board.holding('cpu', 100),
    queued: board.queue.size,
  };
}

/** States of a fleet in which candidates share devices or have them for themselves, end, fail and are cancelled. */
function statesOf(seed: number): State[] {
  const chance = randomStream({ seed, purpose: 'board' });
  const fleet = core(0);
  for (const [at, workerId] of WORKERS.entries())
    fleet.attach(workerId, { slots: 2, deviceId: `d${Math.floor(at / 2)}` });
  const states: State[] = [];
  for (const spec of [candidates('exclusive', 6, 'alone'), candidates('shared', 12, 'beside')])
    fleet.submit({ kind: 'sweep', spec, facts: FACTS });
  for (const min of [1, 2])
    fleet.submit({ kind: 'run', spec: teacher({ workers: { min, max: 3 } }), facts: FACTS });
  for (let turn = 0; turn < 120; turn++) {
    const running = fleet.running();
    if (running.length > 0) {
      const id = running[chance.integer(running.length)]!;
      const what = chance.integer(8);
      if (what === 0) fleet.fail(id, 'out_of_memory', 'no memory for a batch');
      else if (what === 1) fleet.give({ kind: 'cancel', id, reason: '' });
      else fleet.finish(id, 0.5, `w${turn}`);
    }
    states.push(fleet.state);
  }
  return states;
}

for (const seed of [1, 2, 3, 4, 5])
  test(`a board that sees some states alone is the one that is made anew from each: seed ${seed}`, () => {
    const states = statesOf(seed);
    const observed = { now: 1e6, connected: connections(WORKERS) };
    let exclusive = 0;
    for (const stride of [1, 2, 3, 7]) {
      const board = createBoard();
      for (let at = 0; at < states.length; at += stride) {
        board.follow(states[at]!, observed);
        const anew = createBoard();
        anew.follow(states[at]!, observed);
        const picture = pictureOf(anew);
        assert.deepEqual(pictureOf(board), picture, `after ${at} of each ${stride}`);
        exclusive += picture.exclusive.length;
      }
    }
    assert.ok(exclusive > 0, 'some runs had devices for themselves');
  });
