// What the main thread and the compute thread say to each other. Decides the words only; thread.ts answers them and
// client.ts asks. Arrays backed by a SharedArrayBuffer are shared and not copied: weights, momentum and running statistics
// live in such memory for the whole life of a run, and only the thread that works on a job touches them meanwhile.

import type { HeadShape } from '../../core/head/classes.ts';
import type { RowsUpdate } from '../../core/head/rows.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import type { TrainingSpec } from '../../core/spec/training.ts';
import type { CudaDevice } from '../../core/tensor/device-facts.ts';

/** A compiled graph by content: runs that agree in all of it share the compiled thing. */
export type GraphSpec =
  | {
      readonly kind: 'train';
      readonly network: NetworkSpec;
      readonly classes: number;
      readonly loss: TrainingSpec['loss'];
      /** Images a shard, B/V. */
      readonly batch: number;
      /** Weight of the distillation term; undefined for a run without a teacher, whose graph has no such input. */
      readonly distillationWeight: number | undefined;
    }
  | { readonly kind: 'embed'; readonly network: NetworkSpec; readonly batch: number }
  /** A class shard's part (core/head/step.ts). */
  | ({ readonly kind: 'head-statistics' | 'head-gradients' } & HeadShape);

/** One that runs in two parts: the backbone of a run whose head is sharded by class (core/nn/step-function.ts). */
export interface TwoPartSpec {
  readonly kind: 'backbone';
  readonly network: NetworkSpec;
  readonly batch: number;
  readonly distillationWeight: number | undefined;
}

export const graphKey = (graph: GraphSpec | TwoPartSpec): string => canonicalJson(graph);

/** What a run's optimiser step works on, in place. */
export interface ApplyRequest {
  readonly network: NetworkSpec;
  readonly classes: number;
  readonly optimizer: TrainingSpec['optimizer'];
  readonly learningRate: number;
  /** The step being applied; named by the error when something is not finite. */
  readonly step: number;
  readonly weights: Float32Array;
  readonly momentum: Float32Array;
  readonly running: Float32Array;
  /** Mean over the shards, [P + S + 3]. */
  readonly mean: Float32Array;
}

/** A run's first weights, head included, written into shared memory: of many classes they take seconds. */
export interface InitialRequest {
  readonly network: NetworkSpec;
  readonly classes: number;
  readonly seed: number;
  /** [P] */
  readonly into: Float32Array;
}

/** What a shard contributes to a round of `sync: outer`, written into shared memory. */
export interface DifferenceRequest {
  /** The replica with which the round began, and the shard's own. */
  readonly from: { readonly weights: Float32Array; readonly running: Float32Array };
  readonly to: { readonly weights: Float32Array; readonly running: Float32Array };
  /** Sums over the steps. */
  readonly losses: Float64Array;
  readonly steps: number;
  /** [P + S + 3] */
  readonly into: Float32Array;
}

/** The outer step at the end of a round, in place. */
export interface OuterRequest {
  readonly network: NetworkSpec;
  readonly classes: number;
  readonly outer: { readonly learningRate: number; readonly momentum: number };
  /** First step of the round; named by the error when something is not finite. */
  readonly step: number;
  readonly weights: Float32Array;
  /** The outer momentum. */
  readonly momentum: Float32Array;
  readonly running: Float32Array;
  /** Mean over the shards, [P + S + 3]. */
  readonly mean: Float32Array;
}

export type Arrays = readonly (Float32Array | Int32Array | Uint8Array)[];

export type ComputeRequest =
  | { readonly kind: 'prove' }
  /** Compiles ahead, so that the first step of a run does not stall its gang for longer than needed. */
  | { readonly kind: 'prepare'; readonly graph: GraphSpec | TwoPartSpec }
  | {
      readonly kind: 'run';
      readonly graph: GraphSpec;
      readonly inputs: Arrays;
      /** Shared memory for the first output, which is then no part of the answer. */
      readonly into: Float32Array | undefined;
    }
  /** The first part; the arrays must not change before the second. */
  | { readonly kind: 'begin'; readonly graph: TwoPartSpec; readonly inputs: Arrays }
  /** The second part of what `begun` named; after it, or its failure, the number means nothing any more. */
  | {
      readonly kind: 'finish';
      readonly begun: number;
      readonly inputs: Arrays;
      readonly into: Float32Array | undefined;
    }
  /** It will not be finished. A number that means nothing is no error: the part may have failed. */
  | { readonly kind: 'release'; readonly begun: number }
  | { readonly kind: 'apply'; readonly apply: ApplyRequest }
  | { readonly kind: 'update-rows'; readonly update: RowsUpdate }
  | { readonly kind: 'initial'; readonly initial: InitialRequest }
  | { readonly kind: 'difference'; readonly difference: DifferenceRequest }
  | { readonly kind: 'apply-outer'; readonly apply: OuterRequest };

/** What the device proof found by running a kernel. */
export interface DeviceProof {
  readonly kind: 'cpu' | 'cuda';
  readonly name: string;
  readonly tensorflowVersion: string;
  /** Whether TensorFlow rewrites compiled graphs. */
  readonly graphs: 'as-recorded' | 'optimised';
  /** Digest of our own kernels and their compiler, or null where the library's compute everything. */
  readonly kernels: string | null;
  /** TensorFlow's name of where the product ran, e.g. `/job:localhost/replica:0/task:0/device:GPU:0`. */
  readonly ranOn: string;
  /** Which libtensorflow set-up put in place; null where somebody else did. */
  readonly variant: 'cpu' | 'gpu' | null;
  /** Of the GPU; undefined on a CPU, and where the addon cannot ask CUDA. */
  readonly gpu: CudaDevice | undefined;
}

export type ComputeAnswer =
  | { readonly kind: 'proved'; readonly proof: DeviceProof }
  | { readonly kind: 'prepared'; readonly digest: string; readonly nodes: number }
  | { readonly kind: 'ran'; readonly outputs: readonly Float32Array[] }
  | { readonly kind: 'begun'; readonly begun: number; readonly outputs: readonly Float32Array[] }
  | { readonly kind: 'applied'; readonly gradientNorm: number; readonly digest: string }
  | { readonly kind: 'written' }
  | { readonly kind: 'released' };

/** The error family does not survive structured cloning, so its parts travel. */
export interface ComputeFailure {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface ToThread {
  readonly id: number;
  readonly request: ComputeRequest;
}

/** Levels of the thread's memory, sent with each answer for the metrics; what begun computations keep is in them. */
export interface ThreadGauges {
  readonly tensors: number;
  readonly bytes: number;
  readonly graphs: number;
}

export type FromThread = {
  readonly id: number;
  /** Time the job itself took in the thread, without its wait in the queue. */
  readonly busyMs: number;
  readonly gauges: ThreadGauges;
} & (
  | { readonly kind: 'done'; readonly answer: ComputeAnswer }
  | { readonly kind: 'failed'; readonly failure: ComputeFailure }
);
