// What the users of a simulated fleet do by chance: they pause plans, sweeps, trials and runs, change priorities, take
// workers out, and submit urgent runs. What was paused or taken out is given back, whoever leads by then.

import type { Input } from '../../coordinator/decisions/inputs.ts';
import { isPaused } from '../../coordinator/model/holds.ts';
import { openRuns, wholeRunWith, workerWith } from '../../coordinator/model/state.ts';
import { pickOf } from './chance.ts';
import { teacher } from './specs.ts';
import { FACTS, type World } from './world.ts';

/** How often each was asked for and taken. */
export type UserCounts = Record<'pause' | 'resume' | 'prioritise' | 'drain' | 'undo' | 'urgent', number>;

/** A user of this name. */
export const userOf = (name: string) => ({ name, role: 'submit', fingerprint: name }) as const;

const GIVEN_BACK_MS = 300;
/** After what somebody asked for a leader may still take it for so long, milliseconds. */
const LATE_MS = 10_000;

/** Begins at once, with something every `everyMs` on average, and ends when `done` holds. */
export function startUsers(
  world: World,
  options: { readonly everyMs: number; readonly done: () => boolean; readonly urgentMax: number },
): UserCounts {
  const { everyMs, done, urgentMax } = options;
  const { chance } = world;
  const counts: UserCounts = { pause: 0, resume: 0, prioritise: 0, drain: 0, undo: 0, urgent: 0 };
  /** When it is to go on, by id of work or worker. */
  const dueMs = new Map<string, number>();

  /** A refusal is all right: what it is about may have ended. */
  function ask(kind: keyof UserCounts, input: Input): void {
    world.leader?.submit(input).then(
      () => {
        counts[kind] += 1;
      },
      () => undefined,
    );
  }

  /** Something that is open: a run, or what it belongs to. */
  function someWork(): string | undefined {
    const runs = openRuns(world.witness.state);
    if (runs.length === 0) return undefined;
    const { id, trialId, sweepId, planId } = pickOf(runs, chance);
    const parents = [trialId, sweepId, planId].filter((one) => one !== undefined);
    // What is small is paused more often.
    return chance() < 0.8 || parents.length === 0 ? id : pickOf(parents, chance);
  }

  function act(): void {
    if (done()) return;
    const dice = chance();
    const id = someWork();
    const reason = 'by chance';
    if (dice < 0.45 && id !== undefined) {
      ask('pause', { kind: 'pause', id, reason });
      dueMs.set(id, world.now() + 200 + 2_500 * chance());
    } else if (dice < 0.65 && id !== undefined) {
      ask('prioritise', { kind: 'prioritise', id, priority: 10 * Math.floor(10 * chance()), reason });
    } else if (dice < 0.8) {
      const workerId = pickOf([...world.workers.keys()], chance);
      ask('drain', { kind: 'drain', workerId, undo: false, reason });
      dueMs.set(workerId, world.now() + 300 + 2_000 * chance());
    } else if (counts.urgent < urgentMax) {
      const min = 2 + Math.floor(3 * chance());
      const training = { epochs: 2 + Math.floor(4 * chance()), batch: 16, shards: 8 };
      const spec = teacher({ name: 'urgent', priority: 90, workers: { min, max: min + 1 }, training });
      ask('urgent', { kind: 'submit', documents: [{ kind: 'run', spec, facts: FACTS }], by: userOf('dora') });
    }
    world.later(2 * everyMs * chance(), act);
  }

  function giveBack(): void {
    const { state } = world.witness;
    for (const [id, atMs] of dueMs) {
      if (world.now() < atMs) continue;
      const isHeld = isPaused(state, id) || wholeRunWith(state, id)?.isHeld === true;
      const isOut = workerWith(state, id)?.drainsByRequest === true;
      if (isHeld) ask('resume', { kind: 'resume', id, reason: 'by chance' });
      if (isOut) ask('undo', { kind: 'drain', workerId: id, undo: true, reason: 'by chance' });
      if (!isHeld && !isOut && world.now() > atMs + LATE_MS) dueMs.delete(id);
    }
    if (!done() || dueMs.size > 0) world.later(GIVEN_BACK_MS, giveBack);
  }

  world.later(everyMs, act);
  world.later(GIVEN_BACK_MS, giveBack);
  return counts;
}
