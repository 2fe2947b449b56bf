// What becomes of inputs while something keeps the coordinator from deciding: a journal that is being read or
// is damaged, a store that is full, a lead that is lost. Pure. Where nothing is decided every input is refused,
// because its sender finds the leader, or dials again and repeats it. While the store is full a call is refused
// with the reason, because somebody waits for its answer and can ask again, and a fact waits for room.

import { FleetError } from '../../core/errors.ts';
import type { Input } from '../decisions/inputs.ts';

/** What keeps the coordinator from deciding now, and how much waits for it. */
export interface Standing {
  /** Nothing is decided here: the journal cannot be read, or another coordinator leads, or this one ends. */
  readonly halted: FleetError | undefined;
  /** The store takes nothing that is new. */
  readonly refusal: FleetError | undefined;
  /** An append is being tried again and again. */
  readonly isTroubled: boolean;
  /** Inputs that wait. */
  readonly queued: number;
  /** A tick is among them. */
  readonly tickWaits: boolean;
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
  const { halted, refusal, isTroubled, queued, tickWaits } = standing;
  const refuse = (error: FleetError): Admission => ({ kind: 'refuse', error });
  // One is enough, and while nothing can be decided the passing of time is no news.
  if (input.kind === 'tick' && (tickWaits || halted !== undefined)) return { kind: 'drop' };
  // A fact that waited here would be stale. Whoever reported it repeats it when it dials again.
  if (halted !== undefined) return refuse(halted);
  if (refusal !== undefined && isRefusedByStore(input, isTroubled)) return refuse(refusal);
  if (queued >= QUEUE_MAX)
    return refuse(
      new FleetError('resourceExhausted', `${queued} inputs wait for the journal; try again later`),
    );
  return { kind: 'queue' };
}

/** Somebody waits for the answer and can ask again. */
export function isCall(input: Input): boolean {
  switch (input.kind) {
    case 'submit':
    case 'cancel':
    case 'resume':
    case 'pause':
    case 'prioritise':
    case 'drain':
    case 'keep':
    case 'drop':
    case 'remove':
    case 'exported':
    case 'import':
    case 'imported':
      return true;
    case 'started':
    case 'attached':
    case 'reported':
    case 'lost':
    case 'leaving':
    case 'staying':
    case 'mended':
    case 'scored':
    case 'collected':
    case 'tokens':
    case 'configured':
    case 'refusals':
    case 'tick':
      return false;
  }
}

/**
 * What a full store refuses: new work always, because it would fill the store further; the other calls only
 * once the journal's reserve is used up as well, so that a person can still cancel what fills the store.
 */
export function isRefusedByStore(input: Input, isTroubled: boolean): boolean {
  return input.kind === 'submit' || input.kind === 'import' || (isCall(input) && isTroubled);
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
 * off or is away can be read again: `again`. Everything else ends what was done: `stop`. A lead that is lost is
 * among it, and makes a standby of this coordinator.
 */
export function consequenceOf(error: FleetError, during: 'reading' | 'writing'): 'again' | 'stop' {
  if (error.code === 'dataLoss') return 'again';
  // Writing repeats by itself whatever may pass; what it throws is final, except that the journal was cut off
  // by its repair.
  const mayPass = during === 'reading' ? error.retryable : error.code === 'cancelled';
  return mayPass ? 'again' : 'stop';
}
