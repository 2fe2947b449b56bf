// The main thread's side of the compute thread: one job after another, by rank and then in the order in which
// they were asked for (job-queue.ts), answers as promises. Decides as which kind of job the metrics count a
// call. When the thread dies, every open job is rejected and `died` has the reason; the process must end then,
// since whatever killed a native kernel cannot be trusted to have left the memory alone.

import { FleetError } from '../../core/errors.ts';
import type { CommitOptions } from '../../core/head/resident-rows.ts';
import type { RowsUpdate } from '../../core/head/rows.ts';
import type { Scored, ScoreRequest } from '../../core/screening/score.ts';
import { openThread } from '../../core/thread-calls.ts';
import type { EngineRequest } from './engine.ts';
import type { JobKind } from './job-kind.ts';
import { createJobQueue, type JobRank } from './job-queue.ts';
import type {
  Applied,
  ApplyRequest,
  Arrays,
  Compilable,
  ComputeCalls,
  DeviceProof,
  DifferenceRequest,
  GraphSpec,
  InitialRequest,
  JobFacts,
  KeepRequest,
  KeepRowsRequest,
  KeptRun,
  LatencyRequest,
  OuterRequest,
  OwnStep,
  ReadRowsRequest,
  RunRowsRequest,
  SearchApplied,
  SearchRequest,
  ThreadGauges,
  TwoPartSpec,
} from './messages.ts';

export interface Compute {
  /** Runs a kernel with a known result and returns what it ran on. */
  proveDevice(): Promise<DeviceProof>;
  /** Compiles a graph ahead of its first use. */
  compileGraph(graph: Compilable): Promise<{ readonly digest: string; readonly nodes: number }>;
  /** `into`: shared memory for the first output; the answer then has the other outputs only. */
  runGraph(graph: GraphSpec, inputs: Arrays, into?: Float32Array): Promise<readonly Float32Array[]>;
  /** Runs the first part of a graph that has two; the arrays must not change before the second part. */
  startTwoPart(graph: TwoPartSpec, inputs: Arrays): Promise<TwoPartRun>;
  /**
   * One optimiser step in place; all arrays must be in shared memory. `digest`: stepDigest of the new weights.
   */
  applyStep(apply: ApplyRequest): Promise<Applied>;
  /**
   * Puts a state onto the device. Undefined where the engine keeps vectors on the host, where runGraph and applyStep do
   * the same.
   */
  keepState(request: KeepRequest): Promise<KeptState | undefined>;
  /**
   * Runs a graph whose first input is the weights for each of these states, and makes one optimiser step of each by the
   * vector that it gives. They are on different devices, which compute at the same time. Where it fails some may have
   * stepped.
   */
  stepStates(graph: GraphSpec, steps: readonly (OwnStep & { readonly state: KeptState })[]): Promise<void>;
  /** Writes the weights with which a run begins into shared memory. */
  writeInitialWeights(initial: InitialRequest): Promise<void>;
  /**
   * One optimiser step of the rows of a class shard, in place; weights and momentum must be in shared memory.
   */
  updateRows(update: RowsUpdate): Promise<void>;
  /**
   * Puts a class shard onto the device. Undefined where the engine keeps vectors on the host, where runGraph and
   * updateRows do the same.
   */
  keepRows(request: KeepRowsRequest): Promise<KeptShard | undefined>;
  /** Writes what a shard contributes to a round; all arrays must be in shared memory. */
  writeDifference(difference: DifferenceRequest): Promise<void>;
  /**
   * The outer step at the end of a round, in place. `differenceNorm`: L2 norm of the backbone's mean
   * difference.
   */
  applyOuterStep(apply: OuterRequest): Promise<{ readonly differenceNorm: number; readonly digest: string }>;
  /** Takes the mean of a round of a search's step; all arrays must be in shared memory. */
  continueSearch(request: SearchRequest): Promise<void>;
  /** Takes the mean of the last one and moves the search's state in place. */
  commitSearch(request: SearchRequest): Promise<SearchApplied>;
  /** How long a network takes for one image: the median of passes in the thread, milliseconds. */
  measureLatency(request: LatencyRequest): Promise<number>;
  /** The scores of a network at its initial weights. */
  scoreNetwork(request: ScoreRequest): Promise<readonly Scored[]>;
  /** The same thread for jobs of this owner. */
  ownedBy(owner: JobOwner): Compute;
  /** The same thread for jobs of the same owner that go before or after others. */
  ranked(rank: JobRank): Compute;
  /** Number of jobs that were asked for and are not answered. */
  queuedJobs(): number;
  /** As of the last answer. */
  threadGauges(): ThreadGauges;
  /** Resolves with the reason when the thread ended without being asked to. */
  readonly died: Promise<FleetError>;
  close(): Promise<void>;
}

/** Whoever asks for jobs. */
export interface JobOwner {
  /** The thread begins a job of this owner. */
  computes(kind: JobKind): void;
}

/**
 * A state on the device. The vectors in shared memory that it was made from follow by `read` alone. Its holder frees
 * it.
 */
export interface KeptState {
  /** By which the thread knows it. */
  readonly number: number;
  /** How many devices compute. */
  readonly devices: number;
  /** The one that has the state; absent: each has a replica. */
  readonly device?: number | undefined;
  /**
   * Runs a graph whose first input is the weights; a node is written once all its shards were given, by whatever calls.
   */
  runGraph(graph: GraphSpec, runs: readonly KeptRun[]): Promise<void>;
  /** As startTwoPart, of a graph whose first input is the weights. */
  startTwoPart(graph: TwoPartSpec, inputs: Arrays): Promise<TwoPartRun>;
  /** One optimiser step, with the bits of applyStep. */
  apply(step: Pick<ApplyRequest, 'learningRate' | 'step' | 'mean'>): Promise<Applied>;
  read(): Promise<void>;
  free(): void;
}

/**
 * A class shard on the device. The rows in shared memory that it was made from follow by `read` alone. Its holder frees
 * it.
 */
export interface KeptShard {
  /** The rows with these numbers take part in the open step. */
  choose(chosen: Uint32Array): Promise<void>;
  /**
   * Runs a graph whose inputs are unit embeddings, the rows that take part, and others. `leaves`: its first output is
   * the gradient of the rows, which stays with them.
   */
  run(graph: GraphSpec, run: Omit<RunRowsRequest, 'graph' | 'kept'>): Promise<readonly Float32Array[]>;
  /** One step by that gradient, with the bits of updateRows. */
  commit(options: CommitOptions): Promise<void>;
  /** Copies rows into shared memory, and the gradient of a step that is not committed. */
  read(into: ReadRowsRequest['into']): Promise<void>;
  free(): void;
}

/**
 * A computation after its first part. Its holder completes or discards it, because the thread may keep many
 * megabytes for it.
 */
export interface TwoPartRun {
  readonly outputs: readonly Float32Array[];
  /** Runs the second part. `into`: shared memory for the first output; the answer has the other outputs. */
  complete(inputs: Arrays, into: Float32Array): Promise<readonly Float32Array[]>;
  /** Frees what the thread keeps; does nothing once the computation was completed or discarded. */
  discard(): void;
}

export interface ComputeOptions {
  readonly cacheDir: string;
  /** What compiles and runs graphs; TensorFlow without it. */
  readonly engine?: EngineRequest;
  /** Called for each finished job with the kind and the time in the thread. */
  readonly onJob?: (kind: JobKind, busyMs: number) => void;
  /** Whose jobs are that nobody else owns. */
  readonly owner?: JobOwner;
  /** Called when the thread has no job. */
  readonly onIdle?: () => void;
}

/** Kinds of graphs without a backward pass. */
const FORWARD: ReadonlySet<GraphSpec['kind']> = new Set([
  'embed',
  'search-logits',
  'search-embed',
  'search-statistics',
]);

const TENSORFLOW: EngineRequest = { wanted: 'tensorflow', gpu: false, memoryShare: 0 };

export function createCompute(options: ComputeOptions): Compute {
  const thread = openThread<ComputeCalls, never, never, JobFacts>({
    file: new URL('./thread.ts', import.meta.url),
    name: 'compute thread',
    workerData: { cacheDir: options.cacheDir, engine: options.engine ?? TENSORFLOW },
  });
  let gauges: ThreadGauges = { tensors: 0, bytes: 0, graphs: 0 };

  interface Job {
    readonly kind: JobKind;
    readonly owner: JobOwner | undefined;
    /** Asks the thread. */
    readonly send: () => void;
  }
  /** The job of which its owner, or `onIdle`, was told last. */
  let told: Job | undefined;
  const jobs = createJobQueue<Job>((job) => job.send());
  const tell = () => {
    const inHand = jobs.inHand();
    if (inHand === told) return;
    told = inHand;
    if (inHand === undefined) options.onIdle?.();
    else inHand.owner?.computes(inHand.kind);
  };

  const askFor =
    (owner: JobOwner | undefined, rank: JobRank): Ask =>
    (call, what, kind) =>
      new Promise((resolve, reject) => {
        const end = (job: Job) => {
          jobs.ended(job);
          tell();
        };
        const job: Job = {
          kind,
          owner,
          send: () => {
            const onEnd = (facts: JobFacts) => {
              gauges = facts.gauges;
              options.onJob?.(kind, facts.busyMs);
              end(job);
            };
            // Whatever is not told of its end has one too: the thread has ended, or was not reached.
            const failed = (caught: unknown) => {
              end(job);
              reject(caught);
            };
            try {
              thread.call(call, what, { onEnd }).then(resolve, failed);
            } catch (caught) {
              failed(caught);
            }
          },
        };
        jobs.add(job, rank);
        tell();
      });

  const ownedBy = (owner: JobOwner | undefined, rank: JobRank): Compute => ({
    ...jobsBy(askFor(owner, rank)),
    ownedBy: (other) => ownedBy(other, rank),
    ranked: (other) => ownedBy(owner, other),
    queuedJobs: jobs.size,
    threadGauges: () => gauges,
    died: thread.died,
    close: () => thread.close(),
  });
  return ownedBy(options.owner, 'usual');
}

type Ask = <K extends keyof ComputeCalls>(
  call: K,
  what: ComputeCalls[K]['ask'],
  kind: JobKind,
) => Promise<ComputeCalls[K]['answer']>;

/** The jobs of one owner. The parts of a step with a sharded head count as what they are parts of. */
function jobsBy(
  ask: Ask,
): Omit<Compute, 'ownedBy' | 'ranked' | 'queuedJobs' | 'threadGauges' | 'died' | 'close'> {
  const begin = async (what: ComputeCalls['begin']['ask']): Promise<TwoPartRun> => {
    const { begun, outputs } = await ask('begin', what, 'train');
    let over = false;
    return {
      outputs,
      complete: async (inputs, into) => {
        if (over) throw new FleetError('cancelled', 'this computation was finished or released');
        over = true;
        return ask('finish', { begun, inputs, into }, 'train');
      },
      discard: () => {
        if (over) return;
        over = true;
        // It fails only where the thread has ended, and what it kept with it.
        ask('release', begun, 'train').catch(() => undefined);
      },
    };
  };
  return {
    proveDevice: () => ask('prove', undefined, 'prove'),
    compileGraph: (graph) => ask('prepare', graph, 'prepare'),
    runGraph: (graph, inputs, into) =>
      ask('run', { graph, inputs, into }, FORWARD.has(graph.kind) ? 'embed' : 'train'),
    startTwoPart: (graph, inputs) => begin({ graph, inputs }),
    applyStep: async (apply) => {
      assertShared(inPlace(apply));
      return ask('apply', apply, 'apply');
    },
    keepState: async (request) => {
      const { state } = request;
      assertShared({ ...state });
      const { kept, devices } = await ask('keep', request, 'prepare');
      if (kept === undefined) return undefined;
      return {
        ...{ number: kept, devices, device: request.device },
        runGraph: (graph, runs) => ask('run-kept', { graph, kept, runs }, 'train'),
        startTwoPart: (graph, inputs) => begin({ graph, kept, inputs }),
        apply: (step) => ask('apply-kept', { kept, ...step }, 'apply'),
        read: () => ask('read-kept', { kept, into: state }, 'apply'),
        // It fails only where the thread has ended, and the state with it.
        free: () => void ask('drop-kept', kept, 'apply').catch(() => undefined),
      };
    },
    stepStates: (graph, steps) => {
      const asked = steps.map(({ state, ...step }) => ({ ...step, kept: state.number }));
      return ask('step-kept', { graph, steps: asked }, 'train');
    },
    writeInitialWeights: async (initial) => {
      assertShared({ into: initial.into });
      return ask('initial', initial, 'prepare');
    },
    continueSearch: async (request) => {
      assertShared(sharedOf(request));
      return ask('continue-search', request, 'apply');
    },
    commitSearch: async (request) => {
      assertShared(sharedOf(request));
      return ask('commit-search', request, 'apply');
    },
    measureLatency: async (request) => (await ask('latency', request, 'embed')).milliseconds,
    scoreNetwork: async (request) => (await ask('score', request, 'score')).scored,
    updateRows: async (update) => {
      assertShared({ weights: update.weights, momentum: update.momentum });
      return ask('update-rows', update, 'apply');
    },
    keepRows: async (request) => {
      assertShared({ ...request.arrays });
      const { kept } = await ask('keep-rows', request, 'prepare');
      if (kept === undefined) return undefined;
      return {
        choose: (chosen) => ask('choose-rows', { kept, chosen }, 'train'),
        run: (graph, run) => ask('run-rows', { graph, kept, ...run }, 'train'),
        commit: ({ scale, learningRate, step }) =>
          ask('commit-rows', { kept, scale, learningRate, step }, 'apply'),
        read: async ({ weights, momentum, gradient }) => {
          const into = { weights, momentum, gradient };
          assertShared(into);
          return ask('read-rows', { kept, into }, 'apply');
        },
        // It fails only where the thread has ended, and the class shard with it.
        free: () => void ask('drop-rows', kept, 'apply').catch(() => undefined),
      };
    },
    writeDifference: async (difference) => {
      assertShared({ into: difference.into });
      return ask('difference', difference, 'difference');
    },
    applyOuterStep: async (apply) => {
      assertShared(inPlace(apply));
      const { gradientNorm, digest } = await ask('apply-outer', apply, 'apply-outer');
      return { differenceNorm: gradientNorm, digest };
    },
  };
}

const inPlace = ({ weights, momentum, running }: ApplyRequest | OuterRequest) => ({
  weights,
  momentum,
  running,
});

const sharedOf = ({ state, work }: SearchRequest): Readonly<Record<string, ArrayBufferView>> => {
  const { weights, momentum, alphas, running, adam } = state;
  return {
    ...{ weights, momentum, alphas, running, first: adam.first, second: adam.second },
    ...Object.fromEntries(Object.entries(work).map(([name, values]) => [`work.${name}`, values])),
  };
};

function assertShared(arrays: Readonly<Record<string, ArrayBufferView>>): void {
  for (const [name, array] of Object.entries(arrays)) {
    if (!(array.buffer instanceof SharedArrayBuffer))
      throw new Error(`${name} must be in shared memory, or the step would change a copy`);
  }
}
