// Somebody who calls, as decisions and the journal know them.

/** Whose call it was, by its token. */
export interface Caller {
  /** The name of the token. */
  readonly name: string;
  readonly role: string;
  /** The first 12 hex digits of the SHA-256 of the token. */
  readonly fingerprint: string;
}
