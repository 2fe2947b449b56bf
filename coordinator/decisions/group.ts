// Deciding together what waits together: each input upon the state that the one before leads to, then the
// proposals that were put off, and at the end who is placed where, once for all of them. Decides how much is
// done before the caller gets its turn, and what becomes of an input that makes a decision fail. What follows
// without an input may fail in the same way: then nothing of it happens, and everything else goes on.

import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Event } from '../model/events.ts';
import type { Observed } from '../model/observed.ts';
import type { State } from '../model/state.ts';
import { type Decision, decideInput, decideProposals, placeRuns } from './decide.ts';
import { clearDesk, type Desk, dropUndecided, renewSlice } from './desk.ts';
import { beginDraft, emit, send } from './draft.ts';
import type { Effect, Input, Report } from './inputs.ts';

/** An input with what was decided about it. */
export interface Decided<W> {
  readonly waiting: W;
  readonly decision: Decision;
}

/** What follows from some inputs together. */
export interface GroupDecision<W> {
  /** The state with all events. */
  readonly state: State;
  readonly decided: readonly Decided<W>[];
  /** Inputs that were refused, each with the reason; they have left no trace but what `events` says of them. */
  readonly refused: readonly { readonly waiting: W; readonly error: FleetError }[];
  /** All events, in order. */
  readonly events: readonly Event[];
  /** Places between events at which one decision ends: whatever is stored apart is cut there. */
  readonly ends: readonly number[];
  /** Effects that belong to no single input, after those of the inputs. */
  readonly effects: readonly Effect[];
  /**
   * Mistakes of this program in what follows without an input. They would come again after a restart, so that
   * this coordinator goes on without; somebody must learn of them.
   */
  readonly failures: readonly FleetError[];
  /** Not all has been decided that could be: the caller yields, and asks again without inputs. */
  readonly isUnfinished: boolean;
}

/**
 * Decides inputs. A refused input leaves no trace; one that makes the decision fail by a mistake of this
 * program is refused too, and the journal says so, because it would come again after each restart.
 * `sizeRefusalOf`: why these events do not go into one message; what is submitted takes effect as a whole or
 * not at all.
 */
export function decideGroup<W extends { readonly input: Input }>(
  before: State,
  inputs: readonly W[],
  observe: () => Observed,
  desk: Desk,
  sizeRefusalOf?: (events: readonly Event[]) => FleetError | undefined,
): GroupDecision<W> {
  renewSlice(desk);
  let state = before;
  const events: Event[] = [];
  const effects: Effect[] = [];
  const decided: Decided<W>[] = [];
  const refused: { readonly waiting: W; readonly error: FleetError }[] = [];
  const ends: number[] = [];
  const add = (decision: Decision) => {
    state = decision.state;
    for (const event of decision.events) events.push(event);
    ends.push(events.length);
  };
  for (const waiting of inputs) {
    try {
      const decision = decideInput(state, waiting.input, observe(), desk);
      const tooLarge = waiting.input.kind === 'submit' ? sizeRefusalOf?.(decision.events) : undefined;
      if (tooLarge !== undefined) {
        dropUndecided(desk);
        throw tooLarge;
      }
      add(decision);
      decided.push({ waiting, decision });
    } catch (caught) {
      const error = toFleetError(caught);
      if (!(caught instanceof FleetError)) {
        clearDesk(desk);
        const refusal = refuse(state, { input: waiting.input, error, observed: observe(), desk });
        add(refusal);
        effects.push(...refusal.effects);
      }
      refused.push({ waiting, error });
    }
  }
  const failures: FleetError[] = [];
  const follow = (doing: string, decide: () => Decision) => {
    try {
      const decision = decide();
      add(decision);
      effects.push(...decision.effects);
    } catch (caught) {
      failures.push(toFleetError(caught, doing));
      clearDesk(desk);
    }
  };
  if (desk.looksAtAll || (inputs.length === 0 && desk.proposing.size > 0))
    follow('deciding what follows for everything that is open', () =>
      decideProposals(state, observe(), desk),
    );
  const isBeat = inputs.some(({ input }) => input.kind === 'tick');
  follow('placing runs', () => placeRuns(state, observe(), desk, isBeat));
  const isUnfinished = desk.proposing.size > 0;
  return { state, decided, refused, events, ends, effects, failures, isUnfinished };
}

function refuse(
  state: State,
  { input, error, observed, desk }: { input: Input; error: FleetError; observed: Observed; desk: Desk },
): Decision {
  const draft = beginDraft(state, observed, desk);
  const about = input.kind === 'reported' ? { workerId: input.workerId, ...runIdOf(input.report) } : {};
  emit(draft, { kind: 'input.refused', input: input.kind, ...about, reason: error.message });
  // The worker would repeat its report for ever.
  if (input.kind === 'reported' && input.sequence > 0)
    send(draft, input.workerId, { kind: 'acknowledge', sequence: input.sequence });
  return { state: draft.state, events: draft.events, effects: draft.effects };
}

function runIdOf(report: Report): { readonly runId?: string } {
  return 'runId' in report ? { runId: report.runId } : {};
}
