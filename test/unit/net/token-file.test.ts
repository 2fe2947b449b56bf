// The file of tokens, and files with one token: what is taken, and what is refused with which sentence.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { editTokens, tokensIn } from '../../../coordinator/cli/local/tokens.ts';
import { ROLES } from '../../../core/net/roles.ts';
import { createTokenBook } from '../../../core/net/token-book.ts';
import {
  newToken,
  readTokens,
  type TokenEntry,
  tokenDigest,
  tokensText,
  withoutToken,
  withToken,
} from '../../../core/net/token-file.ts';
import { tokenSource } from '../../../core/net/token-source.ts';

const entry = (name: string, more: Partial<TokenEntry> = {}): TokenEntry => ({
  ...{ name, role: 'read', sha256: tokenDigest(name), created: '2026-01-01T00:00:00Z', createdBy: 'mia' },
  ...more,
});
const DAY_MS = 86_400_000;

test('what is wrong with a file is named with its place, and no token is shown', () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['tokens: [{ name: ci, role: root }]', /^f:1:\d+: tokens\.0\.\S+: /],
    ['tokens:\n  - nmae: ci\n', /^f:2:5: tokens\.0\.nmae: unknown key; did you mean name\?$/m],
    [tokensText([entry('fleet')]), /^f:3:11: tokens\.0\.name: .*neither fleet nor workers/],
    [tokensText([entry('a', { expires: 'soon' })]), /^f:8:14: tokens\.0\.expires: expected a time such as/],
    [tokensText([entry('a'), entry('a', { sha256: tokenDigest('b') })]), /^f: tokens: a is there twice/],
    [tokensText([entry('a'), entry('b', { sha256: tokenDigest('a') })]), /the digest of b is there twice/],
    [
      tokensText([entry('a', { sha256: 'pf_read_0' })]),
      /^f:5:13: tokens\.0\.sha256: (?!.*pf_read).*64 hex digits/,
    ],
    ['tokens: [', /^f:1:10: not YAML: /],
  ];
  for (const [text, sentence] of wrong)
    assert.throws(() => readTokens(text, 'f'), { code: 'invalidArgument', message: sentence }, text);
  for (const text of ['', 'tokens: []', '{"tokens": []}']) assert.deepEqual(readTokens(text, 'f'), []);
  const kept = [entry('a', { revoked: '2026-01-02T00:00:00Z', revokedBy: 'ada' }), entry('b')];
  assert.deepEqual(readTokens(tokensText(kept), 'f'), kept);
});

test('a token names its role, and no two are equal', () => {
  for (const role of ROLES) assert.match(newToken(role), new RegExp(`^pf_${role}_[0-9a-f]{48}$`));
  assert.notEqual(newToken('read'), newToken('read'));
});

test('a name belongs to one token that is accepted, and what was refused long ago is forgotten', () => {
  const nowMs = Date.parse('2026-06-01T00:00:00Z');
  const at = '2026-06-01T00:00:00Z';
  assert.throws(() => withToken([entry('a')], entry('a'), nowMs), { code: 'alreadyExists' });
  const { tokens } = withoutToken([entry('a')], 'a', { at, by: 'ada' });
  const again = withToken(tokens, entry('a', { sha256: tokenDigest('another') }), nowMs);
  assert.deepEqual(
    again.map(({ revokedBy }) => revokedBy),
    ['ada', undefined],
  );
  assert.throws(() => withoutToken(tokens, 'a', { at, by: 'ada' }), { code: 'notFound' });
  assert.equal(withToken(again, entry('b'), nowMs + 91 * DAY_MS).length, 2);
});

test('a file with one token is read again for each call, and the last token that it had is used while it is away', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-token-'));
  try {
    const tokenFile = join(folder, 'token');
    assert.throws(() => tokenSource({ token: '', tokenFile }), { code: 'notFound' });
    writeFileSync(tokenFile, '\n');
    const empty = /token: expected one token and nothing else, found nothing/;
    assert.throws(() => tokenSource({ token: '', tokenFile }), empty);
    assert.throws(() => createTokenBook({ tokenFile }), empty);
    writeFileSync(tokenFile, 'first\n');
    const source = tokenSource({ token: 'ignored', tokenFile });
    assert.equal(source(), 'first');
    writeFileSync(tokenFile, 'second');
    assert.equal(source(), 'second');
    rmSync(tokenFile);
    assert.equal(source(), 'second');
    assert.equal(tokenSource({ token: 'text', tokenFile: '' })(), 'text');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('an edit that meets another one is made again upon it, and nothing is lost', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-token-'));
  try {
    const file = join(folder, 'tokens.yaml');
    let meets = true;
    editTokens(file, (tokens) => {
      if (meets) {
        meets = false;
        editTokens(file, (others) => [...others, entry('other')]);
      }
      return [...tokens, entry('own')];
    });
    assert.deepEqual(
      tokensIn(file).map(({ name }) => name),
      ['other', 'own'],
    );
    assert.deepEqual(readdirSync(folder), ['tokens.yaml']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
