// The tokens that a server accepts, as they are now. Decides where they come from (the settings of a program,
// files with one token, the file with the tokens of a fleet), when files are read again, and that a file which
// cannot be read or understood leaves those that were known in force.

import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type Clock, every, systemClock } from '../clock.ts';
import { FleetError, toFleetError } from '../errors.ts';
import type { Principal, Role } from './roles.ts';
import { fingerprintOf, hasExpired, readTokens, type TokenEntry, tokenDigest } from './token-file.ts';

/** Where the tokens come from; an empty text is none. */
export interface TokenSources {
  /** The administrator's token, or the file that holds it. */
  readonly token?: string;
  readonly tokenFile?: string;
  /** The token of all workers, or the file that holds it. */
  readonly workerToken?: string;
  readonly workerTokenFile?: string;
  /** The file of `pocketfleet token`. */
  readonly tokensFile?: string;
}

/** Why a token is not accepted: a code for metrics, whose token it was, and a sentence. */
export interface TokenRefusal {
  readonly reason: 'unknown' | 'expired' | 'revoked';
  readonly principal?: Principal;
  readonly error: FleetError;
}

/** A token of a file. */
export type Listed = Omit<TokenEntry, 'created'>;

/** The tokens of one server. */
export interface TokenBook {
  /** No token is configured, and no call needs one. */
  readonly isOpen: boolean;
  /** Whose token has this digest (`tokenDigest`), or why it is refused. */
  find(digest: string): Principal | TokenRefusal;
  /**
   * The tokens that come from files, with those that are refused; the same list until a file changes. Of a file with
   * one token the path stands for who made it.
   */
  readonly listed: readonly Listed[];
  /** Why a file could not be read again; undefined: all of them hold. */
  readonly trouble: string | undefined;
  /** Called about once a second, after files were looked at. The returned function ends that. */
  onLook(listener: () => void): () => void;
  close(): void;
}

/** How often files are looked at, milliseconds: a revoked token is refused within two seconds. */
const LOOK_MS = 1_000;

/**
 * Reads the files once and then again and again. Throws when one cannot be read, except for a file of tokens
 * that is not there yet: it has no tokens.
 */
export function createTokenBook(
  sources: TokenSources,
  options: { readonly clock?: Clock; readonly onTrouble?: (trouble: string | undefined) => void } = {},
): TokenBook {
  const { clock = systemClock } = options;
  const { token = '', tokenFile = '', workerToken = '', workerTokenFile = '', tokensFile = '' } = sources;
  const single = [
    watchedFile(tokenFile, (text) => singleToken(text, tokenFile)),
    watchedFile(workerTokenFile, (text) => singleToken(text, workerTokenFile)),
  ] as const;
  const file = watchedFile(tokensFile, (text) => readTokens(text, tokensFile), []);
  const watched = [...single, file];
  const listeners = new Set<() => void>();
  let known = new Map<string, Principal | TokenEntry>();
  let listed: readonly Listed[] = [];
  let trouble: string | undefined;
  const gather = () => {
    known = new Map();
    for (const entry of file.value ?? []) known.set(entry.sha256, entry);
    // The settings of the program come last: no file can take them away.
    add('workers', 'worker', [workerToken, single[1].value]);
    add('fleet', 'admin', [token, single[0].value]);
    listed = [
      ...(file.value ?? []),
      ...fileOf('workers', 'worker', workerTokenFile, single[1].value),
      ...fileOf('fleet', 'admin', tokenFile, single[0].value),
    ];
  };
  const add = (name: string, role: Role, tokens: readonly (string | undefined)[]) => {
    for (const one of tokens) {
      if (one === undefined || one === '') continue;
      const digest = tokenDigest(one);
      known.set(digest, { name, role, fingerprint: fingerprintOf(digest) });
    }
  };
  const look = async () => {
    const news = await Promise.all(watched.map((one) => one.look()));
    if (news.includes(true)) gather();
    const now = watched.map((one) => one.trouble).filter((text) => text !== undefined);
    const told = now.length === 0 ? undefined : now.join('; ');
    if (told !== trouble) options.onTrouble?.(told);
    trouble = told;
    for (const listener of listeners) listener();
  };
  gather();
  const hasFiles = [tokenFile, workerTokenFile, tokensFile].some((path) => path !== '');
  const stop = hasFiles ? every(LOOK_MS, () => void look()) : () => undefined;
  return {
    isOpen: known.size === 0 && !hasFiles,
    find(digest) {
      const found = known.get(digest);
      return found === undefined ? UNKNOWN : 'fingerprint' in found ? found : entryOf(found, clock.now());
    },
    get listed() {
      return listed;
    },
    get trouble() {
      return trouble;
    },
    onLook(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      stop();
      listeners.clear();
    },
  };
}

const fileOf = (name: string, role: Role, path: string, token: string | undefined): readonly Listed[] =>
  token === undefined ? [] : [{ name, role, sha256: tokenDigest(token), createdBy: path }];

const UNKNOWN: TokenRefusal = {
  reason: 'unknown',
  error: new FleetError('unauthenticated', 'the token is none of this fleet'),
};

/** Whether a token was refused. */
export const isRefused = (found: Principal | TokenRefusal): found is TokenRefusal => 'error' in found;

function entryOf(entry: TokenEntry, nowMs: number): Principal | TokenRefusal {
  const { name, role, sha256, revoked, expires } = entry;
  const principal: Principal = { name, role, fingerprint: fingerprintOf(sha256) };
  const refused = (reason: 'expired' | 'revoked', at: string | undefined): TokenRefusal => ({
    reason,
    principal,
    error: new FleetError(
      'unauthenticated',
      `the token ${name} (${role}, ${principal.fingerprint}) ${reason === 'expired' ? 'expired at' : 'was revoked at'} ${at}; ask an administrator for another, made by \`pocketfleet token create\``,
    ),
  });
  if (revoked !== undefined) return refused('revoked', revoked);
  return hasExpired(entry, nowMs) ? refused('expired', expires) : principal;
}

interface WatchedFile<T> {
  readonly value: T | undefined;
  readonly trouble: string | undefined;
  /** Reads the file again, and resolves with whether its value is another one. */
  look(): Promise<boolean>;
}

/** `missing`: what a file that is not there at the start means; without it that is a failure. */
function watchedFile<T>(path: string, read: (text: string) => T, missing?: T): WatchedFile<T> {
  if (path === '') return { value: undefined, trouble: undefined, look: async () => false };
  let text: string | undefined;
  let value: T | undefined;
  let trouble: string | undefined;
  try {
    text = readFileSync(path, 'utf8');
    value = read(text);
  } catch (caught) {
    const error = toFleetError(caught, 'tokens');
    if (missing === undefined || error.code !== 'notFound' || text !== undefined) throw error;
    value = missing;
  }
  return {
    get value() {
      return value;
    },
    get trouble() {
      return trouble;
    },
    async look() {
      try {
        const now = await readFile(path, 'utf8');
        if (now === text) {
          trouble = undefined;
          return false;
        }
        const next = read(now);
        [text, value, trouble] = [now, next, undefined];
        return true;
      } catch (caught) {
        const error = toFleetError(caught, 'tokens');
        // A file that was never there has no tokens that could be lost.
        if (error.code !== 'notFound' || text !== undefined)
          trouble = `${error.message}; the tokens that it had stay in force`;
        return false;
      }
    },
  };
}

/** The one token of a file. Throws `invalidArgument` for an empty file, and for one with more than a line. */
export function singleToken(text: string, file: string): string {
  const token = text.trim();
  // What the header of a call can carry.
  if (/^[\x21-\x7e]{1,4096}$/.test(token)) return token;
  throw new FleetError(
    'invalidArgument',
    `${file}: expected one token and nothing else, found ${token === '' ? 'nothing' : 'white space or characters other than ASCII within it, or more than 4096 characters'}`,
  );
}
