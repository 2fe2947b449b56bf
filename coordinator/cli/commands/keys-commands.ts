// `keys`: the certificates of a fleet, made and shown. Decides what is printed where: secrets of a cluster are
// data for a pipe, and paths of files are too.

import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { systemClock } from '../../../core/clock.ts';
import { FleetError } from '../../../core/errors.ts';
import { wholeNumber } from '../context.ts';
import {
  certificateSecrets,
  certificatesIn,
  type ShownCertificate,
  writeCertificates,
} from '../local/certificates.ts';
import { print, printJson, say } from '../screen/output.ts';
import { type Column, table } from '../screen/table.ts';
import { shellWord } from '../shell-word.ts';

interface GenerateFlags {
  readonly out?: string;
  readonly kubernetes?: boolean;
  readonly release: string;
  readonly namespace?: string;
  readonly name: readonly string[];
  readonly days: number;
  readonly authority?: string;
}

/** A certificate is good for ten years at most, as its authority is. */
const DAYS_MAX = 3_650;

export function addKeysCommands(program: Command): void {
  const keys = program.command('keys').description('certificates of a fleet that encrypts');
  keys
    .command('generate')
    .description('make an authority, and certificates for coordinator, broker and workers')
    .option('--out <dir>', 'write them here as PEM files; an authority that is there signs again')
    .option('--kubernetes', 'print them as secrets, for `kubectl apply -f -`')
    .option(
      '--release <name>',
      'release of the chart that the secrets are for',
      kubernetesName,
      'pocketfleet',
    )
    .option('--namespace <name>', 'its namespace', kubernetesName)
    .option(
      '--name <host>',
      'host name or IP address at which coordinator and broker are reached (repeatable); localhost is always one',
      (name: string, before: readonly string[]) => [...before, name],
      [],
    )
    .option('--days <n>', 'how long they are valid', wholeNumber(1, DAYS_MAX), 365)
    .option(
      '--authority <dir>',
      'folder of the authority, made there if need be; without it one that --kubernetes does not keep',
    )
    .action(generate);
  keys
    .command('show <dir>')
    .description('names and ends of the certificates in a folder')
    .option('--json', 'print JSON')
    .action((dir: string, { json }: { json?: boolean }) => show(dir, json === true));
}

async function generate(flags: GenerateFlags): Promise<void> {
  const { names, days } = { names: flags.name, days: flags.days };
  const authorityDir = flags.authority === undefined ? undefined : resolve(flags.authority);
  if ((flags.out === undefined) === !flags.kubernetes)
    throw new FleetError(
      'invalidArgument',
      'give --out DIR for files, or --kubernetes for secrets; one of the two',
    );
  if (flags.out !== undefined) {
    const dir = resolve(flags.out);
    for (const path of await writeCertificates(dir, { names, days, authorityDir: authorityDir ?? dir }))
      print(path);
    return;
  }
  const { release, namespace } = flags;
  // As the chart names its objects.
  const fullname = release.includes('pocketfleet') ? release : `${release}-pocketfleet`;
  print((await certificateSecrets({ names, days, authorityDir, namespace, fullname })).trimEnd());
  if (authorityDir === undefined)
    say(
      'the key of their authority is not kept, so later certificates are of another one; --authority DIR keeps it',
    );
  else say(`signed by the authority in ${authorityDir}; keep its ca.key to yourself`);
}

function kubernetesName(text: string): string {
  if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) return text;
  throw new InvalidArgumentError(`${JSON.stringify(text)} is no name of Kubernetes.`);
}

function show(dir: string, json: boolean): void {
  const shown = certificatesIn(resolve(dir));
  if (json) {
    printJson(shown);
    return;
  }
  print(table(shown, COLUMNS, process.stdout.columns));
  const ended = shown.filter(({ validUntilMs }) => validUntilMs <= systemClock.now());
  if (ended.length > 0)
    say(
      `${ended.length === 1 ? 'one has' : `${ended.length} have`} expired; pocketfleet keys generate --out ${shellWord(dir)} makes new ones, which running programs take up`,
    );
}

const DAY_MS = 86_400_000;

const COLUMNS: readonly Column<ShownCertificate>[] = [
  { head: 'FILE', cell: ({ file }) => file },
  { head: 'VALID UNTIL', cell: ({ validUntilMs }) => new Date(validUntilMs).toISOString() },
  {
    head: 'DAYS',
    align: 'right',
    cell: ({ validUntilMs }) => String(Math.floor((validUntilMs - systemClock.now()) / DAY_MS)),
  },
  { head: 'NAMES', cell: ({ names }) => names },
];
