// What changed about the tokens of the file since the journal was last written to. Decides that a token which
// is accepted is noted once, and once more when it is refused, whoever led in between.

import type { Caller } from '../model/caller.ts';
import { lookup, valuesOf } from '../model/persistent-map.ts';
import { type Draft, emit } from './draft.ts';
import type { ListedToken } from './inputs.ts';

/** Notes the difference between what the file holds now and what the journal knows. */
export function noteTokens(draft: Draft, listed: readonly ListedToken[]): void {
  const accepted = new Map(listed.filter((one) => !one.isRevoked).map((one) => [one.fingerprint, one]));
  for (const known of [...valuesOf(draft.state.tokens)]) {
    if (accepted.has(known.fingerprint)) continue;
    const revokedBy = listed.find((one) => one.fingerprint === known.fingerprint)?.revokedBy;
    emit(draft, {
      kind: 'token.revoked',
      token: known,
      ...(revokedBy === undefined ? {} : { revokedBy }),
    });
  }
  for (const { name, role, fingerprint, createdBy, expires } of accepted.values()) {
    if (lookup(draft.state.tokens, fingerprint) !== undefined) continue;
    const token: Caller = { name, role, fingerprint };
    emit(draft, { kind: 'token.created', token, createdBy, ...(expires === undefined ? {} : { expires }) });
  }
}
