// Optuna on the same tables, as the peer that results are compared with. It is installed into a folder that goes
// away again; a machine that cannot install it has no such rows.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { childEnvironment } from '../../core/config.ts';
import { combinations, GENES, type GraphTable, networkKey } from './graph-table.ts';

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL('./searches_of_optuna.py', import.meta.url));
const PACKAGE = 'optuna==5.0.0';
const DEADLINE_MS = 3_600_000;

/** Optuna, installed. */
export interface Optuna {
  /** Different networks evaluated until one of the accuracy `best` was found, for each seed; null: not within `limit`. */
  evaluationsTo(
    table: GraphTable,
    how: { best: number; seeds: number; limit: number },
  ): Promise<(number | null)[]>;
  /** Keys of the networks that its NSGA-II (population 50) has evaluated first, for each seed. */
  front(table: GraphTable, how: { seeds: number; limit: number }): Promise<string[][]>;
  remove(): void;
}

/** Installs it; rejects where that is impossible. */
export async function installOptuna(): Promise<Optuna> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-optuna-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const python = join(folder, 'bin', 'python');
  const options = { timeout: DEADLINE_MS, maxBuffer: 2 ** 28, env: childEnvironment({ HOME: folder }) };
  try {
    await run('python3', ['-m', 'venv', folder]);
    await run(python, ['-m', 'pip', 'install', '--quiet', PACKAGE], options);
  } catch (caught) {
    remove();
    throw caught;
  }
  async function search(table: GraphTable, best: number, argv: readonly string[]) {
    const { keys, text } = asJson(table, best);
    const file = join(folder, `${table.name}.json`);
    writeFileSync(file, text);
    const { stdout } = await run(python, [PROGRAM, file, ...argv], options);
    return { keys, results: (JSON.parse(stdout) as { results: unknown[] }).results };
  }
  return {
    async evaluationsTo(table, { best, seeds, limit }) {
      const { results } = await search(table, best, ['tpe', String(seeds), String(limit)]);
      return results as (number | null)[];
    },
    async front(table, { seeds, limit }) {
      const { keys, results } = await search(table, 2, ['nsga2', String(seeds), String(limit)]);
      return (results as number[][]).map((found) => found.map((place) => keys[place]!));
    },
    remove,
  };
}

/** The table by combination of genes, in mixed radix, with the first gene as the highest digit. */
function asJson({ networks }: GraphTable, best: number) {
  const keys = [...networks.keys()];
  const places = new Map(keys.map((key, place) => [key, place]));
  const ofCombination = [...combinations()].map((genes) => places.get(networkKey(genes)) ?? null);
  const rows = [...networks.values()];
  const text = JSON.stringify({
    ...{ genes: GENES, keys: ofCombination, best },
    accuracy: rows.map(({ accuracy }) => accuracy),
    latency: rows.map(({ latency }) => latency),
  });
  return { keys, text };
}
