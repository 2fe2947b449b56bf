// The class shards that the compute thread keeps on its device, by number: from the first step of a generation to its end.
// Decides that updates of rows are compiled once for all class shards of a size, and that rows which lie in memory are
// moved by the same program, because not all devices round denormal numbers as the host does.

import { LRUCache } from 'lru-cache';
import { FleetError } from '../../core/errors.ts';
import { keepRows, type ResidentRows } from '../../core/head/resident-rows.ts';
import { type RowsUpdate, updateRows } from '../../core/head/rows.ts';
import { rowsModule } from '../../core/head/rows-module.ts';
import type { OptimizerOptions } from '../../core/optim/sgd.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { CompiledGraph, Engine, ResidentModule } from '../../core/tensor/graph/engine.ts';
import type { CommitRowsRequest, KeepRowsRequest, ReadRowsRequest, RunRowsRequest } from './messages.ts';

/** Compiled updates that are kept; a run has class shards of two sizes at most. */
const UPDATES_MAX = 16;

export interface KeptRows {
  /** Puts a class shard onto the device; undefined where vectors are kept on the host. */
  keep(request: KeepRowsRequest): number | undefined;
  /** Runs a graph whose second input is the rows of a class shard. */
  run(graph: CompiledGraph, request: Omit<RunRowsRequest, 'graph'>): Float32Array[];
  commit(request: CommitRowsRequest): void;
  read(request: ReadRowsRequest): void;
  /** Nothing for a number that is not there. */
  drop(kept: number): void;
  /** One step of rows in memory. */
  update(request: RowsUpdate): void;
  /** What is on the device. */
  gauges(): { readonly tensors: number; readonly bytes: number };
}

export function createKeptRows({
  engine,
  cacheDir,
}: {
  readonly engine: Engine;
  readonly cacheDir: string;
}): KeptRows {
  const cache = cacheDir === '' ? {} : { cacheDir };
  const shards = new Map<number, { readonly rows: ResidentRows; readonly update: ResidentModule }>();
  const updates = new LRUCache<string, ResidentModule>({
    max: UPDATES_MAX,
    dispose: (update) => update.dispose(),
  });
  let next = 1;
  const compiled = (values: number, optimizer: OptimizerOptions): ResidentModule | undefined => {
    if (engine.compileModule === undefined) return undefined;
    const key = canonicalJson({ values, optimizer });
    const found =
      updates.get(key) ??
      engine.compileModule(rowsModule(values, optimizer), { what: 'the update of a class shard', ...cache });
    updates.set(key, found);
    return found;
  };
  const shardOf = (kept: number) => {
    const found = shards.get(kept);
    if (found !== undefined) return found;
    throw new FleetError('failedPrecondition', `class shard ${kept} is not kept here, or was freed before`);
  };
  return {
    keep({ rows, optimizer }) {
      const update = compiled(rows.weights.length, optimizer);
      if (update === undefined) return undefined;
      shards.set(next, { rows: keepRows(engine, rows), update });
      return next++;
    },
    run(graph, { kept, unit, others, leaves }) {
      const { rows } = shardOf(kept);
      const inputs = [unit, rows.weights(), ...others];
      if (!leaves) return graph.run(inputs);
      const { first, others: outputs } = graph.runLeaving!(inputs);
      rows.take(first);
      return outputs;
    },
    commit({ kept, ...options }) {
      const { rows, update } = shardOf(kept);
      rows.commit(update, options);
    },
    read: ({ kept, into }) => shardOf(kept).rows.read(into),
    drop(kept) {
      shards.get(kept)?.rows.free();
      shards.delete(kept);
    },
    update(request) {
      const { weights, momentum, gradient, optimizer, scale, learningRate, step } = request;
      const update = gradient.length === weights.length ? compiled(weights.length, optimizer) : undefined;
      if (update === undefined) {
        updateRows(request);
        return;
      }
      const rows = keepRows(engine, { weights, momentum });
      try {
        rows.take(engine.keep(gradient, 0));
        rows.commit(update, { scale, learningRate, step });
        rows.read({ weights, momentum, gradient });
      } finally {
        rows.free();
      }
    },
    gauges() {
      const all = [...shards.values()].map(({ rows }) => rows.gauges());
      return {
        tensors: all.reduce((sum, { tensors }) => sum + tensors, 0),
        bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
      };
    },
  };
}
