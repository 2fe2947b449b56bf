// Saved graphs on disk by content, so that a restarted worker or a second one on the machine skips recording. An entry is
// written aside and renamed into place, and carries the digest of its bytes: a torn or altered one counts as absent and
// is replaced. The number of entries is bounded. What the key must contain is obtain.ts' to know.

import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { sha256Hex } from '../../digest.ts';
import { toFleetError } from '../../errors.ts';
import { makeFolder } from '../../system/folder.ts';
import type { SavedGraph } from './saved-model.ts';

const MODEL = 'saved_model.pb';
const FACTS = 'graph.json';

/** A search makes a graph for each candidate, 0.1 to 0.4 MB; beyond this many the oldest go. */
const ENTRIES_MAX = 256;

const factsSchema = z.strictObject({
  /** SHA-256 of saved_model.pb. */
  file: z.string(),
  /** SHA-256 of the GraphDef inside. */
  digest: z.string(),
  nodes: z.int(),
  outputShapes: z.array(z.array(z.int())),
  kept: z.strictObject({ names: z.array(z.string()), bytes: z.int() }).optional(),
});

/** What is known of a stored graph without parsing it. */
export type GraphFacts = Omit<z.infer<typeof factsSchema>, 'file'>;

export interface StoredGraph {
  /** A SavedModel folder. */
  readonly folder: string;
  readonly facts: GraphFacts;
}

/** Where the entry of this name lies. */
export function entryFolder(cacheDir: string, name: string): string {
  return join(cacheDir, 'compiled', name);
}

/** The entry, or null when there is none that is whole. */
export function readEntry(folder: string): StoredGraph | null {
  try {
    const { file, ...facts } = factsSchema.parse(JSON.parse(readFileSync(join(folder, FACTS), 'utf8')));
    return sha256Hex(readFileSync(join(folder, MODEL))) === file ? { folder, facts } : null;
  } catch {
    // Absent, torn or foreign: in each case the graph is recorded again and the entry replaced.
    return null;
  }
}

/** Stores the graph; where another process was faster and its entry is whole, that one stays. */
export function writeEntry(cacheDir: string, name: string, graph: SavedGraph): StoredGraph {
  const folder = entryFolder(cacheDir, name);
  try {
    makeFolder(join(cacheDir, 'compiled'));
    const aside = mkdtempSync(join(cacheDir, 'compiled', '.new-'));
    try {
      const facts = writeFolder(aside, graph);
      const stored = moveInto(aside, folder) ?? { folder, facts };
      discardOldest(join(cacheDir, 'compiled'));
      return stored;
    } finally {
      rmSync(aside, { recursive: true, force: true });
    }
  } catch (caught) {
    throw toFleetError(caught, `storing the compiled graph in ${folder}`);
  }
}

/** Writes a SavedModel folder with the facts beside it. */
export function writeFolder(folder: string, graph: SavedGraph): GraphFacts {
  const { digest, nodes, outputShapes, kept } = graph;
  const facts = {
    digest,
    nodes,
    outputShapes: outputShapes.map((shape) => [...shape]),
    ...(kept === undefined ? {} : { kept: { ...kept, names: [...kept.names] } }),
  };
  writeFileSync(join(folder, MODEL), graph.bytes);
  writeFileSync(join(folder, FACTS), JSON.stringify({ file: sha256Hex(graph.bytes), ...facts }));
  return facts;
}

/** Renames `aside` to `folder`; gives the entry that already stood there if that one is whole. */
function moveInto(aside: string, folder: string): StoredGraph | null {
  for (;;) {
    const present = readEntry(folder);
    if (present !== null) return present;
    // A directory cannot be renamed over a full one: a broken entry steps aside first.
    if (existsSync(folder)) discardEntry(folder);
    try {
      renameSync(aside, folder);
      return null;
    } catch (caught) {
      // Another process renamed its own here in between; look again.
      const { code } = caught as { code?: string };
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw caught;
    }
  }
}

/** A process that still wants an entry that goes here finds it absent and records it again. */
function discardOldest(compiled: string): void {
  const names = readdirSync(compiled).filter((name) => !name.includes('.'));
  if (names.length <= ENTRIES_MAX) return;
  const aged = names.map((name) => {
    const folder = join(compiled, name);
    return { folder, writtenMs: statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? 0 };
  });
  aged.sort((a, b) => a.writtenMs - b.writtenMs);
  for (const { folder } of aged.slice(0, aged.length - ENTRIES_MAX)) discardEntry(folder);
}

/** Takes an entry away, in one rename, so that nobody reads half of it. */
export function discardEntry(folder: string): void {
  const grave = mkdtempSync(`${folder}.old-`);
  try {
    renameSync(folder, join(grave, 'entry'));
  } catch (caught) {
    if ((caught as { code?: string }).code !== 'ENOENT') throw toFleetError(caught, `discarding ${folder}`);
  } finally {
    rmSync(grave, { recursive: true, force: true });
  }
}
