// DIR/join.json: all that a second machine needs to bring its workers into a fleet. Decides what is in it: where the
// coordinator is, the fleet's authority, a worker's certificate with its key, and a token that lets workers attach
// and nothing else. The file is the secret, so it is copied by hand and never an argument.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { systemClock } from '../../../core/clock.ts';
import { advised, FleetError, toFleetError } from '../../../core/errors.ts';
import { newToken, tokenDigest, withToken } from '../../../core/net/token-file.ts';
import { checkShape, sentences } from '../../../core/text/shape.ts';
import { filesIn } from './certificates.ts';
import { tokensFilePath, writePrivate } from './fleet-file.ts';
import { editTokens, tokensIn } from './tokens.ts';

const joinFileSchema = z.strictObject({
  fleet: z.string(),
  /** host:port of each coordinator, with commas between. */
  coordinator: z.string(),
  /** Of the role worker. */
  token: z.string(),
  /** PEM: the authority, and the certificate and key of a worker. */
  ca: z.string(),
  cert: z.string(),
  key: z.string(),
});
export type JoinFile = Readonly<z.infer<typeof joinFileSchema>>;

/** The name under which `pocketfleet token list` has the token. */
const TOKEN_NAME = 'join';

const WHERE_FROM = '`pocketfleet up --listen ADDRESS` writes a join.json into its folder';

/** Writes the file of the fleet in `dir` and returns its path. A token that it had stays as long as it is accepted. */
export function writeJoinFile(
  dir: string,
  fleet: { readonly fleet: string; readonly coordinator: string; readonly tlsDir: string },
): string {
  const path = join(resolve(dir), 'join.json');
  const { certFile, keyFile, caFile } = filesIn(fleet.tlsDir, 'worker');
  const file: JoinFile = {
    fleet: fleet.fleet,
    coordinator: fleet.coordinator,
    token: keptToken(dir, path) ?? makeToken(dir),
    ca: readFileSync(caFile, 'utf8'),
    cert: readFileSync(certFile, 'utf8'),
    key: readFileSync(keyFile, 'utf8'),
  };
  writePrivate(path, `${JSON.stringify(file, null, 2)}\n`);
  return path;
}

function keptToken(dir: string, path: string): string | undefined {
  try {
    const { token } = readJoinFile(path);
    const digest = tokenDigest(token);
    const isKept = tokensIn(tokensFilePath(dir)).some(
      (one) => one.sha256 === digest && one.revoked === undefined,
    );
    return isKept ? token : undefined;
  } catch {
    // There is no file yet, or one of another release: it is written anew.
    return undefined;
  }
}

function makeToken(dir: string): string {
  const nowMs = systemClock.now();
  const token = newToken('worker');
  editTokens(tokensFilePath(dir), (tokens) => {
    const others = tokens.filter(({ name, revoked }) => name !== TOKEN_NAME || revoked !== undefined);
    const created = new Date(nowMs).toISOString();
    const entry = { name: TOKEN_NAME, role: 'worker', created, createdBy: 'up --listen' } as const;
    return withToken(others, { ...entry, sha256: tokenDigest(token) }, nowMs);
  });
  return token;
}

/** Reads a file, or standard input for `-`. Throws one sentence. */
export function readJoinFile(path: string): JoinFile {
  const what = path === '-' ? 'standard input' : path;
  let text: string;
  try {
    text = readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (caught) {
    throw advised(toFleetError(caught, what), WHERE_FROM);
  }
  const parsed = checkShape(joinFileSchema, parsedJson(text), ([key]) => /token|key/.test(String(key)));
  if (parsed.ok) return parsed.data;
  throw new FleetError(
    'invalidArgument',
    `${what} is no join.json (${sentences(parsed.problems).join('; ')}); ${WHERE_FROM}`,
  );
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The check of the shape refuses it by a sentence.
    return undefined;
  }
}
