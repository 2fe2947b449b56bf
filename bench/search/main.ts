// `npm run bench:search`: how soon strategies find the best networks of tables that others have measured, beside
// random search and Optuna. Decides nothing but what is measured: `--seeds N`, `--only NAME` picks rows, `--json`
// ends with one JSON object.
//
// A network counts once, however often it is proposed. `to best`: evaluations until one of the best 0.1 % of the
// table (26 networks, and those that are equal to the last of them) is found, the median over seeds.
// `front`: the share of the hypervolume of the whole table that 500 evaluations have, with accuracy and latency as
// objectives and the table's medians as the reference point. `rungs`: what our own table says of evaluations that are
// cut short (rungs.ts).
//
// What the strategies do by default was chosen on the other five tables of the set (citeseer, computers, cs, physics,
// pubmed), which `--tables` names; the three that are measured here had no say in it.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { strategyOf } from '../../coordinator/strategies/strategies.ts';
import { randomStream } from '../../core/rng.ts';
import { hypervolume } from '../../core/search/pareto.ts';
import type { ProposingSpec } from '../../core/spec/strategy.ts';
import { simulated } from '../../test/support/simulated-search.ts';
import { argumentsOf, atLeast, atMost, type Goal, median, refuse, say, tell } from '../goals.ts';
import { type GraphTable, readGraphTable } from './graph-table.ts';
import { installOptuna, type Optuna } from './optuna.ts';
import { readOwnTable } from './own-table.ts';
import { proposingSpec } from './proposing-spec.ts';
import { benchRungs } from './rungs.ts';
import { tableSpace } from './table-space.ts';

const FETCH = fileURLToPath(new URL('../../scripts/fetch-search-tables.mjs', import.meta.url));
const MEASURED = ['arxiv', 'cora', 'photo'];
/** Networks that count as the best. */
const BEST = 26;
const LAG = 16;
/** Evaluations of a search that learns; random search gets as many as it needs. */
const LIMIT = 3_000;
const FRONT_EVALUATIONS = 500;
/** What the front of each table is to have, at least. */
const FRONT_SHARES: Readonly<Record<string, number>> = { arxiv: 0.9, cora: 0.8, photo: 0.82 };

const known = '--json, --seeds N, --only best|front|lag|rungs, --tables NAME,...';
const { values } = argumentsOf(
  {
    options: {
      json: { type: 'boolean', default: false },
      seeds: { type: 'string', default: '20' },
      tables: { type: 'string', default: MEASURED.join() },
      only: { type: 'string', multiple: true, default: ['best', 'front', 'lag', 'rungs'] },
    },
  },
  known,
);
if (!/^[1-9]\d*$/.test(values.seeds)) refuse(`--seeds is "${values.seeds}" and no whole number`, known);
const SEEDS = Number(values.seeds);
const TABLES = values.tables.split(',');
const isOwnAlone = values.only.every((name) => name === 'rungs');
const tables = isOwnAlone ? [] : fetchedTables();

/** The tables of others, from the cache or the registry. */
function fetchedTables(): GraphTable[] {
  const fetched = spawnSync(process.execPath, [FETCH], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (fetched.status !== 0) process.exit(1);
  return TABLES.map((name) => readGraphTable(fetched.stdout.trim(), name));
}

const seeds = Array.from({ length: SEEDS }, (_, i) => i + 1);

type Order = 'by-move' | 'as-finished';

/** How a search is evaluated. `workers`: evaluations at once, as many as its lag by default. */
interface How {
  readonly lag?: number;
  readonly workers?: number;
  readonly order?: Order;
  /** An accuracy at which it ends. */
  readonly until?: number;
  readonly scoresOf?: (key: string) => number[];
}

function searched(table: GraphTable, spec: ProposingSpec, how: How = {}) {
  const space = tableSpace(table);
  const { lag = LAG, until = Number.POSITIVE_INFINITY } = how;
  return simulated({
    ...{ strategy: strategyOf(spec, space), space, seed: spec.seed, trials: spec.trials, lag },
    ...(how.order === undefined ? {} : { order: how.order }),
    ...(how.workers === undefined ? {} : { workers: how.workers }),
    evaluate: how.scoresOf ?? ((key) => [accuracyOf(table, key)]),
    // Some take three times as long as others.
    duration: (move) => 0.5 + randomStream({ seed: spec.seed, purpose: 'duration', at: [move, 0] }).uniform(),
    until: (key) => accuracyOf(table, key) >= until,
  });
}

/** Keys of the networks in the order in which a search evaluates them. */
const evaluated = (table: GraphTable, spec: ProposingSpec, how: How = {}): string[] =>
  searched(table, spec, how).evaluated.map(({ key }) => key);

const specOf = (kind: string, seed: number, trials: number, more: object = {}): ProposingSpec =>
  proposingSpec({ kind, seed, trials, ...more });

const accuracyOf = ({ networks }: GraphTable, key: string): number => networks.get(key)!.accuracy;

/** The accuracy of the last of the best networks. */
function bestAccuracy({ networks }: GraphTable): number {
  return [...networks.values()].map(({ accuracy }) => accuracy).sort((a, b) => b - a)[BEST - 1]!;
}

/** Evaluations until one of the best was found, the median over the seeds; a search without one counts as `LIMIT`. */
function toBest(table: GraphTable, kind: string): number {
  const until = bestAccuracy(table);
  const limit = kind === 'random' ? table.networks.size : LIMIT;
  return median(
    seeds.map((seed) => {
      const keys = evaluated(table, specOf(kind, seed, limit), { until });
      const place = keys.findIndex((key) => accuracyOf(table, key) >= until);
      return place < 0 ? limit : place + 1;
    }),
  );
}

const geometricMean = (numbers: readonly number[]) =>
  Math.exp(numbers.reduce((sum, one) => sum + Math.log(one), 0) / numbers.length);

async function benchBest(optuna: Optuna | undefined): Promise<{ goals: Goal[]; rows: unknown }> {
  const kinds = ['random', 'evolution', 'tpe'];
  const rows: Record<string, Record<string, number>> = {};
  for (const kind of kinds) {
    rows[kind] = Object.fromEntries(tables.map((table) => [table.name, toBest(table, kind)]));
    say(`to best, ${kind}: ${JSON.stringify(rows[kind])}`);
  }
  const goals = kinds
    .slice(1)
    .flatMap((kind) =>
      TABLES.map((table) =>
        atMost(`${kind} to best of ${table}, of random`, rows[kind]![table]! / rows.random![table]!, 0.4, ''),
      ),
    );
  if (optuna !== undefined) {
    rows.optuna = {};
    for (const table of tables) {
      const how = { best: bestAccuracy(table), seeds: SEEDS, limit: LIMIT };
      const results = await optuna.evaluationsTo(table, how);
      rows.optuna[table.name] = median(results.map((one) => one ?? LIMIT));
    }
    say(`to best, Optuna's TPE, one after the other: ${JSON.stringify(rows.optuna)}`);
    const means = kinds.slice(1).map((kind) => geometricMean(TABLES.map((table) => rows[kind]![table]!)));
    const theirs = geometricMean(TABLES.map((table) => rows.optuna![table]!));
    goals.push(
      atMost("the best of ours to best, geometric mean, of Optuna's TPE", Math.min(...means) / theirs, 1, ''),
    );
  }
  return { goals, rows };
}

async function benchFront(optuna: Optuna | undefined): Promise<{ goals: Goal[]; rows: unknown }> {
  const rows: Record<string, Record<string, number>> = {
    random: {},
    nsga2: {},
    ...(optuna && { optuna: {} }),
  };
  for (const table of tables) {
    const networks = [...table.networks.values()];
    const reference = [
      median(networks.map(({ accuracy }) => accuracy)),
      -median(networks.map(({ latency }) => latency)),
    ];
    const scoresOf = (key: string) => {
      const { accuracy, latency } = table.networks.get(key)!;
      return [accuracy, -latency];
    };
    const all = hypervolume([...table.networks.keys()].map(scoresOf), reference);
    const share = (keys: readonly string[]) =>
      hypervolume(keys.slice(0, FRONT_EVALUATIONS).map(scoresOf), reference) / all;
    for (const kind of ['random', 'nsga2'])
      rows[kind]![table.name] = median(
        seeds.map((seed) => share(evaluated(table, specOf(kind, seed, FRONT_EVALUATIONS), { scoresOf }))),
      );
    const theirs = await optuna?.front(table, { seeds: SEEDS, limit: FRONT_EVALUATIONS });
    if (theirs !== undefined) rows.optuna![table.name] = median(theirs.map(share));
  }
  for (const [kind, row] of Object.entries(rows)) say(`front, ${kind}: ${JSON.stringify(row)}`);
  return {
    goals: TABLES.map((table) =>
      atLeast(
        `front of ${table}, nsga2`,
        rows.nsga2![table]!,
        FRONT_SHARES[table] ?? 0.8,
        'of the hypervolume',
      ),
    ),
    rows,
  };
}

/** What the order costs: evolution that sees results later, and one that sees them as they come. */
/** What it costs to have equal moves for any order of finishing: evaluations, and the time that workers wait. */
function benchLag(): { goals: Goal[]; rows: unknown } {
  const row = (how: How) => Object.fromEntries(tables.map((table) => [table.name, costOf(table, how)]));
  const rows = {
    ...Object.fromEntries([1, 4, 16, 64].map((lag) => [`lag ${lag}, as many at once`, row({ lag })])),
    'lag 16, 8 at once': row({ workers: 8 }),
    'as finished, 8 at once': row({ workers: 8, order: 'as-finished' }),
    'as finished, 16 at once': row({ order: 'as-finished' }),
  };
  for (const [name, found] of Object.entries(rows)) say(`evolution, ${name}: ${JSON.stringify(found)}`);
  return { goals: [], rows };
}

/**
 * Medians over the seeds: the evaluations until evolution has found one of the best, and the time until those that ran
 * then had ended too, in that of a mean evaluation.
 */
function costOf(table: GraphTable, how: How): { readonly evaluations: number; readonly time: number } {
  const until = bestAccuracy(table);
  const found = seeds.map((seed) => searched(table, specOf('evolution', seed, LIMIT), { ...how, until }));
  return {
    evaluations: median(
      found.map(({ evaluated: keys }) => 1 + keys.findIndex(({ key }) => accuracyOf(table, key) >= until)),
    ),
    time: Number(median(found.map(({ time }) => time)).toFixed(1)),
  };
}

/** Our own table, where it was made. */
function benchOwn(): { goals: Goal[]; rows: unknown } {
  const table = readOwnTable();
  if (table !== undefined) return benchRungs(table, seeds);
  say('our own table is not there, so rungs have no row; npm run generate:search-table makes it');
  return { goals: [], rows: {} };
}

let optuna: Optuna | undefined;
try {
  if (values.only.some((name) => name === 'best' || name === 'front')) optuna = await installOptuna();
} catch (caught) {
  say(`Optuna has no row: ${(caught as Error).message.split('\n')[0]}`);
}
const goals: Goal[] = [];
const rows: Record<string, unknown> = {};
const ROWS = {
  best: () => benchBest(optuna),
  front: () => benchFront(optuna),
  lag: benchLag,
  rungs: benchOwn,
};
try {
  for (const name of values.only) {
    const bench = ROWS[name as keyof typeof ROWS] ?? refuse(`--only ${name} is no row`, known);
    const measured = await bench();
    goals.push(...measured.goals);
    rows[name] = measured.rows;
  }
} finally {
  optuna?.remove();
}
tell(goals, rows, values.json);
