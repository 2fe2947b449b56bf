// `rm` and `prune`: what has ended leaves the lists, and what it has stored is let go. Decides what may go:
// only a whole that has ended, and nothing that something else still refers to.

import { FleetError } from '../../core/errors.ts';
import { workWithId } from '../model/find.ts';
import { isEmbedding } from '../model/orders.ts';
import { allNumbers } from '../model/roll.ts';
import {
  hasEnded,
  planWith,
  runWith,
  type State,
  sweepWith,
  trialWith,
  wholeRunWith,
} from '../model/state.ts';
import { type Draft, emit } from './draft.ts';
import { heirsOf } from './heirs.ts';
import type { Input } from './inputs.ts';
import { plannedStudentsOf } from './plan-students.ts';
import { assertNoneKept } from './stages.ts';

const refuse = (why: string) => new FleetError('failedPrecondition', why);

/** Removes a plan, a sweep or a run that has ended. Throws why it cannot go, and then nothing has changed. */
export function remove(draft: Draft, { id, reason }: Extract<Input, { kind: 'remove' }>): void {
  assertRemovable(draft.state, id);
  emit(draft, { kind: 'work.removed', id, reason: reason === '' ? 'by request' : reason });
}

/** Throws why a thing cannot leave the lists. */
export function assertRemovable(state: State, id: string): void {
  const thing = workWithId(state, id);
  if (trialWith(state, id) !== undefined)
    throw refuse(`${id} is a trial; remove its sweep, ${trialWith(state, id)!.sweepId}`);
  const { planId, sweepId } = thing as { planId?: string; sweepId?: string };
  const whole = planId ?? (runWith(state, id) === undefined ? undefined : sweepId);
  if (whole !== undefined && whole !== id) throw refuse(`${id} belongs to ${whole}; remove that`);
  if (!hasEnded(thing)) throw refuse(`${id} is ${thing.state}; cancel it first`);
  for (const runId of runIdsOfWhole(state, id)) {
    assertNoneKept(state, runId);
    const run = wholeRunWith(state, runId);
    if (run === undefined) continue;
    const others = run.studentRunIds.filter((student) => {
      const found = wholeRunWith(state, student);
      // What an embedding run has computed is gone with it.
      if (found !== undefined && isEmbedding(found) && hasEnded(found)) return false;
      return found !== undefined && (found.planId ?? found.id) !== (run.planId ?? run.id);
    });
    const sweeps = (run.taughtSweepIds ?? []).filter(
      (id) => sweepWith(state, id)?.planId !== (run.planId ?? ''),
    );
    others.push(...sweeps);
    if (others.length > 0)
      throw refuse(
        `${others.join(', ')} learned from ${run.id}; remove ${others.length === 1 ? 'it' : 'them'} first`,
      );
    const [planned] = plannedStudentsOf(state, run.id);
    if (planned !== undefined && planned.id !== run.planId)
      throw refuse(
        `students of ${planned.id} will learn from ${run.id}; wait for the end of that plan, or cancel it`,
      );
    const heirs = heirsOf(state, run.id).filter((sweep) => (sweep.planId ?? sweep.id) !== (run.planId ?? ''));
    if (heirs.length > 0)
      throw refuse(
        `the candidates of ${heirs.map((sweep) => sweep.id).join(', ')} inherit the weights of ${run.id}; wait for the end of that search, or cancel it`,
      );
    const takers = (run.takerRunIds ?? []).filter(
      (id) => wholeRunWith(state, id)?.planId !== (run.planId ?? ''),
    );
    if (takers.length > 0)
      throw refuse(
        `${takers.join(', ')} took the result of ${run.id} with its checkpoints; remove ${takers.length === 1 ? 'it' : 'them'} first`,
      );
  }
}

function runIdsOfWhole(state: State, id: string): string[] {
  const numbers = planWith(state, id)?.allRunIds ?? sweepWith(state, id)?.allRunIds;
  return numbers === undefined ? [id] : [...allNumbers(numbers)].map((number) => `run-${number}`);
}
