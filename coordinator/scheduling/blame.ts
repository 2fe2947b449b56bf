// Whether a run kills the workers that hold it: a native crash takes its whole process along, and nothing is
// left to report which run it was. Decides when a loss speaks against a run, when a suspect is kept alone,
// and when it has to end, so that a run that crashes wherever it goes cannot take a fleet down for ever.
// Pure.
//
// A loss speaks against a run unless one of these explains it better:
//
// - the run got further since the last loss: then it works, and workers are lost for other reasons;
// - the worker was gone before this gang was formed: several workers lost in one outage are one incident;
// - the worker held other runs: it may have been any of them. After ISOLATE_AFTER such losses without
//   progress the run is placed alone, so that the next loss is its own or it is cleared by getting further.

import type { Observed } from '../model/observed.ts';
import type { Blame, RunState } from '../model/state.ts';

/** Workers that a run may take down by itself without getting further. */
const LOSSES_MAX = 5;

/** Losses without progress after which a run shares no worker. */
const ISOLATE_AFTER = 2;

/** Committed steps that are known of a run: as last reported, or as stored. */
function knownStep(run: RunState, observed: Observed): number {
  return Math.max(observed.stepOf?.(run.id) ?? 0, run.checkpoints.at(-1)?.step ?? 0);
}

/**
 * What the loss of a worker means for a run that it held, with the reason; undefined when it means nothing.
 */
export function blameFor(
  run: RunState,
  loss: {
    readonly workerId: string;
    readonly why: string;
    /** When the worker was last there; undefined when this coordinator has never seen it. */
    readonly goneAtMs: number | undefined;
    /** Other runs that it held. */
    readonly others: readonly string[];
  },
  observed: Observed,
): { readonly blame: Blame; readonly reason: string } | undefined {
  const { workerId, goneAtMs, others } = loss;
  if (goneAtMs === undefined || goneAtMs < run.changedAtMs) return undefined;
  const step = knownStep(run, observed);
  if (step > run.blame.step)
    return {
      blame: { losses: 0, shared: 0, step },
      reason: `it had got to step ${step} before ${workerId} was lost`,
    };
  const alone = others.length === 0;
  const blame = {
    losses: run.blame.losses + (alone ? 1 : 0),
    shared: run.blame.shared + (alone ? 0 : 1),
    step: run.blame.step,
  };
  const reason = alone
    ? `${workerId} was lost holding nothing else (${loss.why}), and it has not got beyond step ${step}: loss ${blame.losses} of ${LOSSES_MAX} that it may cause`
    : `${workerId} was lost holding it and ${others.join(', ')} (${loss.why}), and it has not got beyond step ${step}${blame.shared >= ISOLATE_AFTER ? '; from now on it is placed alone' : ''}`;
  return { blame, reason };
}

/** The run has taken down as many workers as it may. */
export function isConvicted(blame: Blame): boolean {
  return blame.losses >= LOSSES_MAX;
}

/** Losses speak against the run, so that it may be a suspect. */
export function isBlamed({ blame }: RunState): boolean {
  return blame.losses + blame.shared >= ISOLATE_AFTER;
}

/** The run may be what kills its workers: it shares none with other runs until it has got further. */
export function isSuspect(run: RunState, observed: Observed): boolean {
  return isBlamed(run) && knownStep(run, observed) <= run.blame.step;
}
