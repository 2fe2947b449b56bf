// What a move costs with a hundred thousand results: of each strategy, in the first and in the last tenth, and the
// longest slice of proposals, for which everything else of the coordinator waits: the processor time of its thread.

import { createDesk } from '../../coordinator/decisions/desk.ts';
import { cellSpace } from '../../coordinator/strategies/cell-space.ts';
import { createSearch } from '../../coordinator/strategies/search.ts';
import { strategyOf } from '../../coordinator/strategies/strategies.ts';
import { strategySchema } from '../../core/spec/strategy.ts';
import { sweep } from '../../test/sim/specs.ts';
import { atMost, type Goal, say } from '../goals.ts';
import { cpuMs, quantile, threadMs } from './processor.ts';

const LAG = 16;
const SLICE_MS_MAX = 20;
/** How much more a move may cost in the end than at first, once its code is warm. */
const GROWTH_MAX = 2;
const STATE_BYTES_MAX = 400_000;

const STRATEGIES: readonly Record<string, unknown>[] = [
  { kind: 'random' },
  { kind: 'evolution' },
  { kind: 'tpe' },
  { kind: 'nsga2', population: 200 },
  { kind: 'asha' },
  { kind: 'asha', mode: 'stop' },
  { kind: 'hyperband' },
];

const space = cellSpace(sweep());

/** A sum over genes, and a size that is against it. */
function scoresOf(key: string): number[] {
  const genes = space.genesOf(key);
  const sum = (value: (value: number, gene: number) => number) =>
    genes.reduce((total, one, gene) => total + value(one, gene), 0);
  return [sum((one, gene) => Math.sin(3 * gene + one)), -sum((one, gene) => (one * (gene + 3)) % 7)];
}

function measure(strategy: Record<string, unknown>, trials: number) {
  const spec = strategySchema.parse({ ...strategy, trials });
  const search = createSearch({
    ...{ strategy: strategyOf(spec, space, { epochs: 27 }), space, seed: 1, order: 'by-move' },
  });
  const known = new Map<string, number>();
  const keys: string[] = [];
  const open: { readonly move: number; readonly key: string }[] = [];
  const slices: { readonly ms: number; readonly allMs: number; readonly moves: number }[] = [];
  let state = search.begin(LAG);
  const endOne = () => {
    const { move, key } = open.shift()!;
    state = search.ended(state, { move, kind: 'measured', scores: scoresOf(key) });
  };
  while (keys.length < trials) {
    const slice = { ...createDesk().slice };
    const [start, allStart] = [threadMs(), cpuMs()];
    const before = state.moves;
    while (slice.proposals > 0 && slice.draws > 0 && keys.length < trials) {
      if (open.length >= LAG) endOne();
      const answer = search.ask(state, {
        ...{ draws: Math.ceil(slice.draws / search.drawCost), mayBegin: true },
        ...{ known: (key) => known.get(key), keyOf: (trial) => keys[trial - 1]! },
      });
      if (answer.kind === 'wait' && open.length > 0) {
        endOne();
        continue;
      }
      if (answer.kind === 'wait' || answer.kind === 'done') throw new Error(answer.reason);
      slice.draws -= search.drawCost * (1 + answer.skipped.count - state.cursor.skipped.count);
      if (answer.kind === 'later') {
        state = { ...state, cursor: answer.cursor };
        continue;
      }
      slice.proposals -= 1;
      const { move, cursor } = answer;
      state = search.made(state, { ...move, cursor });
      if (move.kind === 'evaluate') {
        known.set(move.key, move.trial);
        keys.push(move.key);
      }
      if (move.kind !== 'stop') open.push({ move: state.moves, key: move.key });
    }
    slices.push({ ms: threadMs() - start, allMs: cpuMs() - allStart, moves: state.moves - before });
  }
  const microseconds = (from: number, to: number) => {
    const some = slices.slice(Math.floor(from * slices.length), Math.floor(to * slices.length));
    const moves = some.reduce((sum, one) => sum + one.moves, 0);
    return (1000 * some.reduce((sum, one) => sum + one.ms, 0)) / moves;
  };
  const times = slices.slice(slices.length / 10).map(({ ms }) => ms);
  return {
    // The first tenth warms the code up.
    ...{ early: microseconds(0.1, 0.2), late: microseconds(0.9, 1) },
    ...{ sliceMs: quantile(times, 0.999), longestMs: Math.max(...times) },
    // With the threads that collect garbage and compile meanwhile.
    longestOfAllMs: Math.max(...slices.slice(slices.length / 10).map(({ allMs }) => allMs)),
    stateBytes: JSON.stringify(state).length,
  };
}

/** Every strategy that has no end of its own, over the cells of PocketNet. */
export function benchMoves(trials: number): { goals: Goal[]; rows: unknown } {
  const goals: Goal[] = [];
  const rows = STRATEGIES.map((strategy) => {
    const name = [strategy.kind, strategy.mode].filter(Boolean).join(' ');
    const row = measure(strategy, trials);
    const { early, late, sliceMs, longestMs, longestOfAllMs, stateBytes } = row;
    say(
      `${name}: ${early.toFixed(0)} us a move after a tenth, ${late.toFixed(0)} at the end; a slice ${sliceMs.toFixed(1)} ms (99.9 %), the longest ${longestMs.toFixed(1)} ms (${longestOfAllMs.toFixed(1)} ms of all threads); state ${stateBytes} bytes`,
    );
    goals.push(
      atMost(`moves: a slice of ${name}, 99.9 %`, sliceMs, SLICE_MS_MAX, 'ms'),
      atMost(`moves: growth of a move of ${name}`, late / early, GROWTH_MAX, 'times'),
      atMost(`moves: state of ${name}`, stateBytes, STATE_BYTES_MAX, 'bytes'),
    );
    return { name, ...row };
  });
  return { goals, rows };
}
