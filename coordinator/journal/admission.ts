// What becomes of inputs while something keeps the coordinator from deciding: a journal that is being read or
// is damaged, a store that is full, a lead that is lost. Pure. The rule behind all of it: a call has somebody
// who waits for its answer and can ask again, so it is refused at once with the reason; everything else is a
// fact that nobody will repeat, so it waits.

import { FleetError } from '../../core/errors.ts';
import { type Decision, step } from '../decisions/decide.ts';
import type { Input } from '../decisions/inputs.ts';
import type { Observed } from '../model/observed.ts';
import type { State } from '../model/state.ts';

/** What keeps the coordinator from deciding now, and how much waits for it. */
export interface Standing {
  /** It has ended for good: the lead is lost, or it was closed. */
  readonly stopped: FleetError | undefined;
  /** The journal is not readable, or not yet. */
  readonly halted: FleetError | undefined;
  /** The store takes nothing that is new. */
  readonly refusal: FleetError | undefined;
  /** An append is being tried again and again. */
  readonly isTroubled: boolean;
  /** A group is being decided or appended. */
  readonly isWorking: boolean;
  /** Inputs that wait. */
  readonly queued: number;
}

/** An input waits for its turn, is refused with the reason, or is dropped because it says nothing. */
export type Admission =
  | { readonly kind: 'queue' }
  | { readonly kind: 'refuse'; readonly error: FleetError }
  | { readonly kind: 'drop' };

/** Inputs that may wait; beyond it the caller has to come back. */
const QUEUE_MAX = 100_000;

/** What becomes of an input that comes now. */
export function admissionOf(input: Input, standing: Standing): Admission {
  const { stopped, halted, refusal, isTroubled, isWorking, queued } = standing;
  const refuse = (error: FleetError): Admission => ({ kind: 'refuse', error });
  if (stopped !== undefined) return refuse(stopped);
  // A repair takes a person: a fact that waited for it would be stale. Whoever reported it repeats it when it
  // dials again.
  if (halted?.code === 'dataLoss') return refuse(halted);
  if (halted !== undefined && isCall(input)) return refuse(halted);
  if (refusal !== undefined && isRefusedByStore(input, isTroubled)) return refuse(refusal);
  if (queued >= QUEUE_MAX)
    return refuse(
      new FleetError('resourceExhausted', `${queued} inputs wait for the journal; try again later`),
    );
  // While nothing can be decided the passing of time is no news.
  if (input.kind === 'tick' && (halted !== undefined || (isWorking && isTroubled))) return { kind: 'drop' };
  return { kind: 'queue' };
}

/** Somebody waits for the answer and can ask again. */
export function isCall(input: Input): boolean {
  switch (input.kind) {
    case 'submit':
    case 'cancel':
    case 'resume':
      return true;
    case 'started':
    case 'attached':
    case 'reported':
    case 'lost':
    case 'leaving':
    case 'tick':
      return false;
  }
}

/**
 * What a full store refuses: new work always, because it would fill the store further; the other calls only
 * once the journal's reserve is used up as well, so that a person can still cancel what fills the store.
 */
export function isRefusedByStore(input: Input, isTroubled: boolean): boolean {
  return input.kind === 'submit' || (isCall(input) && isTroubled);
}

/** An input with what was decided about it. */
export interface Decided<W> {
  readonly waiting: W;
  readonly decision: Decision;
}

/**
 * Decides inputs one after the other, each upon the state that the one before leads to. A refused input
 * leaves no trace in the state; any other error is a mistake of this program and is thrown.
 */
export function decideAll<W extends { readonly input: Input }>(
  before: State,
  inputs: readonly W[],
  observe: () => Observed,
): {
  readonly state: State;
  readonly decided: readonly Decided<W>[];
  readonly refused: readonly { readonly waiting: W; readonly error: FleetError }[];
} {
  let state = before;
  const decided: Decided<W>[] = [];
  const refused: { readonly waiting: W; readonly error: FleetError }[] = [];
  for (const waiting of inputs) {
    try {
      const decision = step(state, waiting.input, observe());
      state = decision.state;
      decided.push({ waiting, decision });
    } catch (caught) {
      if (!(caught instanceof FleetError)) throw caught;
      refused.push({ waiting, error: caught });
    }
  }
  return { state, decided, refused };
}

/**
 * What follows for inputs whose group could not be appended. A full store has stored nothing of it: calls are
 * refused, facts wait for room in their old order, and a tick is forgotten because the next one comes by
 * itself. With every other error the state is not ours to continue, so that all are refused.
 */
export function afterFailedAppend<W extends { readonly input: Input }>(
  error: FleetError,
  inputs: readonly W[],
): { readonly refused: readonly W[]; readonly again: readonly W[] } {
  if (error.code !== 'resourceExhausted') return { refused: inputs, again: [] };
  return {
    refused: inputs.filter(({ input }) => isCall(input)),
    again: inputs.filter(({ input }) => !isCall(input) && input.kind !== 'tick'),
  };
}

/**
 * What an error of the journal means, whoever met it. A damaged journal can be repaired, and one that was cut
 * off or is away can be read again: `again`. Everything else, above all a lead that is lost, ends this
 * coordinator: `stop`.
 */
export function consequenceOf(error: FleetError, during: 'reading' | 'writing'): 'again' | 'stop' {
  if (error.code === 'dataLoss') return 'again';
  // Writing repeats by itself whatever may pass; what it throws is final, except that the journal was cut off
  // by its repair.
  const mayPass = during === 'reading' ? error.retryable : error.code === 'cancelled';
  return mayPass ? 'again' : 'stop';
}
