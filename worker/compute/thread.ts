// The compute thread, the only place of a worker where TensorFlow is loaded. Takes one job at a time in the
// order of arrival; graphs are compiled when they are first needed. Nothing here depends on runs, gangs or
// the network.

import { workerData } from 'node:worker_threads';
import { toFleetError } from '../../core/errors.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { applyOuterStep, writeDifference } from '../../core/optim/outer.ts';
import { applyStep } from '../../core/optim/sgd.ts';
import { scoreNetwork } from '../../core/screening/score.ts';
import { commitStep, continueStep, type OpenStep } from '../../core/search/bilevel.ts';
import { type Round, roundsOf } from '../../core/search/rounds.ts';
import { ALPHAS, comparedDigest, WEIGHTS } from '../../core/state-vectors.ts';
import { stepDigest } from '../../core/step-digest.ts';
import { tf } from '../../core/tensor/tf.ts';
import { answerCalls } from '../../core/thread-calls.ts';
import { compileAhead } from './ahead.ts';
import { createBegunTable } from './begun.ts';
import { type EngineRequest, openEngine } from './engine.ts';
import { createGraphCache } from './graphs.ts';
import { createKeeping } from './keeping.ts';
import { createKeptRows } from './kept-rows.ts';
import { createKeptStates } from './kept-states.ts';
import { medianPassMs } from './latency.ts';
import { createLayouts } from './layouts.ts';
import { explainedMemory } from './memory-refusal.ts';
import type {
  Applied,
  ApplyRequest,
  ComputeCalls,
  JobFacts,
  OuterRequest,
  SearchApplied,
  SearchRequest,
  ThreadGauges,
} from './messages.ts';
import { proveDevice } from './prove.ts';

const { cacheDir, engine: request } = workerData as { cacheDir: string; engine: EngineRequest };
const { engine, facts } = openEngine(request);
const graphs = createGraphCache({ cacheDir, engine });
const begun = createBegunTable({ graphs, keeping: createKeeping() });
const layoutFor = createLayouts();
const states = createKeptStates({ engine, cacheDir, layoutFor });
const classShards = createKeptRows({ engine, cacheDir });

answerCalls<ComputeCalls, never, never, JobFacts>({
  answers: {
    prove: () => proveDevice(facts),
    prepare: (graph) => compileAhead({ graphs, states, classShards }, graph),
    run: ({ graph, inputs, into }) => graphs.get(graph).run(inputs, into),
    begin: ({ graph, kept, inputs }) =>
      begun.begin(graph, kept === undefined ? inputs : [states.weights(kept), ...inputs]),
    finish: ({ begun: number, inputs, into }) => begun.finish(number, inputs, into),
    release: (number) => {
      begun.release(number);
      return undefined;
    },
    apply,
    keep: (request) => ({ kept: states.keep(request), devices: engine.devices }),
    'run-kept': ({ graph, kept, runs }) => {
      states.run(kept, graphs.get(graph), runs);
      return undefined;
    },
    'apply-kept': states.apply,
    'step-kept': ({ graph, steps }) => {
      states.step(graphs.get(graph), steps);
      return undefined;
    },
    'read-kept': ({ kept, into }) => {
      states.read(kept, into);
      return undefined;
    },
    'drop-kept': (kept) => {
      states.drop(kept);
      return undefined;
    },
    'continue-search': (request) => {
      const { open, round } = openStep(request);
      continueStep(open, round, request.mean);
      return undefined;
    },
    'commit-search': commitSearch,
    initial: ({ network, classes, adapter, seed, into }) => {
      into.set(initialWeights(layoutFor(network, { classes, adapter }), seed));
      return undefined;
    },
    'update-rows': (update) => {
      classShards.update(update);
      return undefined;
    },
    'keep-rows': (request) => ({ kept: classShards.keep(request) }),
    'choose-rows': ({ kept, chosen }) => {
      classShards.choose(kept, chosen);
      return undefined;
    },
    'run-rows': ({ graph, ...request }) => classShards.run(graphs.get(graph), request),
    'commit-rows': (request) => {
      classShards.commit(request);
      return undefined;
    },
    'read-rows': (request) => {
      classShards.read(request);
      return undefined;
    },
    'drop-rows': (kept) => {
      classShards.drop(kept);
      return undefined;
    },
    difference: (difference) => {
      writeDifference(difference);
      return undefined;
    },
    'apply-outer': applyOuter,
    latency: ({ network, weights, running, image }) => {
      const graph = graphs.get({ kind: 'embed', network, batch: 1 });
      return { milliseconds: medianPassMs(() => graph.run([weights, running, image])) };
    },
    score: (request) => ({ scored: scoreNetwork(request) }),
  },
  explain: (caught) => explainedMemory(toFleetError(caught)),
  transfer: (answer) => transferable(outputsOf(answer)),
  beside: (busyMs) => ({ busyMs, gauges: gauges() }),
});

function gauges(): ThreadGauges {
  const { numTensors, numBytes } = tf.memory();
  const kept = [begun.gauges(), states.gauges(), classShards.gauges()];
  return {
    tensors: kept.reduce((sum, { tensors }) => sum + tensors, numTensors),
    bytes: kept.reduce((sum, { bytes }) => sum + bytes, numBytes),
    graphs: graphs.size(),
  };
}

function apply(request: ApplyRequest): Applied {
  const layout = layoutFor(request.network, { classes: request.classes, adapter: request.adapter });
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
  return { gradientNorm, digest: stepDigest(request.weights) };
}

function openStep({ supernet, ...rest }: SearchRequest): { readonly open: OpenStep; readonly round: Round } {
  return { open: { layout: layoutFor(supernet, {}), ...rest }, round: roundsOf(rest.step)[rest.round]! };
}

function commitSearch(request: SearchRequest): SearchApplied {
  const { open } = openStep(request);
  const { trainingLoss, validationLoss, differenceError, gradientNorm } = commitStep(open, request.mean);
  const { weights, alphas } = request.state;
  return {
    ...{ trainingLoss, gradientNorm },
    ...(validationLoss === undefined ? {} : { validationLoss }),
    ...(differenceError === undefined ? {} : { differenceError }),
    digest: comparedDigest([
      { name: WEIGHTS, values: weights },
      { name: ALPHAS, values: alphas },
    ]),
  };
}

function applyOuter({ network, classes, adapter, ...rest }: OuterRequest): Applied {
  const { differenceNorm } = applyOuterStep({ layout: layoutFor(network, { classes, adapter }), ...rest });
  return { gradientNorm: differenceNorm, digest: stepDigest(rest.weights) };
}

function outputsOf(answer: ComputeCalls[keyof ComputeCalls]['answer']): readonly Float32Array[] {
  if (answer === undefined) return [];
  if ('outputs' in answer) return answer.outputs;
  return Array.isArray(answer) ? answer : [];
}

/** Memory that moves to the main thread with a result; a view into something larger is copied instead. */
function transferable(outputs: readonly Float32Array[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const output of outputs) {
    if (output.buffer instanceof ArrayBuffer && output.byteLength === output.buffer.byteLength)
      buffers.add(output.buffer);
  }
  return [...buffers];
}
