// The state that SGD trains, on the devices of an engine, a replica on each, or on one: weights, momentum and running statistics lie there from
// step to step, the compiled update (sgd-module.ts) takes them over and gives them back in the same memory. Decides what
// crosses: the mean goes in with each step, unless it is there, and the digest of the new weights comes out when it travels
// with the next one; the vectors come out when somebody asks.

import { FleetError } from '../errors.ts';
import type { Layout } from '../nn/layout.ts';
import {
  type Engine,
  keepAll,
  type Resident,
  type ResidentModule,
  valuesOf,
} from '../tensor/graph/engine.ts';
import { pairSumModule } from '../tensor/lowering/pair-sum.ts';
import { digestModule, digestOfSums } from './digest-module.ts';
import { type AppliedStep, assessStep, type OptimizerOptions } from './sgd.ts';
import { updateModule } from './sgd-module.ts';

/** The vectors of a state on the host: weights [P], momentum [P], running [S]. */
export interface SgdArrays {
  readonly weights: Float32Array;
  readonly momentum: Float32Array;
  readonly running: Float32Array;
}

/** What steps a state on the device: the sum of two shards' vectors, the update and the digest. */
export interface SgdPrograms {
  readonly pairSum: ResidentModule;
  readonly update: ResidentModule;
  readonly digest: ResidentModule;
  dispose(): void;
}

/** A state on the device. Whoever made it frees it. */
export interface ResidentSgd {
  /** The weights as an input of graphs; they are over with the next step. */
  weights(): Resident;
  /** One step, with the bits of applyStep and its failures. */
  apply(request: {
    readonly programs: SgdPrograms;
    /** [P + S + 3], divided by the number of shards. */
    readonly mean: Float32Array;
    /** The same, where it is on the devices of the state already. */
    readonly resident?: Resident;
    readonly learningRate: number;
    readonly step?: number;
  }): AppliedStep;
  /** stepDigest of the weights, computed from where they lie. */
  digest(programs: SgdPrograms): string;
  /** Copies the state to the host. */
  read(into: SgdArrays): void;
  /** Bytes on the devices. */
  readonly bytes: number;
  /** A second call does nothing. */
  free(): void;
}

/** The programs for states of this layout, or undefined where the engine keeps vectors on the host. */
export function compileSgd(
  engine: Engine,
  options: { readonly layout: Layout; readonly optimizer: OptimizerOptions; readonly cacheDir?: string },
): SgdPrograms | undefined {
  const { layout, optimizer, cacheDir } = options;
  if (engine.compileModule === undefined) return undefined;
  const compiled = (module: Parameters<typeof engine.compileModule>[0], what: string) =>
    engine.compileModule!(module, { what, cacheDir });
  const pairSum = compiled(pairSumModule(layout.vectorCount), "the sum of two shards' vectors");
  const update = compiled(updateModule(layout, optimizer), "the optimiser's update");
  const digest = compiled(digestModule(layout.parameterCount), 'the digest of the weights');
  return {
    pairSum,
    update,
    digest,
    dispose() {
      pairSum.dispose();
      update.dispose();
      digest.dispose();
    },
  };
}

/** Puts a state onto all devices, or onto one. */
export function keepState(
  engine: Engine,
  options: {
    readonly layout: Layout;
    readonly optimizer: OptimizerOptions;
    readonly state: SgdArrays;
    readonly device?: number | undefined;
  },
): ResidentSgd {
  const { layout, optimizer, state, device } = options;
  const { weights, momentum, running } = state;
  const arrays = [weights, momentum, running];
  let vectors = keepAll(engine, arrays, device);
  const { devices } = vectors[0]!;
  return {
    weights: () => vectors[0]!,
    apply({ programs, mean, resident, learningRate, step }) {
      const { applied, scale } = assessStep({
        ...{ layout, mean, optimizer, weights: () => valuesOf(vectors[0]!) },
        ...(step === undefined ? {} : { step }),
      });
      const scalars = [Float64Array.of(scale), Float64Array.of(learningRate)];
      vectors = programs.update.run(
        resident === undefined
          ? { donated: vectors, arrays: [mean, ...scalars] }
          : { donated: vectors, kept: [resident], arrays: scalars },
      );
      return applied;
    },
    digest: (programs) => digestOf(programs.digest, vectors[0]!),
    read(into) {
      const places = [into.weights, into.momentum, into.running];
      for (const [index, vector] of vectors.entries()) vector.read(places[index]!);
    },
    bytes: devices.length * arrays.reduce((sum, { byteLength }) => sum + byteLength, 0),
    free() {
      for (const vector of vectors) vector.free();
    },
  };
}

/** The digest that all devices have; another one at one of them ends the run here, as at a member of its gang. */
function digestOf(program: ResidentModule, weights: Resident): string {
  const [sums] = program.run({ kept: [weights] });
  try {
    const digests = weights.devices.map((device) => digestOfSums(valuesOf(sums!, device), weights.length));
    const other = digests.findIndex((digest) => digest !== digests[0]);
    if (other < 0) return digests[0]!;
    throw new FleetError(
      'dataLoss',
      `replicas differ on the devices of this worker: the first has weights ${digests[0]}, device ${other} has ${digests[other]}; that device computes wrongly, or its memory is damaged`,
    );
  } finally {
    sums!.free();
  }
}
