// Runs every check that a folder of golden fixtures allows. Recognises each file by the network its metadata names or by the
// first word of its name, so that further fixtures of a known kind are checked without a change here; a file that nothing
// recognises is named, never passed over. A packed folder is unpacked first, and what is damaged in it fails.

import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toFleetError } from '../../core/errors.ts';
import { checkDecode } from './decode.ts';
import { openFixture } from './fixture.ts';
import { checkArcface, checkKd } from './losses.ts';
import { checkNetwork } from './networks.ts';
import { isPacked, unpackFolder } from './packed-folder.ts';
import { checkRecords } from './records.ts';
import { checkScreening } from './screening.ts';
import { checkSupernet } from './supernet.ts';
import { checkTrainSteps } from './training.ts';
import { type CheckRow, checkVerification } from './verification.ts';

/** Result of one file; `failed` is a check that could not run to its end. */
export type Outcome =
  | { readonly kind: 'checked'; readonly file: string; readonly rows: readonly CheckRow[] }
  | { readonly kind: 'failed'; readonly file: string; readonly reason: string }
  | { readonly kind: 'unchecked'; readonly file: string; readonly reason: string };

/** How a folder is checked. */
export interface Checking {
  /** Multiplies every tolerance. */
  readonly scale: number;
  /** Without training on composed operations, and with one seed of the screening scores that two networks share. */
  readonly brief: boolean;
  /** Only what an engine compiles: fixtures of which nothing is compiled are not checked. */
  readonly compiledOnly: boolean;
}

/** One outcome a file, as each is done. Notes and other text files are not fixtures. */
export async function* checkFolder(dir: string, checking: Checking): AsyncGenerator<Outcome> {
  if (!existsSync(dir)) return;
  if (!isPacked(dir)) {
    yield* checkPlainFolder(dir, checking);
    return;
  }
  const plain = mkdtempSync(join(tmpdir(), 'pocketfleet-golden-'));
  try {
    for (const { entry, reason } of unpackFolder(dir, plain)) yield { kind: 'failed', file: entry, reason };
    yield* checkPlainFolder(plain, checking);
  } finally {
    rmSync(plain, { recursive: true, force: true });
  }
}

async function* checkPlainFolder(dir: string, checking: Checking): AsyncGenerator<Outcome> {
  for (const file of readdirSync(dir).sort()) {
    if (/\.(md|txt)$/i.test(file) || file.startsWith('.')) continue;
    try {
      yield await checkFile(join(dir, file), file, checking);
    } catch (caught) {
      yield { kind: 'failed', file, reason: toFleetError(caught).message };
    }
  }
}

async function checkFile(
  path: string,
  file: string,
  { scale, brief, compiledOnly }: Checking,
): Promise<Outcome> {
  const checked = (rows: readonly CheckRow[]): Outcome => ({ kind: 'checked', file, rows });
  const unchecked = (reason: string): Outcome => ({ kind: 'unchecked', file, reason });
  const isNetwork = file.endsWith('.safetensors');
  if (compiledOnly && !isNetwork) return unchecked('no engine compiles anything of it');
  if (statSync(path).isDirectory())
    return existsSync(join(path, 'expected.json'))
      ? checked(await checkRecords(path, scale))
      : unchecked('unknown folder');
  const word = /^[a-z0-9]+/i.exec(file)?.[0].toLowerCase() ?? '';
  if (file.endsWith('.json')) {
    if (word === 'genotype') return checked(checkDecode(path));
    if (word === 'screening') return checked(await checkScreening(path, { scale, brief }));
    if (word === 'verification') return checked(checkVerification(path, scale));
    return unchecked('unknown kind of file');
  }
  if (!isNetwork) return unchecked('unknown kind of file');
  const fixture = openFixture(path);
  if (word === 'train') return checked(await checkTrainSteps(fixture, scale));
  const network = fixture.metadata.network?.toLowerCase() ?? word;
  switch (network) {
    case 'pocketnet':
    case 'iresnet':
      return checked(await checkNetwork(fixture, { scale, brief }));
    case 'arcface':
      return checked(await checkArcface(fixture, scale));
    case 'kd':
      return checked(await checkKd(fixture, scale));
    case 'searchcnn':
    case 'supernet':
      return checked(await checkSupernet(fixture, { scale, brief }));
    default:
      return unchecked('unknown kind of file');
  }
}

export function rowText(row: CheckRow): string {
  const verdict = row.ok ? 'ok' : 'FAIL';
  return `${row.file} ${row.check} ${row.measured.toExponential(2)} ${row.tolerance.toExponential(2)} ${verdict}`;
}
