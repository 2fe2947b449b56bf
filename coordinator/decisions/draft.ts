// A decision in the making: the events decided so far, the state as they leave it, the effects that follow
// once they are on disk, and what has to be looked at because of them. A draft lives within one decision:
// later parts see what earlier parts have decided, and nobody else sees any of it.

import type { Caller } from '../model/caller.ts';
import type { Decided, Event } from '../model/events.ts';
import { evolve } from '../model/evolve.ts';
import type { Observed } from '../model/observed.ts';
import { type Noun, type State, wholeRunWith } from '../model/state.ts';
import { Edit } from '../model/table.ts';
import type { Board } from '../scheduling/board.ts';
import { type Agenda, createAgenda, noteEvent } from './agenda.ts';
import type { Desk } from './desk.ts';
import type { Command, Effect } from './inputs.ts';

/** The decision so far. */
export interface Draft {
  /** With the events decided so far; replaced by each of them. */
  state: State;
  /** Under which the tables of `state` are changed in place; another one once somebody else has seen them. */
  edit: Edit;
  readonly context: Observed;
  readonly desk: Desk;
  /** Whose call is being decided; undefined while what follows from it is. */
  by: Caller | undefined;
  /** In the order in which they were decided. */
  readonly events: Event[];
  /** In the order in which they are performed. */
  readonly effects: Effect[];
  /** What may have to go on because of the events. */
  readonly agenda: Agenda;
}

/**
 * A draft upon this state. Time never runs backwards: an event is not earlier than the one before it. Time that passed
 * on the clock alone is told before anything else, once.
 */
export function beginDraft(state: State, context: Observed, desk: Desk): Draft {
  const draft = emptyDraft(state, context, desk);
  const { jump } = context;
  const fromMs = Math.max(jump?.fromMs ?? 0, state.lastMs);
  if (jump !== undefined && fromMs < jump.toMs)
    emit(draft, { kind: 'clock.jumped', ms: draft.context.now - fromMs, reason: jump.reason });
  return draft;
}

function emptyDraft(state: State, context: Observed, desk: Desk): Draft {
  const now = Math.max(context.now, state.lastMs);
  return {
    state,
    edit: new Edit(),
    context: now === context.now ? context : { ...context, now },
    desk,
    by: undefined,
    events: [],
    effects: [],
    agenda: createAgenda(),
  };
}

/** Events with which a gang ends, or another takes its place. */
const OF_GANGS: ReadonlySet<Event['kind']> = new Set([
  ...(['run.assigned', 'run.requeued', 'run.paused', 'run.halted', 'embedding.ended'] as const),
  ...(['run.finished', 'run.failed', 'run.cancelled'] as const),
]);

/** Workers of the run's gang that are none of it after this event, and that the event does not name. */
function leaversOf(state: State, decided: Decided): readonly string[] {
  if (!OF_GANGS.has(decided.kind) || !('runId' in decided) || decided.runId === undefined) return [];
  const gang = wholeRunWith(state, decided.runId)?.gang ?? [];
  const stay = 'members' in decided ? decided.members.map(({ workerId }) => workerId) : [];
  const named = 'workerId' in decided ? decided.workerId : undefined;
  return gang.flatMap(({ workerId }) => (workerId === named || stay.includes(workerId) ? [] : [workerId]));
}

/**
 * Decides an event: it gets the time of this decision and the name of the caller, and the draft's state follows it
 * at once. A spec belongs to nobody: another submission of the same text refers to it too.
 */
export function emit(draft: Draft, decided: Decided): void {
  const { by } = draft;
  const named = by === undefined || decided.kind === 'spec.recorded' ? {} : { by };
  const left = leaversOf(draft.state, decided);
  const gone = left.length === 0 ? {} : { left };
  const event = { ...decided, ...gone, ...named, atMs: draft.context.now } as Event;
  draft.state = evolve(draft.state, event, draft.edit);
  draft.events.push(event);
  noteEvent(draft.agenda, draft.state, event);
}

/** The board of the draft's state as it is now. */
export function boardOf(draft: Draft): Board {
  // The board remembers this state to compare it with the next one: it must not change any more.
  draft.edit = new Edit();
  draft.desk.board.follow(draft.state, draft.context);
  return draft.desk.board;
}

/** Sends a command to a worker once the events are on disk. */
export function send(draft: Draft, workerId: string, command: Command): void {
  draft.effects.push({ kind: 'send', workerId, command });
}

/** The next free id of a noun: one more than the highest that was ever given out. */
export function nextId(state: State, noun: Noun): string {
  return `${noun}-${state.numbers[noun] + 1}`;
}
