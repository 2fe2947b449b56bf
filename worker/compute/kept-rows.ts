// The class shards that the compute thread keeps on its device, by number: from the first step of a generation to its
// end. Decides that updates of rows are compiled once for all class shards of a size, and that rows which lie in memory
// are moved by the same program, because not all devices round denormal numbers as the host does.

import { LRUCache } from 'lru-cache';
import { FleetError } from '../../core/errors.ts';
import {
  compileRows,
  keepRows,
  type ResidentRows,
  type RowsPrograms,
} from '../../core/head/resident-rows.ts';
import { type RowsUpdate, updateRows } from '../../core/head/rows.ts';
import type { CompiledGraph, Engine } from '../../core/tensor/graph/engine.ts';
import {
  type CommitRowsRequest,
  graphKey,
  type KeepRowsRequest,
  type ReadRowsRequest,
  type RowsSpec,
  type RunRowsRequest,
} from './messages.ts';

/** Compiled updates that are kept; a run has class shards of two sizes at most. */
const UPDATES_MAX = 16;

/** The class shards that lie on the device. */
export interface KeptRows {
  /** Compiles the programs ahead of their first use; does nothing where vectors are kept on the host. */
  prepare(rows: RowsSpec): void;
  /** Puts a class shard onto the device; undefined where vectors are kept on the host. */
  keep(request: KeepRowsRequest): number | undefined;
  /** The rows of a class shard that take part in a step. */
  choose(kept: number, chosen: Uint32Array): void;
  /** Runs a graph whose second input is those rows. */
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

/** No class shard is there at first. `cacheDir`: folder of compiled programs; empty: none are stored. */
export function createKeptRows({
  engine,
  cacheDir,
}: {
  readonly engine: Engine;
  readonly cacheDir: string;
}): KeptRows {
  const cache = cacheDir === '' ? {} : { cacheDir };
  const shards = new Map<number, { readonly spec: RowsSpec; readonly rows: ResidentRows }>();
  const updates = new LRUCache<string, RowsPrograms>({
    max: UPDATES_MAX,
    dispose: (programs) => programs.dispose(),
  });
  let next = 1;
  const compiled = (spec: RowsSpec): RowsPrograms | undefined => {
    const key = graphKey(spec);
    const found =
      updates.get(key) ?? compileRows(engine, { rows: spec.shape, optimizer: spec.optimizer, ...cache });
    if (found !== undefined) updates.set(key, found);
    return found;
  };
  const shardOf = (kept: number) => {
    const found = shards.get(kept);
    if (found !== undefined) return found;
    throw new FleetError('failedPrecondition', `class shard ${kept} is not kept here, or was freed before`);
  };
  return {
    prepare: (spec) => void compiled(spec),
    keep({ arrays, rows: spec }) {
      if (compiled(spec) === undefined) return undefined;
      shards.set(next, { spec, rows: keepRows(engine, arrays) });
      return next++;
    },
    choose(kept, chosen) {
      const { spec, rows } = shardOf(kept);
      rows.choose(compiled(spec)!, chosen);
    },
    run(graph, { kept, unit, others, leaves }) {
      const { rows } = shardOf(kept);
      const inputs = [unit, rows.chosenRows(), ...others];
      if (!leaves) return graph.run(inputs);
      const { first, others: outputs } = graph.runLeaving!(inputs);
      rows.take(first);
      return outputs;
    },
    commit({ kept, ...options }) {
      const { spec, rows } = shardOf(kept);
      rows.commit(compiled(spec)!, options);
    },
    read: ({ kept, into }) => shardOf(kept).rows.read(into),
    drop(kept) {
      shards.get(kept)?.rows.free();
      shards.delete(kept);
    },
    update(request) {
      const { weights, momentum, chosen, gradient, optimizer, scale, learningRate, step } = request;
      const embedding = gradient.length / chosen.length;
      const shape = { count: weights.length / embedding, embedding, chosen: chosen.length };
      const programs = compiled({ kind: 'rows', shape, optimizer });
      if (programs === undefined) {
        updateRows(request);
        return;
      }
      const rows = keepRows(engine, { weights, momentum });
      try {
        rows.choose(programs, chosen);
        rows.take(engine.keep(gradient, 0));
        rows.commit(programs, { scale, learningRate, step });
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
