// The main thread's side of the compute thread: one job after another in the order they were asked for, answers as
// promises. Decides nothing about runs. If the thread dies, every open job is rejected and `died` says why; main.ts then
// ends the process, since whatever killed a native kernel cannot be trusted to have left the memory alone.

import { CODES, type Code, FleetError, toFleetError } from '../../core/errors.ts';
import type { RowsUpdate } from '../../core/head/rows.ts';
import { startThread } from '../../core/thread.ts';
import type { JobKind } from './job-kind.ts';
import type {
  ApplyRequest,
  Arrays,
  ComputeAnswer,
  ComputeFailure,
  ComputeRequest,
  DeviceProof,
  DifferenceRequest,
  FromThread,
  GraphSpec,
  InitialRequest,
  OuterRequest,
  ThreadGauges,
  ToThread,
  TwoPartSpec,
} from './messages.ts';

export interface Compute {
  /** Runs a kernel and says what it ran on. */
  prove(): Promise<DeviceProof>;
  prepare(graph: GraphSpec | TwoPartSpec): Promise<{ readonly digest: string; readonly nodes: number }>;
  /** `into`: shared memory that the first output goes to; the answer has the others. */
  run(graph: GraphSpec, inputs: Arrays, into?: Float32Array): Promise<readonly Float32Array[]>;
  /** Runs the first part of a graph that has two; the arrays must not change before the second. */
  begin(graph: TwoPartSpec, inputs: Arrays): Promise<Begun>;
  /** One optimiser step in place; all arrays must be in shared memory. `digest`: digest64 of the new weights. */
  apply(apply: ApplyRequest): Promise<{ readonly gradientNorm: number; readonly digest: string }>;
  /** Writes the weights with which a run begins into shared memory. */
  initial(initial: InitialRequest): Promise<void>;
  /** One optimiser step of the rows of a class shard, in place; weights and momentum must be in shared memory. */
  updateRows(update: RowsUpdate): Promise<void>;
  /** Writes what a shard contributes to a round; all arrays must be in shared memory. */
  difference(difference: DifferenceRequest): Promise<void>;
  /** The outer step at the end of a round, in place. `differenceNorm`: L2 norm of the backbone's mean difference. */
  applyOuter(apply: OuterRequest): Promise<{ readonly differenceNorm: number; readonly digest: string }>;
  /** Jobs asked for and not answered. */
  queued(): number;
  gauges(): ThreadGauges;
  /** Resolves with the reason when the thread ended without being asked to. */
  readonly died: Promise<FleetError>;
  close(): Promise<void>;
}

/** A computation after its first part. Whoever has it finishes or releases it: the thread may keep many maps for it. */
export interface Begun {
  readonly outputs: readonly Float32Array[];
  /** The second part, its first output into shared memory; the answer has the others. */
  finish(inputs: Arrays, into: Float32Array): Promise<readonly Float32Array[]>;
  /** It will not be finished; nothing once that was asked for. */
  release(): void;
}

export interface ComputeOptions {
  readonly cacheDir: string;
  /** Called for each finished job with the kind and the time in the thread. */
  readonly onJob?: (kind: JobKind, busyMs: number) => void;
}

interface OpenJob {
  readonly kind: JobKind;
  readonly resolve: (answer: ComputeAnswer) => void;
  readonly reject: (error: FleetError) => void;
}

export function createCompute(options: ComputeOptions): Compute {
  const worker = startThread(new URL('./thread.ts', import.meta.url), {
    workerData: { cacheDir: options.cacheDir },
    name: 'compute',
  });
  const open = new Map<number, OpenJob>();
  let next = 1;
  let gauges: ThreadGauges = { tensors: 0, bytes: 0, graphs: 0 };
  let ended: FleetError | undefined;
  let closing = false;
  let announceDeath: (error: FleetError) => void = () => {};
  const died = new Promise<FleetError>((resolve) => {
    announceDeath = resolve;
  });

  const end = (error: FleetError) => {
    if (ended) return;
    ended = error;
    for (const job of open.values()) job.reject(error);
    open.clear();
    if (!closing) announceDeath(error);
  };
  worker.on('message', (message: FromThread) => {
    gauges = message.gauges;
    const job = open.get(message.id);
    if (!job) return;
    open.delete(message.id);
    options.onJob?.(job.kind, message.busyMs);
    if (message.kind === 'done') job.resolve(message.answer);
    else job.reject(errorFromFailure(message.failure));
  });
  worker.on('error', (error) => end(toFleetError(error, 'compute thread')));
  worker.on('exit', (code) =>
    end(
      closing
        ? new FleetError('cancelled', 'the compute thread was closed')
        : new FleetError('internal', `the compute thread ended with exit code ${code}`),
    ),
  );

  const ask = (request: ComputeRequest): Promise<ComputeAnswer> =>
    new Promise((resolve, reject) => {
      if (ended) return reject(ended);
      const id = next++;
      open.set(id, { kind: jobOf(request), resolve, reject });
      worker.postMessage({ id, request } satisfies ToThread);
    });

  return {
    prove: async () => expectAnswer(await ask({ kind: 'prove' }), 'proved').proof,
    prepare: async (graph) => expectAnswer(await ask({ kind: 'prepare', graph }), 'prepared'),
    run: async (graph, inputs, into) =>
      expectAnswer(await ask({ kind: 'run', graph, inputs, into }), 'ran').outputs,
    begin: async (graph, inputs) => {
      const { begun, outputs } = expectAnswer(await ask({ kind: 'begin', graph, inputs }), 'begun');
      let over = false;
      return {
        outputs,
        finish: async (others, into) => {
          if (over) throw new FleetError('cancelled', 'this computation was finished or released');
          over = true;
          return expectAnswer(await ask({ kind: 'finish', begun, inputs: others, into }), 'ran').outputs;
        },
        release: () => {
          if (over) return;
          over = true;
          // It fails only where the thread has ended, and what it kept with it.
          ask({ kind: 'release', begun }).catch(() => undefined);
        },
      };
    },
    apply: async (apply) => {
      assertShared(inPlace(apply));
      return expectAnswer(await ask({ kind: 'apply', apply }), 'applied');
    },
    initial: async (initial) => {
      assertShared({ into: initial.into });
      expectAnswer(await ask({ kind: 'initial', initial }), 'written');
    },
    updateRows: async (update) => {
      assertShared({ weights: update.weights, momentum: update.momentum });
      expectAnswer(await ask({ kind: 'update-rows', update }), 'written');
    },
    difference: async (difference) => {
      assertShared({ into: difference.into });
      expectAnswer(await ask({ kind: 'difference', difference }), 'written');
    },
    applyOuter: async (apply) => {
      assertShared(inPlace(apply));
      const { gradientNorm, digest } = expectAnswer(await ask({ kind: 'apply-outer', apply }), 'applied');
      return { differenceNorm: gradientNorm, digest };
    },
    queued: () => open.size,
    gauges: () => gauges,
    died,
    close: async () => {
      closing = true;
      await worker.terminate();
    },
  };
}

/** The parts of a step with a sharded head count as what they are parts of. */
function jobOf(request: ComputeRequest): JobKind {
  if (request.kind === 'update-rows') return 'apply';
  if (request.kind === 'initial') return 'prepare';
  if (request.kind === 'run') return request.graph.kind === 'embed' ? 'embed' : 'train';
  if (request.kind === 'begin' || request.kind === 'finish' || request.kind === 'release') return 'train';
  return request.kind;
}

const inPlace = ({ weights, momentum, running }: ApplyRequest | OuterRequest) => ({
  weights,
  momentum,
  running,
});

function assertShared(arrays: Readonly<Record<string, Float32Array>>): void {
  for (const [name, array] of Object.entries(arrays)) {
    if (!(array.buffer instanceof SharedArrayBuffer))
      throw new Error(`${name} must be in shared memory, or the step would change a copy`);
  }
}

function expectAnswer<K extends ComputeAnswer['kind']>(
  answer: ComputeAnswer,
  kind: K,
): Extract<ComputeAnswer, { kind: K }> {
  if (answer.kind !== kind) throw new Error(`compute thread answered ${answer.kind} instead of ${kind}`);
  return answer as Extract<ComputeAnswer, { kind: K }>;
}

function errorFromFailure(failure: ComputeFailure): FleetError {
  const code: Code = failure.code in CODES ? (failure.code as Code) : 'internal';
  return new FleetError(code, failure.message, { details: { ...failure.details } });
}
