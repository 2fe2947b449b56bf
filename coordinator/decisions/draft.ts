// A decision in the making: the events decided so far, the state as they leave it, and the effects that follow once they
// are on disk. Local to one step(); what is emitted is decided elsewhere.

import type { Decided, Event } from '../model/events.ts';
import { evolve } from '../model/evolve.ts';
import type { Observed } from '../model/observed.ts';
import { idInPlace, type Noun, type State } from '../model/state.ts';
import type { Command, Effect } from './inputs.ts';

export interface Draft {
  state: State;
  readonly context: Observed;
  readonly events: Event[];
  readonly effects: Effect[];
}

export function emit(draft: Draft, decided: Decided): void {
  const event = { ...decided, atMs: draft.context.now } as Event;
  draft.state = evolve(draft.state, event);
  draft.events.push(event);
}

export function send(draft: Draft, workerId: string, command: Command): void {
  draft.effects.push({ kind: 'send', workerId, command });
}

/** The next free id of a noun; the tables never shrink. */
export function nextId(state: State, noun: Noun): string {
  return idInPlace(state, noun, state[`${noun}s`].size + 1);
}
