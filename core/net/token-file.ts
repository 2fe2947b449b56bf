// The file with the tokens of a fleet: who has one, with which role, until when. Decides its form, and what a
// new token looks like. It holds digests alone: a token is shown once, when it is made. Pure but for chance.

import { stringify } from 'yaml';
import { z } from 'zod';
import { sha256Hex } from '../digest.ts';
import { FleetError } from '../errors.ts';
import { randomHex } from '../rng.ts';
import { checkShape } from '../text/shape.ts';
import { problemAt, problemsError } from '../text/text-problems.ts';
import { readYaml } from '../text/yaml-text.ts';
import { ROLES, type Role } from './roles.ts';

/** Entries that a file may have; the lookup is by digest, so that more would cost memory alone. */
const TOKENS_MAX = 1_000;

/** The form of a token's name, which stands in the journal and in sentences; two are those of the settings. */
const TOKEN_NAME = /^(?!(?:fleet|workers)$)[a-z0-9][a-z0-9._@-]{0,62}$/;

const time = z.string().refine((text) => Number.isFinite(Date.parse(text)), {
  error: 'expected a time such as 2027-01-31T12:00:00Z',
});
const person = z.string().min(1).max(200);

const entrySchema = z.strictObject({
  name: z.string().regex(TOKEN_NAME, {
    error:
      'expected lower-case letters, digits and . _ @ -, at most 63, starting with a letter or digit, and neither fleet nor workers',
  }),
  role: z.enum(ROLES),
  /** SHA-256 of the token, hex. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/, { error: 'expected the 64 hex digits of a SHA-256' }),
  created: time,
  createdBy: person,
  /** From then on it is refused; absent: it does not expire. */
  expires: time.optional(),
  /** Since then it is refused. The entry stays, so that a refusal can say so. */
  revoked: time.optional(),
  revokedBy: person.optional(),
});
const fileSchema = z.strictObject({ tokens: z.array(entrySchema).max(TOKENS_MAX).default([]) });

/** A token as the file has it. Times are ISO 8601. */
export type TokenEntry = Readonly<z.infer<typeof entrySchema>>;

/** The entries of a file. Throws `invalidArgument` with what is wrong and where. `file` stands in the refusal. */
export function readTokens(text: string, file: string): readonly TokenEntry[] {
  const source = { name: file };
  const document = readYaml(text, source)[0];
  const value = document?.value ?? {};
  // Somebody may have put the token itself where its digest belongs.
  const parsed = checkShape(fileSchema, value, (path) => path.includes('sha256'));
  if (!parsed.ok)
    throw problemsError(
      parsed.problems.map((problem) => problemAt(problem, document?.placeOf(problem.path, problem.ofKey))),
      source,
    );
  const { tokens } = parsed.data;
  const names = new Set<string>();
  const digests = new Set<string>();
  for (const { name, sha256, revoked } of tokens) {
    const twice = digests.has(sha256) ? `the digest of ${name}` : names.has(name) ? name : undefined;
    if (twice !== undefined)
      throw new FleetError('invalidArgument', `${file}: tokens: ${twice} is there twice; remove one of them`);
    digests.add(sha256);
    if (revoked === undefined) names.add(name);
  }
  return tokens;
}

/** The text of a file with these entries. */
export const tokensText = (tokens: readonly TokenEntry[]): string =>
  `# Who may call this fleet: digests of tokens, made by \`pocketfleet token\`. The coordinator reads it again when it changes.\n${stringify({ tokens })}`;

/** A token that nobody else has. Its beginning names what it is for, so that a scanner of secrets finds it. */
export const newToken = (role: Role): string => `pf_${role}_${randomHex(24)}`;

/** The first hex digits of the SHA-256 of a token, by which it is named. */
export const fingerprintOf = (sha256: string): string => sha256.slice(0, 12);

/** SHA-256 of a token, hex. */
export const tokenDigest = (token: string): string => sha256Hex(Buffer.from(token));

/** With one more entry. Throws when its name is taken by a token that is accepted. */
export function withToken(
  tokens: readonly TokenEntry[],
  entry: TokenEntry,
  nowMs: number,
): readonly TokenEntry[] {
  const { name } = entry;
  if (tokens.some((one) => one.name === name && one.revoked === undefined && !hasExpired(one, nowMs)))
    throw new FleetError(
      'alreadyExists',
      `there is a token ${name}; choose another name, or revoke it first: pocketfleet token revoke ${name}`,
    );
  const kept = tokens.filter(
    (one) => (one.name !== name || one.revoked !== undefined) && !isForgotten(one, nowMs),
  );
  if (kept.length >= TOKENS_MAX)
    throw new FleetError(
      'resourceExhausted',
      `the file has ${TOKENS_MAX} tokens, and there may be no more; revoke some, or delete entries`,
    );
  return [...kept, entry];
}

/** With the entry of this name or fingerprint revoked. Throws when there is none that is accepted. */
export function withoutToken(
  tokens: readonly TokenEntry[],
  named: string,
  revoked: { readonly at: string; readonly by: string },
): { readonly tokens: readonly TokenEntry[]; readonly entry: TokenEntry } {
  const isMeant = (one: TokenEntry) =>
    one.revoked === undefined && (one.name === named || fingerprintOf(one.sha256) === named);
  const found = tokens.find(isMeant);
  if (found === undefined)
    throw new FleetError(
      'notFound',
      `no token that is in use has the name or fingerprint ${named}; see \`pocketfleet token list\``,
    );
  const entry: TokenEntry = { ...found, revoked: revoked.at, revokedBy: revoked.by };
  return { tokens: tokens.map((one) => (one === found ? entry : one)), entry };
}

/** Whether its time is over. */
export const hasExpired = ({ expires }: TokenEntry, nowMs: number): boolean =>
  expires !== undefined && Date.parse(expires) <= nowMs;

/** How long a token that was revoked or has expired stays in the file, milliseconds. */
const FORGOTTEN_MS = 90 * 86_400_000;

const isForgotten = ({ revoked, expires }: TokenEntry, nowMs: number): boolean =>
  [revoked, expires].some((text) => text !== undefined && Date.parse(text) + FORGOTTEN_MS <= nowMs);
