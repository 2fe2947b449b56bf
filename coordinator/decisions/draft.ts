// A decision in the making: the events decided so far, the state as they leave it, and the effects that
// follow once they are on disk. A draft lives within one step(): later parts of a decision see what earlier
// parts have decided, and nobody else sees any of it.

import type { Decided, Event } from '../model/events.ts';
import { evolve } from '../model/evolve.ts';
import type { Observed } from '../model/observed.ts';
import { idInPlace, type Noun, type State } from '../model/state.ts';
import type { Command, Effect } from './inputs.ts';

/** The decision so far. */
export interface Draft {
  /** With the events decided so far; replaced by each of them. */
  state: State;
  readonly context: Observed;
  /** In the order in which they were decided. */
  readonly events: Event[];
  /** In the order in which they are performed. */
  readonly effects: Effect[];
}

/** Decides an event: it gets the time of this decision, and the draft's state follows it at once. */
export function emit(draft: Draft, decided: Decided): void {
  const event = { ...decided, atMs: draft.context.now } as Event;
  draft.state = evolve(draft.state, event);
  draft.events.push(event);
}

/** Sends a command to a worker once the events are on disk. */
export function send(draft: Draft, workerId: string, command: Command): void {
  draft.effects.push({ kind: 'send', workerId, command });
}

/** The next free id of a noun: the one after all that its table holds, since tables never shrink. */
export function nextId(state: State, noun: Noun): string {
  return idInPlace(state, noun, state[`${noun}s`].size + 1);
}
