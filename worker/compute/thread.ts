// The compute thread: the only place of a worker where TensorFlow is loaded. Takes one job at a time in the order of
// arrival, compiles graphs on demand and keeps them. It knows nothing of runs, gangs or the network around it.

import { parentPort, workerData } from 'node:worker_threads';
import { digest64 } from '../../core/digest.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { updateRows } from '../../core/head/rows.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { type Layout, layoutOf } from '../../core/nn/layout.ts';
import { applyOuterStep, writeDifference } from '../../core/optim/outer.ts';
import { applyStep } from '../../core/optim/sgd.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import { tf } from '../../core/tensor/tf.ts';
import { createBegunTable } from './begun.ts';
import { createGraphCache } from './graphs.ts';
import { createKeeping } from './keeping.ts';
import type {
  ApplyRequest,
  ComputeAnswer,
  ComputeFailure,
  ComputeRequest,
  FromThread,
  OuterRequest,
  ThreadGauges,
  ToThread,
} from './messages.ts';
import { proveDevice } from './prove.ts';

/** Layouts are cheap, but a search brings a new network each minute. */
const LAYOUTS_MAX = 32;

const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread');
const { cacheDir } = workerData as { cacheDir: string };
const graphs = createGraphCache({ cacheDir });
const begun = createBegunTable({ graphs, keeping: createKeeping() });
const layouts = new Map<string, Layout>();

port.on('message', (message: ToThread) => {
  const startedAt = performance.now();
  const common = () => ({
    id: message.id,
    busyMs: performance.now() - startedAt,
    gauges: gauges(),
  });
  try {
    const answer = perform(message.request);
    port.postMessage({ ...common(), kind: 'done', answer } satisfies FromThread, transferable(answer));
  } catch (caught) {
    port.postMessage({ ...common(), kind: 'failed', failure: failureOf(caught) } satisfies FromThread);
  }
});

function gauges(): ThreadGauges {
  const { numTensors, numBytes } = tf.memory();
  const kept = begun.gauges();
  return { tensors: numTensors + kept.tensors, bytes: numBytes + kept.bytes, graphs: graphs.size() };
}

function perform(request: ComputeRequest): ComputeAnswer {
  switch (request.kind) {
    case 'prove':
      return { kind: 'proved', proof: proveDevice() };
    case 'prepare': {
      const { graph } = request;
      const { digest, nodes } = graph.kind === 'backbone' ? graphs.twoPart(graph) : graphs.get(graph);
      return { kind: 'prepared', digest, nodes };
    }
    case 'run':
      return {
        kind: 'ran',
        outputs: placed(graphs.get(request.graph).run([...request.inputs]), request.into),
      };
    case 'begin':
      return { kind: 'begun', ...begun.begin(request.graph, request.inputs) };
    case 'finish':
      return { kind: 'ran', outputs: placed(begun.finish(request.begun, request.inputs), request.into) };
    case 'release':
      begun.release(request.begun);
      return { kind: 'released' };
    case 'apply':
      return { kind: 'applied', ...apply(request.apply) };
    case 'initial': {
      const { network, classes, seed, into } = request.initial;
      into.set(initialWeights(layoutFor(network, classes), seed));
      return { kind: 'written' };
    }
    case 'update-rows':
      updateRows(request.update);
      return { kind: 'written' };
    case 'difference':
      writeDifference(request.difference);
      return { kind: 'written' };
    case 'apply-outer':
      return { kind: 'applied', ...applyOuter(request.apply) };
  }
}

/** The first output goes into shared memory, if there is any for it. */
function placed(outputs: Float32Array[], into: Float32Array | undefined): Float32Array[] {
  if (into === undefined) return outputs;
  const [first, ...others] = outputs;
  if (first?.length !== into.length)
    throw new FleetError(
      'internal',
      `the graph gave ${first?.length ?? 0} numbers where ${into.length} belong`,
    );
  into.set(first);
  return others;
}

function apply(request: ApplyRequest) {
  const layout = layoutFor(request.network, request.classes);
  const { gradientNorm } = applyStep({
    layout,
    weights: request.weights,
    momentum: request.momentum,
    running: request.running,
    mean: request.mean,
    learningRate: request.learningRate,
    optimizer: request.optimizer,
    step: request.step,
  });
  return { gradientNorm, digest: digest64(request.weights) };
}

function applyOuter({ network, classes, ...rest }: OuterRequest) {
  const { differenceNorm } = applyOuterStep({ layout: layoutFor(network, classes), ...rest });
  return { gradientNorm: differenceNorm, digest: digest64(rest.weights) };
}

function layoutFor(network: NetworkSpec, classes: number): Layout {
  const key = canonicalJson({ network, classes });
  const kept = layouts.get(key);
  if (kept) return kept;
  const layout = layoutOf(buildNetwork(network), { classes });
  if (layouts.size >= LAYOUTS_MAX) layouts.delete(layouts.keys().next().value!);
  layouts.set(key, layout);
  return layout;
}

/** Results that own their memory move to the main thread; a view into something larger is copied instead. */
function transferable(answer: ComputeAnswer): ArrayBuffer[] {
  if (answer.kind !== 'ran' && answer.kind !== 'begun') return [];
  const buffers = new Set<ArrayBuffer>();
  for (const output of answer.outputs) {
    if (output.buffer instanceof ArrayBuffer && output.byteLength === output.buffer.byteLength)
      buffers.add(output.buffer);
  }
  return [...buffers];
}

/** TensorFlow tells an exhausted allocator only by its status name in the text; this is the one place that reads it. */
function failureOf(caught: unknown): ComputeFailure {
  const error = toFleetError(caught);
  const exhausted =
    error.code === 'internal' && /RESOURCE_EXHAUSTED|OOM when allocating/i.test(error.message);
  return {
    code: exhausted ? 'resourceExhausted' : error.code,
    message: error.message,
    details: error.details,
  };
}
