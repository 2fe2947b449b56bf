// What the search of a sweep does between two moves, in words: that it waits for a result, or has long looked for a
// candidate. Decides from when that is worth a sentence.

import { scoresIn } from '../../core/spec/screening.ts';
import { questionOf } from '../decisions/moves.ts';
import { trialsWait } from '../decisions/quotas.ts';
import { parallelismOf } from '../decisions/sweeps.ts';
import { shownState } from '../model/holds.ts';
import { allNumbers, numberAt } from '../model/roll.ts';
import { hasEnded, type State, type SweepState, trialOf, wholeRunWith } from '../model/state.ts';
import { NO_SCREENING } from '../strategies/screening.ts';
import type { Cursor } from '../strategies/search.ts';
import { searchOf } from '../strategies/strategies.ts';

/** What the next move of a sweep waits for. */
interface SearchWait {
  readonly text: string;
  /** The number of the trial whose result it is, where it is one. */
  readonly trial?: number;
}

/**
 * What the next move of a sweep waits for: the trial whose result it has to see, results of a rung, or open trials of
 * its owner; undefined while its search waits for none of these, or has as many trials open as it may have.
 */
export function searchWait(state: State, sweep: SweepState): SearchWait | undefined {
  const search = searchOf(sweep.spec);
  const mayBegin = sweep.trialsProposed < sweep.trialsTotal;
  const mayMove = mayBegin || search.promotes;
  if (hasEnded(sweep) || shownState(state, sweep).state === 'paused' || !mayMove) return undefined;
  if (sweep.openTrials.size >= parallelismOf(state, sweep)) return undefined;
  const quota = trialsWait(state, sweep);
  if (quota !== undefined) return { text: quota };
  const late = search.heldBack(sweep.search);
  if (late === undefined)
    return search.promotes && !(mayBegin && sweep.search.cursor.walked === undefined)
      ? strategyWait(state, sweep, mayBegin)
      : undefined;
  const { results, move, next, sees, trial } = late;
  const behind = `${results} ${results === 1 ? 'result' : 'results'} behind it`;
  return {
    text: `waits for trial-${numberAt(sweep.trialIds, trial)} (move ${move}), ${behind}: move ${next} sees the results of moves up to ${sees}`,
    trial,
  };
}

/** Asked again only once the sweep has changed. */
const waits = new WeakMap<SweepState, SearchWait | null>();

/** What a strategy that begins no trial waits for. */
function strategyWait(state: State, sweep: SweepState, mayBegin: boolean): SearchWait | undefined {
  const known = waits.get(sweep);
  if (known !== undefined) return known ?? undefined;
  const question = questionOf({ state }, sweep, { draws: 1, mayBegin, drawn: [] });
  const answer = searchOf(sweep.spec).ask(sweep.search, question);
  const { kind } = answer;
  const wait =
    kind === 'wait'
      ? { text: `waits: ${answer.reason}`, ...(answer.trial === undefined ? {} : { trial: answer.trial }) }
      : undefined;
  waits.set(sweep, wait ?? null);
  return wait;
}

/** That candidates are being scored before any of them is evaluated; undefined where none are. */
export function scoringText({ screening, spec }: SweepState): string | undefined {
  const { group, drawn, cut } = screening ?? NO_SCREENING;
  if (group === undefined || group.left !== undefined || spec.screening === undefined) return undefined;
  const scored = group.candidates.filter((one) => one.scored !== undefined).length;
  return `scores group ${group.number}: ${scored} of ${group.candidates.length} candidates have theirs (${scoresIn(spec.screening).join(', ')}); of ${drawn} drawn so far ${cut} are not evaluated`;
}

/** Draws without a candidate after which a sweep shows how rare candidates are. */
const MISSES_SHOWN = 1_000;

/**
 * That the strategy of a sweep has long looked for its next candidate; undefined while it has not. `looked`: how far
 * it has looked since its last move.
 */
export function looksFor(sweep: SweepState, looked: Cursor | undefined): string | undefined {
  if (looked === undefined) return undefined;
  const { draws, walked = 0, skipped } = looked;
  if (skipped.count < MISSES_SHOWN) return undefined;
  return `looks for another candidate: ${sweep.trialsProposed} of ${draws + walked} draws were new and within the constraints, none of the last ${skipped.count} (the first of these: ${skipped.firstReason})`;
}

/** The searches of a sweep over seeds, each with its seed and state; undefined where it has none or has ended. */
export function searchesText(state: State, sweep: SweepState): string | undefined {
  if (sweep.spec.strategy.kind !== 'darts' || hasEnded(sweep)) return undefined;
  const searches = [...allNumbers(sweep.trialIds)].flatMap((number) => {
    const { seed, searchRunIds = [] } = trialOf(state, `trial-${number}`);
    const run = wholeRunWith(state, searchRunIds.at(-1) ?? '');
    return run === undefined ? [] : [{ seed, run }];
  });
  const done = searches.filter(({ run }) => run.state === 'done').length;
  const each = searches.map(({ seed, run }) => `${run.id} from seed ${seed} ${run.state}`).join(', ');
  return `${done} of ${sweep.trialsTotal} searches done: ${each}`;
}

/** That latencies of several device classes stand beside each other; undefined where they do not. */
export function classesText({
  id,
  measuredOn = {},
}: Pick<SweepState, 'id' | 'measuredOn'>): string | undefined {
  const counts = Object.entries(measuredOn);
  if (counts.length < 2) return undefined;
  const each = counts.map(([deviceClass, count]) => `${count} on ${deviceClass}`).join(', ');
  return `${id} has latencies of ${counts.length} device classes, which do not compare: ${each}; \`require\` keeps a sweep to devices of one kind`;
}
