// The states that the compute thread keeps on its device for runs, by number: from the start of a generation to its
// end. Decides that an update is compiled once for all states of its kind, and what a number means that is not there
// any more.

import { LRUCache } from 'lru-cache';
import { FleetError } from '../../core/errors.ts';
import {
  compileSgd,
  keepState,
  type ResidentSgd,
  type SgdArrays,
  type SgdPrograms,
} from '../../core/optim/resident-sgd.ts';
import { createShardSums, type ShardSums } from '../../core/optim/shard-sums.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { CompiledGraph, Engine, Resident } from '../../core/tensor/graph/engine.ts';
import type { LayoutFor } from './layouts.ts';
import type {
  Applied,
  ApplyKeptRequest,
  KeepRequest,
  KeptRun,
  StepKeptRequest,
  UpdateSpec,
} from './messages.ts';

/** Compiled updates that are kept; a run needs one. */
const UPDATES_MAX = 16;

interface Kept {
  readonly update: UpdateSpec;
  readonly state: ResidentSgd;
  /** What shards of the open step have given. */
  readonly sums: ShardSums;
}

/** The states that lie on devices. */
export interface KeptStates {
  /** Compiles the update ahead of its first use; does nothing where vectors are kept on the host. */
  prepare(update: UpdateSpec): void;
  /** Puts a state onto the device; undefined where vectors are kept on the host. */
  keep(request: KeepRequest): number | undefined;
  /** The weights of a state as an input of graphs; they are over with its next step. */
  weights(kept: number): Resident;
  /** Runs a graph on the weights of a state, on several devices at once, and adds up what the runs give. */
  run(kept: number, graph: CompiledGraph, runs: readonly KeptRun[]): void;
  apply(request: ApplyKeptRequest): Applied;
  /**
   * Runs a graph on the weights of each state, and steps it by its vector, which does not leave its device for that.
   */
  step(graph: CompiledGraph, steps: StepKeptRequest['steps']): void;
  read(kept: number, into: SgdArrays): void;
  /** Nothing for a number that is not there. */
  drop(kept: number): void;
  /** What is on the device. */
  gauges(): { readonly tensors: number; readonly bytes: number };
}

/** No state is there at first. */
export function createKeptStates(options: {
  readonly engine: Engine;
  readonly cacheDir: string;
  readonly layoutFor: LayoutFor;
}): KeptStates {
  const { engine } = options;
  const layoutFor = ({ network, classes, adapter }: UpdateSpec) =>
    options.layoutFor(network, { classes, adapter });
  const cache = options.cacheDir === '' ? {} : { cacheDir: options.cacheDir };
  const states = new Map<number, Kept>();
  const updates = new LRUCache<string, SgdPrograms>({
    max: UPDATES_MAX,
    dispose: (programs) => programs.dispose(),
  });
  let next = 1;
  const compiled = (update: UpdateSpec): SgdPrograms | undefined => {
    const key = canonicalJson(update);
    const found =
      updates.get(key) ??
      compileSgd(engine, { layout: layoutFor(update), optimizer: update.optimizer, ...cache });
    if (found !== undefined) updates.set(key, found);
    return found;
  };
  const stateOf = (kept: number) => {
    const found = states.get(kept);
    if (found !== undefined) return found;
    throw new FleetError('failedPrecondition', `state ${kept} is not kept here, or was freed before`);
  };
  return {
    prepare: (update) => void compiled(update),
    keep({ update, state, device }) {
      if (compiled(update) === undefined) return undefined;
      const { optimizer } = update;
      states.set(next, {
        update,
        state: keepState(engine, { layout: layoutFor(update), optimizer, state, device }),
        sums: createShardSums(),
      });
      return next++;
    },
    weights: (kept) => stateOf(kept).state.weights(),
    run(kept, graph, runs) {
      const { update, state, sums } = stateOf(kept);
      const { pairSum } = compiled(update)!;
      const weights = state.weights();
      const vectors = graph.runPlaced!(
        runs.map(({ inputs, device }) => ({ inputs: [weights, ...inputs], device })),
      );
      sums.take(
        pairSum,
        runs.map((run, i) => ({ ...run, vector: vectors[i]! })),
      );
    },
    apply({ kept, ...rest }) {
      const { update, state } = stateOf(kept);
      const programs = compiled(update)!;
      const { gradientNorm } = state.apply({ programs, ...rest });
      return { gradientNorm, digest: state.digest(programs) };
    },
    step(graph, steps) {
      const runs = steps.map(({ kept, inputs }) => {
        const weights = stateOf(kept).state.weights();
        return { inputs: [weights, ...inputs], device: weights.devices[0]! };
      });
      const vectors = graph.runPlaced!(runs);
      try {
        for (const [i, { kept, inputs: _, into, ...rest }] of steps.entries()) {
          const { update, state } = stateOf(kept);
          vectors[i]!.read(into);
          state.apply({ programs: compiled(update)!, mean: into, resident: vectors[i]!, ...rest });
        }
      } finally {
        for (const vector of vectors) vector.free();
      }
    },
    read: (kept, into) => stateOf(kept).state.read(into),
    drop(kept) {
      states.get(kept)?.state.free();
      states.get(kept)?.sums.free();
      states.delete(kept);
    },
    gauges() {
      let [tensors, bytes] = [0, 0];
      for (const { update, state, sums } of states.values()) {
        tensors += 3 + sums.waiting();
        bytes += state.bytes + sums.waiting() * 4 * layoutFor(update).vectorCount;
      }
      return { tensors, bytes };
    },
  };
}
