// Saved graphs on disk, so that a restarted worker, or a second one on the machine, skips recording. Several
// processes use the folder at once without locks. An entry is a folder that is written under a temporary name
// and renamed into place, and it carries the digest of its bytes: a torn or altered entry counts as absent
// and is replaced. The number of entries is bounded.

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

/** Files that an entry's content may be in: a SavedModel, modules of StableHLO, a plugin's compiled program. */
const CONTENTS = ['saved_model.pb', 'modules.json', 'program.bin'] as const;
const FACTS = 'graph.json';

/** Most entries. A search stores a graph for each candidate, 0.1 to 0.4 MB each; the oldest are discarded. */
const ENTRIES_MAX = 256;

const factsSchema = z.strictObject({
  /** SHA-256 of the content. */
  file: z.string(),
  /** The content's file. */
  content: z.enum(CONTENTS).default('saved_model.pb'),
  /** SHA-256 of the graph inside. */
  digest: z.string(),
  nodes: z.int(),
  outputShapes: z.array(z.array(z.int())),
  kept: z.strictObject({ names: z.array(z.string()), bytes: z.int() }).optional(),
});

/** Facts of a stored graph, read without parsing it. */
export type GraphFacts = Omit<z.infer<typeof factsSchema>, 'file'>;

/** A graph on disk. */
export interface StoredGraph {
  /** Folder of the content: a SavedModel folder where that is saved_model.pb. */
  readonly folder: string;
  readonly facts: GraphFacts;
}

/** Folder of the entry of this name. */
export function entryFolder(cacheDir: string, name: string): string {
  return join(cacheDir, 'compiled', name);
}

/** The entry, or null where none is whole. */
export function readEntry(folder: string): StoredGraph | null {
  try {
    const { file, ...facts } = factsSchema.parse(JSON.parse(readFileSync(join(folder, FACTS), 'utf8')));
    return sha256Hex(readFileSync(join(folder, facts.content))) === file ? { folder, facts } : null;
  } catch {
    // Absent, torn or of another form: in each case the graph is recorded again and the entry replaced.
    return null;
  }
}

/**
 * Stores the graph, unless another process has stored a whole entry of this name in the meantime; returns the
 * one that stays.
 */
export function writeEntry(cacheDir: string, name: string, graph: SavedGraph): StoredGraph {
  const folder = entryFolder(cacheDir, name);
  try {
    makeFolder(join(cacheDir, 'compiled'));
    const written = mkdtempSync(join(cacheDir, 'compiled', '.new-'));
    try {
      const facts = writeFolder(written, graph);
      const stored = moveInto(written, folder) ?? { folder, facts };
      discardOldest(join(cacheDir, 'compiled'));
      return stored;
    } finally {
      rmSync(written, { recursive: true, force: true });
    }
  } catch (caught) {
    throw toFleetError(caught, `storing the compiled graph in ${folder}`);
  }
}

/** The bytes of an entry's content. */
export const contentOf = ({ folder, facts }: StoredGraph): Uint8Array =>
  readFileSync(join(folder, facts.content));

/** Writes content and facts and returns these. */
export function writeFolder(folder: string, graph: SavedGraph): GraphFacts {
  const { content = 'saved_model.pb', digest, nodes, outputShapes, kept } = graph;
  const facts = {
    content,
    digest,
    nodes,
    outputShapes: outputShapes.map((shape) => [...shape]),
    ...(kept === undefined ? {} : { kept: { ...kept, names: [...kept.names] } }),
  };
  writeFileSync(join(folder, content), graph.bytes);
  writeFileSync(join(folder, FACTS), JSON.stringify({ file: sha256Hex(graph.bytes), ...facts }));
  return facts;
}

/** Renames `written` to `folder`, or returns the whole entry that is there already. */
function moveInto(written: string, folder: string): StoredGraph | null {
  for (;;) {
    const present = readEntry(folder);
    if (present !== null) return present;
    // A folder cannot be renamed over one that is not empty, so a broken entry is removed first.
    if (existsSync(folder)) discardEntry(folder);
    try {
      renameSync(written, folder);
      return null;
    } catch (caught) {
      // Another process renamed its own entry to this name in between; the next turn reads that one.
      const { code } = caught as { code?: string };
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw caught;
    }
  }
}

/**
 * Discards the oldest entries above the bound. A process that needs one of them afterwards records it again.
 */
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

/**
 * Removes an entry: renamed first, in one step, so that no reader finds half of it. An absent entry is no
 * error.
 */
export function discardEntry(folder: string): void {
  const removed = mkdtempSync(`${folder}.old-`);
  try {
    renameSync(folder, join(removed, 'entry'));
  } catch (caught) {
    if ((caught as { code?: string }).code !== 'ENOENT') throw toFleetError(caught, `discarding ${folder}`);
  } finally {
    rmSync(removed, { recursive: true, force: true });
  }
}
