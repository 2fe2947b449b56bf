// What a worker that trains is likely to get next, which it prepares meanwhile: it opens the data and records the
// graphs, so that the next run begins as soon as a slot is free. Decides which worker is told of what, and when.
// Nothing of it is journalled and nothing is reserved: the run is placed as if nobody had prepared it.
//
// The first that waits in the queue come first, then the moves that sweeps are about to make: a strategy only looks at
// its state, so its next moves can be asked for before they are made. Of all workers those are looked at that begin to
// train, some in each beat, and strategies are asked a few times in each, so that the cost does not grow with the
// fleet.

import { childName } from '../../core/spec/common.ts';
import { optional } from '../model/folding.ts';
import { isPaused } from '../model/holds.ts';
import { inheritsAt, jobAt, networkOf, specOf } from '../model/spec-of.ts';
import { type State, type SweepState, sweepOf, workerWith } from '../model/state.ts';
import { rowsOf } from '../model/table.ts';
import { isSuspect } from '../scheduling/blame.ts';
import type { Board } from '../scheduling/board.ts';
import { endOf } from '../scheduling/estimates.ts';
import { whyUnfit } from '../scheduling/fit.ts';
import type { Pool } from '../scheduling/pools.ts';
import { createOrder } from '../scheduling/shares.ts';
import { notStartable } from '../scheduling/wait.ts';
import { searchOf } from '../strategies/strategies.ts';
import type { Ahead, Moves, Next } from './desk.ts';
import { boardOf, type Draft, send } from './draft.ts';
import { questionOf } from './moves.ts';

/** A worker is told when its run ends, by estimate, within so long, milliseconds. */
const SOON_MS = 60_000;
/** Where there is no estimate it is told after so long: a run that is over before needs nothing ahead. */
const UNKNOWN_MS = 5_000;
/** Workers that are looked at in one beat. */
const LOOKED_AT = 64;
/** Moves that strategies are asked for in one beat, and proposals that each may take. */
const MOVES_MAX = 8;
const DRAWS_MAX = 64;
/** Sweeps, and groups of the queue, whose next runs are looked at. */
const SOURCES_MAX = 8;

/** Notes which workers the decision gives something to train. */
export function noteAssigned({ desk: { ahead }, effects, context }: Draft): void {
  for (const effect of effects) {
    if (effect.kind !== 'send' || effect.command.kind !== 'assign') continue;
    ahead.waiting.set(effect.workerId, context.now);
    ahead.told.delete(effect.workerId);
  }
}

/** Tells workers whose runs end soon what is likely to be next. */
export function lookAhead(draft: Draft): void {
  const { ahead } = draft.desk;
  if (ahead.waiting.size === 0) return;
  const board = boardOf(draft);
  const ending = endingSoon(board, ahead);
  if (ending.length === 0) return;
  const told = new Set(ahead.told.values());
  const upcoming = nextRuns(draft, board, ending.length + told.size).filter(({ key }) => !told.has(key));
  for (const { workerId, pool } of ending) {
    const at = upcoming.findIndex(({ spec }) => whyUnfit({ job: spec }, pool) === undefined);
    if (at < 0) continue;
    const [{ key, ...next }] = upcoming.splice(at, 1) as [Next];
    ahead.told.set(workerId, key);
    ahead.waiting.delete(workerId);
    send(draft, workerId, { kind: 'prepare', ...next });
  }
}

/** Workers whose runs end soon, the first first. Those that are looked at go to the end of those that wait. */
function endingSoon(
  board: Board,
  { waiting, told }: Ahead,
): { readonly workerId: string; readonly pool: Pool; readonly atMs: number }[] {
  const { now } = board.observed;
  const ending: { workerId: string; pool: Pool; atMs: number }[] = [];
  for (const [workerId, sinceMs] of [...take(waiting, LOOKED_AT)]) {
    waiting.delete(workerId);
    const seat = board.pools.seatOf(workerId);
    const runs = workerWith(board.state, workerId)?.runs ?? [];
    if (seat === undefined || runs.length === 0) {
      told.delete(workerId);
      continue;
    }
    waiting.set(workerId, sinceMs);
    const ends = runs.map((number) => endOf(board.run(number), undefined, board.observed));
    const known = ends.filter((at) => at !== undefined);
    const atMs = known.length === 0 ? now : Math.min(...known);
    const isSoon = known.length === 0 ? now - sinceMs >= UNKNOWN_MS : atMs - now <= SOON_MS;
    if (isSoon) ending.push({ workerId, pool: board.pools.poolOf(seat), atMs });
  }
  return ending.sort((a, b) => a.atMs - b.atMs);
}

function* take<T>(from: Iterable<T>, count: number): Generator<T> {
  let left = count;
  for (const item of from) {
    if (left-- <= 0) return;
    yield item;
  }
}

/** The runs that are placed next, as far as they are known; `count` at most. */
function nextRuns(draft: Draft, board: Board, count: number): Next[] {
  const queued = queuedNext(board, count);
  if (queued.length >= count) return queued;
  return [...queued, ...proposedNext(draft, count - queued.length)];
}

function queuedNext(board: Board, count: number): Next[] {
  const order = createOrder(board);
  const left = new Set(take(board.queue.groups(), SOURCES_MAX));
  const next: Next[] = [];
  while (next.length < count) {
    const heads = [...left].flatMap((group) => {
      const number = group.numbers.first();
      return number === undefined ? [] : [{ group, number }];
    });
    const first = order.firstOf(heads);
    if (first === undefined) break;
    left.delete(first.group);
    for (const number of first.group.numbers.firstOf(count - next.length)) {
      const run = board.run(number);
      if (isSuspect(run, board.observed) || notStartable(board.state, run) !== undefined) break;
      next.push({
        ...{ key: run.id, of: run.id, spec: specOf(board.state, run) },
        ...optional('dataDigest', run.facts.digest),
      });
    }
  }
  return next;
}

/** The moves that sweeps make as soon as they may have another trial. */
function proposedNext({ state, desk: { ahead } }: Draft, count: number): Next[] {
  const next: Next[] = [];
  const budget = { moves: MOVES_MAX };
  const open = new Set<number>();
  for (const [number] of rowsOf(state.openSweeps)) {
    if (open.size >= SOURCES_MAX) break;
    open.add(number);
    const sweep = sweepOf(state, `sweep-${number}`);
    if (isPaused(state, sweep.id) || isPaused(state, sweep.planId)) continue;
    let moves = ahead.moves.get(number);
    if (moves?.from !== sweep.search) {
      moves = { from: sweep.search, after: sweep.search, next: [], isWhole: false };
      ahead.moves.set(number, moves);
    }
    while (moves.next.length < count && !moves.isWhole && budget.moves-- > 0)
      lookFurther(state, sweep, moves);
    next.push(...moves.next);
    if (next.length >= count) break;
  }
  for (const number of ahead.moves.keys()) if (!open.has(number)) ahead.moves.delete(number);
  return next;
}

/** Asks for one move more than is known. */
function lookFurther(state: State, sweep: SweepState, moves: Moves): void {
  if (sweep.spec.screening !== undefined) {
    // Which candidates of a group become trials is known when all of them have their scores.
    moves.isWhole = true;
    return;
  }
  const search = searchOf(sweep.spec);
  const begun = sweep.trialsProposed + moves.next.length;
  const keys = new Set(moves.next.map(({ key }) => key));
  const keyOf = (genotype: string) => `${sweep.id}/${genotype}`;
  const question = questionOf({ state }, sweep, {
    draws: DRAWS_MAX,
    mayBegin: begun < sweep.trialsTotal,
    drawn: [],
  });
  const answer = search.ask(moves.after, {
    ...question,
    known: (key) => (keys.has(keyOf(key)) ? begun : question.known(key)),
  });
  if (answer.kind === 'later') {
    moves.after = { ...moves.after, cursor: answer.cursor };
    return;
  }
  // What goes on, or waits, is known when the next result is there.
  if (answer.kind !== 'move' || answer.move.kind !== 'evaluate') {
    moves.isWhole = true;
    return;
  }
  const { move, cursor } = answer;
  const { key, trial, kind } = move;
  const fidelity = move.fidelity === undefined ? {} : { fidelity: move.fidelity };
  moves.after = search.made(moves.after, { kind, trial, key, cursor, ...fidelity });
  const { data, training, verification, workers, priority, require } = jobAt(sweep.job, move.fidelity);
  moves.next.push({
    key: keyOf(key),
    of: sweep.id,
    ...optional('dataDigest', sweep.facts.digest),
    spec: {
      kind: 'candidate',
      name: childName(sweep.name, 'next'),
      network: networkOf(sweep, { genotypeKey: key }, move.fidelity),
      ...{ data, training, verification, workers, priority },
      ...(require === undefined ? {} : { require }),
      ...inheritsAt(sweep.spec, move.fidelity),
    },
  });
}
