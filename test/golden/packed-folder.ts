// A packed folder of fixtures: large entries in packed form as ENTRY.packed, small ones as they are, and SHA256SUMS with the digest
// of every unpacked file, in the format of `sha256sum`. Decides what is packed and what counts as damage; an entry is a file
// or a folder that lies at the top of the plain folder.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { type FixtureFile, packFiles, unpackFiles } from './packed.ts';

/** The fixtures of this repository. */
export const GOLDEN = fileURLToPath(new URL('../fixtures/golden', import.meta.url));

const SUMS = 'SHA256SUMS';
const SUFFIX = '.packed';
/** Smaller entries stay as they are, so that people can read them. */
const PACKED_BYTES_MIN = 100_000;

/** An entry that cannot be used, and why. */
export interface Damage {
  readonly entry: string;
  readonly reason: string;
}

export function isPacked(dir: string): boolean {
  return existsSync(join(dir, SUMS));
}

/** Packs the fixtures of a plain folder, but for the entries `without`. Notes stay behind. */
export function packFolder(options: { from: string; into: string; without?: readonly string[] }): void {
  const { from, into, without = [] } = options;
  const sums: string[] = [];
  for (const entry of readdirSync(from).sort()) {
    if (isNote(entry) || without.includes(entry)) continue;
    const files = filesUnder(from, entry);
    sums.push(...files.map(({ path, bytes }) => `${digest(bytes)}  ${path}\n`));
    const total = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (total < PACKED_BYTES_MIN) for (const file of files) write(into, file);
    else write(into, { path: `${entry}${SUFFIX}`, bytes: packFiles(files) });
  }
  write(into, { path: SUMS, bytes: Buffer.from(sums.join('')) });
}

/** Writes the plain files of a packed folder, of `only` some entries where given. What is damaged is returned and not written. */
export function unpackFolder(from: string, into: string, only?: readonly string[]): Damage[] {
  const sums = readSums(from);
  const entries = [...new Set([...sums.keys()].map(entryOf))];
  const wanted = only ?? entries;
  const damages: Damage[] = [];
  for (const entry of wanted)
    try {
      for (const file of checkedFiles(from, entry, sums)) write(into, file);
    } catch (caught) {
      damages.push({ entry, reason: toFleetError(caught).message });
    }
  if (only === undefined)
    for (const name of readdirSync(from))
      if (!isNote(name) && !entries.includes(name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : name))
        damages.push({ entry: name, reason: `${name} has no line in ${SUMS}` });
  return damages;
}

/** Unpacks some of this repository's fixtures for a test. */
export function unpackGolden(entries: readonly string[], into: string): void {
  const [damage] = unpackFolder(GOLDEN, into, entries);
  if (damage !== undefined) throw new FleetError('dataLoss', damage.reason);
}

/** The files of an entry, each with the bytes that its digest promises. */
function checkedFiles(from: string, entry: string, sums: ReadonlyMap<string, string>): FixtureFile[] {
  const packed = join(from, `${entry}${SUFFIX}`);
  const wanted = [...sums].filter(([path]) => entryOf(path) === entry);
  const files = existsSync(packed)
    ? unpackFiles(readFileSync(packed), `${entry}${SUFFIX}`)
    : existsSync(join(from, entry))
      ? filesUnder(from, entry)
      : [];
  const found = new Map(files.map((file) => [file.path, file]));
  for (const [path, sum] of wanted) {
    const file = found.get(path);
    if (file === undefined) throw new FleetError('notFound', `${path} is missing, which ${SUMS} names`);
    if (digest(file.bytes) !== sum)
      throw new FleetError('dataLoss', `${path} is damaged: its SHA-256 is not that of ${SUMS}`);
  }
  const stranger = files.find(({ path }) => !sums.has(path));
  if (stranger !== undefined) throw new FleetError('dataLoss', `${stranger.path} has no line in ${SUMS}`);
  if (files.length === 0) throw new FleetError('notFound', `there is no fixture ${entry}`);
  return files;
}

function readSums(dir: string): Map<string, string> {
  const lines = readFileSync(join(dir, SUMS), 'utf8').split('\n').slice(0, -1);
  return new Map(
    lines.map((line) => {
      const [, sum, path] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? [];
      if (sum === undefined || path === undefined)
        throw new FleetError('dataLoss', `${SUMS} is damaged: "${line}" is not a digest and a path`);
      return [path, sum] as const;
    }),
  );
}

/** A file, or all files below a folder, in the order of their paths. */
function filesUnder(root: string, entry: string): FixtureFile[] {
  const whole = join(root, entry);
  const paths = readdirSync(root, { withFileTypes: true }).some(
    (one) => one.name === entry && one.isDirectory(),
  )
    ? readdirSync(whole, { recursive: true, withFileTypes: true })
        .filter((one) => one.isFile())
        .map((one) => relative(root, join(one.parentPath ?? one.path, one.name)))
        .sort()
    : [entry];
  return paths.map((path) => ({ path, bytes: readFileSync(join(root, path)) }));
}

function write(into: string, { path, bytes }: FixtureFile): void {
  const target = join(into, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, bytes);
}

function isNote(name: string): boolean {
  return /\.(md|txt)$/i.test(name) || name.startsWith('.') || name === SUMS;
}

const entryOf = (path: string): string => path.split('/')[0]!;

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
