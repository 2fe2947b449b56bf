// The calls of the compute thread: what goes with each, and what it answers. Arrays backed by a
// SharedArrayBuffer are shared and not copied: weights, momentum and running statistics live in such memory
// for the whole life of a run, and only the thread that works on a job touches them meanwhile.

import type { HeadShape } from '../../core/head/classes.ts';
import type { CommitOptions, RowsArrays } from '../../core/head/resident-rows.ts';
import type { RowsUpdate } from '../../core/head/rows.ts';
import type { RowsShape } from '../../core/head/rows-module.ts';
import type { SupernetSpec } from '../../core/nn/supernet.ts';
import type { SgdArrays } from '../../core/optim/resident-sgd.ts';
import type { OptimizerOptions } from '../../core/optim/sgd.ts';
import type { ShardPlace } from '../../core/optim/shard-sums.ts';
import type { Scored, ScoreRequest } from '../../core/screening/score.ts';
import type { SearchState, SearchStepOptions, SearchWork } from '../../core/search/bilevel.ts';
import type { Wanted } from '../../core/search/rounds.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import type { TrainingSpec } from '../../core/spec/training.ts';
import type { CudaDevice } from '../../core/tensor/device-facts.ts';
import type { Precision } from '../../core/tensor/graph/obtain.ts';
import type { DEVICE_KINDS } from '../../core/worker-kinds.ts';
import type { EngineFacts } from './engine.ts';

/** A compiled graph by content: runs that agree in all of it share one. */
export type GraphSpec =
  | {
      readonly kind: 'train';
      readonly network: NetworkSpec;
      readonly classes: number;
      readonly loss: TrainingSpec['loss'];
      /** Images of one shard in a step: B/V. */
      readonly batch: number;
      /** Whether the run has a teacher: its graph has embeddings and a weight as inputs. */
      readonly distils: boolean;
      /** Size that the student's adapter maps to; absent without one. */
      readonly adapter?: number;
      /** The backward pass computes activations again (core/tensor/passes/recompute.ts). */
      readonly recompute?: boolean;
      /** How products are computed; float32 without it. */
      readonly precision?: Precision;
    }
  | { readonly kind: 'embed'; readonly network: NetworkSpec; readonly batch: number }
  /** A pass of a search (core/search/search-function.ts). */
  | {
      readonly kind: 'search';
      readonly supernet: SupernetSpec;
      readonly wanted: Wanted;
      /** The weight of an unweighted skip beside each edge is an input. */
      readonly hasAuxiliarySkip?: boolean;
      readonly batch: number;
      readonly recompute?: boolean;
    }
  /** Logits of a search network in evaluation mode. */
  | {
      readonly kind: 'search-logits';
      readonly supernet: SupernetSpec;
      /** As of `search`. */
      readonly hasAuxiliarySkip?: boolean;
      readonly batch: number;
    }
  /** Batch statistics of a search network, and embeddings before its classifier. */
  | {
      readonly kind: 'search-statistics' | 'search-embed';
      readonly supernet: SupernetSpec;
      readonly batch: number;
    }
  /** A class shard's part (core/head/step.ts). */
  | ({ readonly kind: 'head-statistics' | 'head-gradients' } & HeadShape);

/**
 * A graph that runs in two parts: the backbone of a run whose head is sharded by class
 * (core/nn/step-function.ts).
 */
export interface TwoPartSpec {
  readonly kind: 'backbone';
  readonly network: NetworkSpec;
  readonly batch: number;
  readonly distils: boolean;
  /** Both as of `train`. */
  readonly adapter?: number;
  readonly recompute?: boolean;
  readonly precision?: Precision;
}

export const graphKey = (graph: Compilable): string => canonicalJson(graph);

/** What a run's optimiser step works on, in place. */
export interface ApplyRequest {
  readonly network: NetworkSpec;
  readonly classes: number;
  /** As of `train`. */
  readonly adapter?: number | undefined;
  readonly optimizer: TrainingSpec['optimizer'];
  readonly learningRate: number;
  /** The step that is applied; an error about a value that is not finite names it. */
  readonly step: number;
  readonly weights: Float32Array;
  readonly momentum: Float32Array;
  readonly running: Float32Array;
  /** Mean over the shards, [P + S + 3]. */
  readonly mean: Float32Array;
}

/** The optimiser's step as a program of the device, for states that are kept there. */
export interface UpdateSpec {
  readonly kind: 'update';
  readonly network: NetworkSpec;
  readonly classes: number;
  /** As of `train`. */
  readonly adapter?: number;
  readonly optimizer: TrainingSpec['optimizer'];
}

/** The programs that choose and move the rows of class shards of one shape, for those that are kept on the device. */
export interface RowsSpec {
  readonly kind: 'rows';
  readonly shape: RowsShape;
  readonly optimizer: OptimizerOptions;
}

/** What is compiled ahead of its first use. */
export type Compilable = GraphSpec | TwoPartSpec | UpdateSpec | RowsSpec;

/** The run of a graph on the weights of a kept state that gives a shard's vector, into shared memory. */
export interface KeptRun extends ShardPlace {
  /** The inputs behind the weights. */
  readonly inputs: Arrays;
  /** Which device computes it: the same for all shards of its node, and another one for each run of a call. */
  readonly device: number;
}

/** The optimiser's step of a state that is kept on the device. */
export interface ApplyKeptRequest {
  /** Number of the state. */
  readonly kept: number;
  readonly learningRate: number;
  /** As of ApplyRequest. */
  readonly step: number;
  /** As of ApplyRequest. */
  readonly mean: Float32Array;
}

/** The step of a state by the vector of one shard alone: a graph, and the optimiser's step by what it gives. */
export interface OwnStep extends Omit<ApplyKeptRequest, 'kept' | 'mean'> {
  /** The inputs behind the weights. */
  readonly inputs: Arrays;
  /** Shared memory for the vector. */
  readonly into: Float32Array;
}

/** Such steps of states that are kept on different devices, all at the same time. */
export interface StepKeptRequest {
  readonly graph: GraphSpec;
  readonly steps: readonly (OwnStep & { readonly kept: number })[];
}

/** A state that goes onto the device. */
export interface KeepRequest {
  readonly update: UpdateSpec;
  /** In shared memory. */
  readonly state: SgdArrays;
  /** One of the devices; absent: a replica on each. */
  readonly device?: number;
}

/** A class shard that goes onto the device. */
export interface KeepRowsRequest {
  /** In shared memory. */
  readonly arrays: RowsArrays;
  readonly rows: RowsSpec;
}

/** The run of a graph whose inputs are unit embeddings, the rows of a kept class shard that take part, and others. */
export interface RunRowsRequest {
  readonly graph: GraphSpec;
  readonly kept: number;
  readonly unit: Float32Array;
  readonly others: Arrays;
  /** The first output is the gradient of the rows, and stays with them. */
  readonly leaves: boolean;
}

/** One step of the rows of a kept class shard by the gradient that stayed with them. */
export interface CommitRowsRequest extends CommitOptions {
  readonly kept: number;
}

/** Copies of a kept class shard, into shared memory. */
export interface ReadRowsRequest {
  readonly kept: number;
  readonly into: RowsArrays & { readonly gradient: Float32Array };
}

/** An open step of a search: its state, its memory and how it is made; all arrays are in shared memory. */
export interface SearchRequest {
  readonly supernet: SupernetSpec;
  readonly state: SearchState;
  readonly work: SearchWork;
  readonly step: SearchStepOptions;
  /** Number of the step, for errors about values that are not finite. */
  readonly number: number;
  /** Place of the round in the step. */
  readonly round: number;
  /** Mean of the round over the shards. */
  readonly mean: Float32Array;
}

/** What the last round of a search's step gives. */
export interface SearchApplied {
  readonly trainingLoss: number;
  /** Absent in a step of the warm-up. */
  readonly validationLoss?: number;
  /** Of a step that is probed (core/search/difference-error.ts). */
  readonly differenceError?: number;
  /** L2 norm of the weights' gradient before clipping. */
  readonly gradientNorm: number;
  /** Of the new weights and alphas. */
  readonly digest: string;
}

/** A run's first weights, head included, written into shared memory: of many classes they take seconds. */
export interface InitialRequest {
  readonly network: NetworkSpec | SupernetSpec;
  readonly classes: number;
  /** As of `train`. */
  readonly adapter?: number | undefined;
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
  /** As of `train`. */
  readonly adapter?: number | undefined;
  readonly outer: { readonly learningRate: number; readonly momentum: number };
  /** First step of the round; an error about a value that is not finite names it. */
  readonly step: number;
  readonly weights: Float32Array;
  /** [P], the outer optimiser's. */
  readonly momentum: Float32Array;
  readonly running: Float32Array;
  /** Mean over the shards, [P + S + 3]. */
  readonly mean: Float32Array;
}

export type Arrays = readonly (Float32Array | Int32Array | Uint8Array)[];

/** A network whose forward pass of one image is timed. */
export interface LatencyRequest {
  readonly network: NetworkSpec;
  readonly weights: Float32Array;
  readonly running: Float32Array;
  /** One image, RGB, HWC. */
  readonly image: Uint8Array;
}

/** What the compute thread is asked, by kind of call. */
export type ComputeCalls = {
  /** Runs a kernel. */
  readonly prove: { readonly ask: undefined; readonly answer: DeviceProof };
  /** Compiles ahead, so that the first step of a run does not stall its gang for longer than needed. */
  readonly prepare: {
    readonly ask: Compilable;
    readonly answer: { readonly digest: string; readonly nodes: number };
  };
  readonly run: {
    readonly ask: {
      readonly graph: GraphSpec;
      readonly inputs: Arrays;
      /** Shared memory for the first output, which is then no part of the answer. */
      readonly into: Float32Array | undefined;
    };
    readonly answer: readonly Float32Array[];
  };
  /**
   * The first part; the arrays must not change before the second. `kept`: its first input is the weights of this state.
   */
  readonly begin: {
    readonly ask: { readonly graph: TwoPartSpec; readonly kept?: number; readonly inputs: Arrays };
    readonly answer: { readonly begun: number; readonly outputs: readonly Float32Array[] };
  };
  /** The second part of what `begun` named; after it, or its failure, the number means nothing any more. */
  readonly finish: {
    readonly ask: {
      readonly begun: number;
      readonly inputs: Arrays;
      readonly into: Float32Array | undefined;
    };
    readonly answer: readonly Float32Array[];
  };
  /**
   * The number of what will not be finished. One that means nothing is no error: the part may have failed.
   */
  readonly release: { readonly ask: number; readonly answer: undefined };
  readonly apply: { readonly ask: ApplyRequest; readonly answer: Applied };
  /** Puts a state onto the device; without a number where the engine keeps vectors on the host. */
  readonly keep: {
    readonly ask: KeepRequest;
    readonly answer: { readonly kept: number | undefined; readonly devices: number };
  };
  /** Runs a graph whose first input is the weights of a kept state, and adds up what it gives, by nodes. */
  readonly 'run-kept': {
    readonly ask: { readonly graph: GraphSpec; readonly kept: number; readonly runs: readonly KeptRun[] };
    readonly answer: undefined;
  };
  readonly 'apply-kept': { readonly ask: ApplyKeptRequest; readonly answer: Applied };
  readonly 'step-kept': { readonly ask: StepKeptRequest; readonly answer: undefined };
  /** Copies a kept state into shared memory. */
  readonly 'read-kept': {
    readonly ask: { readonly kept: number; readonly into: SgdArrays };
    readonly answer: undefined;
  };
  /** One that means nothing is no error. */
  readonly 'drop-kept': { readonly ask: number; readonly answer: undefined };
  /** Puts a class shard onto the device; without a number where the engine keeps vectors on the host. */
  readonly 'keep-rows': {
    readonly ask: KeepRowsRequest;
    readonly answer: { readonly kept: number | undefined };
  };
  /** Which rows of a class shard take part in the open step. */
  readonly 'choose-rows': {
    readonly ask: { readonly kept: number; readonly chosen: Uint32Array };
    readonly answer: undefined;
  };
  readonly 'run-rows': { readonly ask: RunRowsRequest; readonly answer: readonly Float32Array[] };
  readonly 'commit-rows': { readonly ask: CommitRowsRequest; readonly answer: undefined };
  readonly 'read-rows': { readonly ask: ReadRowsRequest; readonly answer: undefined };
  /** One that means nothing is no error. */
  readonly 'drop-rows': { readonly ask: number; readonly answer: undefined };
  /** Takes the mean of a round that is not the last of its step. */
  readonly 'continue-search': { readonly ask: SearchRequest; readonly answer: undefined };
  /** Takes the mean of the last round and moves the state. */
  readonly 'commit-search': { readonly ask: SearchRequest; readonly answer: SearchApplied };
  readonly 'update-rows': { readonly ask: RowsUpdate; readonly answer: undefined };
  readonly initial: { readonly ask: InitialRequest; readonly answer: undefined };
  readonly difference: { readonly ask: DifferenceRequest; readonly answer: undefined };
  readonly latency: { readonly ask: LatencyRequest; readonly answer: { readonly milliseconds: number } };
  readonly score: { readonly ask: ScoreRequest; readonly answer: { readonly scored: readonly Scored[] } };
  /** `gradientNorm` is that of the mean difference. */
  readonly 'apply-outer': { readonly ask: OuterRequest; readonly answer: Applied };
};

export interface Applied {
  /** L2 norm over the backbone, before clipping. */
  readonly gradientNorm: number;
  /** stepDigest of the new weights. */
  readonly digest: string;
}

/** Values of those variables of the native libraries that are set. */
export type KernelSettings = Readonly<Record<string, string>>;

/** What the device proof found by running a kernel. */
export interface DeviceProof {
  /** What compiles and runs graphs. */
  readonly engine: EngineFacts;
  /** The plugin's platform, where PJRT computes. */
  readonly kind: (typeof DEVICE_KINDS)[number];
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
  /** Of the first GPU; undefined on a CPU, and where the addon cannot ask CUDA. */
  readonly gpu: CudaDevice | undefined;
  /** All devices that compute, at least one. */
  readonly devices: readonly ProvenDevice[];
}

/** A device that computes. */
export interface ProvenDevice {
  /** UUID of a GPU of NVIDIA, else kind and number, such as `rocm:1`. */
  readonly id: string;
  /** Of a GPU all that it has, or what its plugin reports; undefined: the host's. */
  readonly memoryBytes: number | undefined;
}

/**
 * Levels of the thread's memory, sent with each answer for the metrics; what begun computations keep is in
 * them.
 */
export interface ThreadGauges {
  readonly tensors: number;
  readonly bytes: number;
  readonly graphs: number;
}

/** What goes with each answer and each failure. */
export interface JobFacts {
  /** Time the job itself took in the thread, without its wait in the queue, milliseconds. */
  readonly busyMs: number;
  readonly gauges: ThreadGauges;
}
