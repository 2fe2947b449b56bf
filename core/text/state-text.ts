// A state and its reason beside each other. Decides that no word stands twice: a reason often begins with the state
// that it explains, as `queued: 1 of 2 workers` or `cancelled by a user` do.

/** `failed: loss is not finite`, `cancelled by a user`, or the state alone where there is no reason. */
export function stateText(state: string, reason: string): string {
  if (reason === '' || reason === state) return state;
  const next = reason.startsWith(state) ? reason[state.length] : undefined;
  return next === ':' || next === ' ' || next === ',' ? reason : `${state}: ${reason}`;
}

/** The state as what a sentence says of a thing: `has failed`, `was cancelled`, `is running`. */
export function stateClaim(state: string): string {
  return state === 'failed' ? 'has failed' : state === 'cancelled' ? 'was cancelled' : `is ${state}`;
}
