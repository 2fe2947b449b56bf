// `token`: who may call a fleet. Each command edits or reads the file with the digests of tokens, which the
// coordinator reads again by itself; a token is on stdout once, when it is made. Decides which file is meant,
// and what is shown of it.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../../../core/clock.ts';
import { FleetError } from '../../../core/errors.ts';
import { ROLES, type Role } from '../../../core/net/roles.ts';
import {
  fingerprintOf,
  hasExpired,
  newToken,
  type TokenEntry,
  tokenDigest,
  withoutToken,
  withToken,
} from '../../../core/net/token-file.ts';
import { tokensFilePath } from '../local/fleet-file.ts';
import { DEFAULT_DIR, dirOption, fleetDir } from '../local/fleet-folder.ts';
import { editTokens, tokensIn } from '../local/tokens.ts';
import { print, printJson, say } from '../screen/output.ts';
import { table } from '../screen/table.ts';
import { userName } from '../user-name.ts';

interface FileFlags {
  readonly dir?: string;
  readonly file?: string;
  readonly json?: boolean;
}

interface CreateFlags extends FileFlags {
  readonly role: Role;
  readonly name: string;
  readonly expires?: number;
}

export function addTokenCommands(program: Command): void {
  const token = program
    .command('token')
    .description('who may call a fleet: tokens with roles, which take effect within two seconds');
  command(token, 'create', 'make a token, and print it once')
    .addOption(new Option('--role <role>', 'what it may do').choices([...ROLES]).makeOptionMandatory(true))
    .requiredOption('--name <name>', 'whose it is; the journal names it')
    .option(
      '--expires <time>',
      'how long it is accepted: 30d, 12h or 15m (default: until it is revoked)',
      duration,
    )
    .action(create);
  command(token, 'list', 'the tokens by fingerprint, with their roles').action(list);
  command(token, 'revoke <name>', 'refuse a token from now on; a fingerprint names it too').action(revoke);
}

function command(parent: Command, nameAndArguments: string, description: string): Command {
  return parent
    .command(nameAndArguments)
    .description(description)
    .addOption(dirOption(`folder of a fleet that \`up\` started (default: ${DEFAULT_DIR} here or above)`))
    .option('--file <file>', "the file itself, for a fleet elsewhere: its coordinator's tokensFile")
    .option('--json', 'print JSON');
}

function create({ role, name, expires, ...flags }: CreateFlags): void {
  const path = pathOf(flags);
  const nowMs = systemClock.now();
  const token = newToken(role);
  const entry: TokenEntry = {
    ...{ name, role, sha256: tokenDigest(token), created: timeText(nowMs), createdBy: userName() },
    ...(expires === undefined ? {} : { expires: timeText(nowMs + expires) }),
  };
  editTokens(path, (tokens) => withToken(tokens, entry, nowMs));
  const fingerprint = fingerprintOf(entry.sha256);
  if (flags.json) printJson({ token, ...shown(entry, nowMs) });
  else print(token);
  const end = entry.expires === undefined ? 'until it is revoked' : `until ${entry.expires}`;
  say(
    `${name} (${role}, ${fingerprint}) is accepted ${end}. The token is shown this once; ${path} has its digest alone.`,
  );
}

function list(flags: FileFlags): void {
  const nowMs = systemClock.now();
  const tokens = tokensIn(pathOf(flags)).map((entry) => shown(entry, nowMs));
  if (flags.json) printJson({ tokens });
  else if (tokens.length === 0)
    say('no tokens were made yet; `pocketfleet token create --role submit --name ci` makes one');
  else print(tableOf(tokens));
}

function tableOf(tokens: readonly ReturnType<typeof shown>[]): string {
  return table(tokens, [
    { head: 'FINGERPRINT', cell: (one) => one.fingerprint },
    { head: 'NAME', cell: (one) => one.name },
    { head: 'ROLE', cell: (one) => one.role },
    { head: 'STATE', cell: (one) => one.state },
    { head: 'CREATED', cell: (one) => one.created },
    { head: 'BY', cell: (one) => one.createdBy },
    { head: 'EXPIRES', cell: (one) => one.expires ?? '-' },
  ]);
}

function revoke(named: string, flags: FileFlags): void {
  const path = pathOf(flags);
  if (!existsSync(path))
    throw new FleetError(
      'notFound',
      `${path} is not there, so no token was made in it; name another --file or --dir`,
    );
  const nowMs = systemClock.now();
  let revoked: TokenEntry | undefined;
  editTokens(path, (tokens) => {
    const left = withoutToken(tokens, named, { at: timeText(nowMs), by: userName() });
    revoked = left.entry;
    return left.tokens;
  });
  const entry = revoked!;
  if (flags.json) printJson(shown(entry, nowMs));
  const who = `${entry.name} (${entry.role}, ${fingerprintOf(entry.sha256)})`;
  say(`${who} is refused from now on, and its streams end`);
}

function shown(entry: TokenEntry, nowMs: number) {
  const { sha256, ...rest } = entry;
  const state = entry.revoked !== undefined ? 'revoked' : hasExpired(entry, nowMs) ? 'expired' : 'accepted';
  return { fingerprint: fingerprintOf(sha256), ...rest, state };
}

function pathOf({ dir, file }: FileFlags): string {
  if (file !== undefined) return resolve(file);
  const folder = fleetDir(dir);
  if (existsSync(folder)) return tokensFilePath(folder);
  throw new FleetError(
    'notFound',
    `there is no fleet in ${folder}; start one with \`pocketfleet up\`, name its folder with --dir, or the file itself with --file`,
  );
}

/** To the second: `2027-01-31T12:00:00Z`. */
const timeText = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

const UNITS_MS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000 };

/** For commander: how long, in milliseconds. */
function duration(text: string): number {
  const [, count = '', unit = ''] = /^([1-9]\d{0,4})([dhm])$/.exec(text) ?? [];
  const ms = Number(count) * (UNITS_MS[unit] ?? 0);
  if (ms > 0) return ms;
  throw new InvalidArgumentError('A time such as 30d, 12h or 15m is expected.');
}
