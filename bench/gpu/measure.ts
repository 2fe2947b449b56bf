// One measurement of bench:gpu and test:gpu, in a process of its own: a training step by one engine, as a worker computes it. Takes a
// request in JSON as its argument and prints the answer in JSON as its last line. A step that does not fit ends with its sentence.

import { digest64 } from '../../core/digest.ts';
import { toFleetError } from '../../core/errors.ts';
import { initialRunning, initialWeights } from '../../core/nn/init.ts';
import { trainingFunction } from '../../core/nn/step-function.ts';
import { compileSgd, keepState } from '../../core/optim/resident-sgd.ts';
import { applyStep } from '../../core/optim/sgd.ts';
import { stepDigest } from '../../core/step-digest.ts';
import type { Engine } from '../../core/tensor/graph/engine.ts';
import { createPjrtEngine } from '../../core/tensor/graph/pjrt-engine.ts';
import { tensorflowEngine } from '../../core/tensor/graph/tensorflow-engine.ts';
import { installedPjrt } from '../../core/tensor/pjrt/binding.ts';
import { openClient } from '../../core/tensor/pjrt/client.ts';
import { explainedMemory } from '../../worker/compute/memory-refusal.ts';
import { LEARNING_RATE, OPTIMIZER } from '../train/work.ts';
import type { Measurement, MeasureRequest } from './request.ts';
import { stepInputs, stepNamed } from './steps.ts';

const request = JSON.parse(process.argv[2] ?? '{}') as MeasureRequest;
// Loading TensorFlow's addon makes node-pre-gyp read this process's arguments.
process.argv.splice(2);
try {
  process.stdout.write(`${JSON.stringify(measure())}\n`);
} catch (caught) {
  const { code, message } = explainedMemory(toFleetError(caught));
  process.stdout.write(`${JSON.stringify({ failed: { code, message } } satisfies Measurement)}\n`);
}

function measure(): Measurement {
  const { engine, device } = openEngine();
  const { prepared, loss } = stepNamed(request.step);
  const { network, layout, work } = prepared;
  const [weights, images, labels] = stepInputs(prepared, initialWeights(layout, 1));
  const state = {
    weights,
    momentum: new Float32Array(layout.parameterCount),
    running: initialRunning(layout),
  };
  const start = performance.now();
  const graph = engine.compile({
    key: request.step,
    ...trainingFunction({ network, layout, loss, batch: work.batch }),
    precision: request.precision,
  });
  const programs = compileSgd(engine, { layout, optimizer: OPTIMIZER });
  const compileSeconds = (performance.now() - start) / 1000;
  const kept = programs && keepState(engine, { layout, optimizer: OPTIMIZER, state });
  const vector = new Float32Array(layout.vectorCount);
  const step = () => graph.run([kept?.weights() ?? weights, images, labels], vector);
  const digests = Array.from({ length: request.runs }, () => {
    step();
    return digest64(vector);
  });
  const stepSeconds = secondsOf(step, request.seconds);
  const mean = vector.slice();
  const apply = () => {
    if (kept === undefined) {
      applyStep({ layout, ...state, mean, learningRate: LEARNING_RATE, optimizer: OPTIMIZER });
      stepDigest(weights);
    } else kept.apply({ programs: programs!, mean, learningRate: LEARNING_RATE });
  };
  const updateSeconds = secondsOf(apply, request.seconds / 4);
  const transfer = transferSeconds(engine, weights);
  const loss0 = vector.at(-3)!;
  kept?.free();
  programs?.dispose();
  graph.dispose();
  return {
    ...{ device, digests, loss: loss0, compileSeconds, stepSeconds, updateSeconds, ...transfer },
    ...{ imagesPerSecond: work.batch / stepSeconds, weightBytes: weights.byteLength },
  };
}

function openEngine(): { readonly engine: Engine; readonly device: string } {
  if (request.engine === 'tensorflow') return { engine: tensorflowEngine, device: 'TensorFlow' };
  const plugin = installedPjrt()?.plugins.find(({ platform }) => platform === request.platform);
  if (plugin === undefined) throw new Error(`no plugin of PJRT for ${request.platform} is set up`);
  const isCpu = plugin.platform === 'cpu';
  const client = openClient({
    path: plugin.path,
    options: plugin.platform === 'cuda' ? { preallocate: false } : {},
  });
  const options = isCpu
    ? // A CPU is a rehearsal: the compiler at its quickest.
      { xla_backend_optimization_level: 0, xla_llvm_disable_expensive_passes: true }
    : {
        xla_gpu_deterministic_ops: request.deterministic,
        xla_gpu_autotune_level: request.deterministic ? 0 : 4,
        ...(plugin.tools === undefined ? {} : { xla_gpu_cuda_data_dir: plugin.tools }),
      };
  return {
    engine: createPjrtEngine({ client, plugin: plugin.name, options, devices: [0] }),
    device: `${plugin.name}: ${client.devices[0]}`,
  };
}

/** To the device and back; on TensorFlow a session has no memory of its own. */
function transferSeconds(
  engine: Engine,
  weights: Float32Array,
): { readonly upSeconds?: number; readonly downSeconds?: number } {
  if (engine.name === 'tensorflow') return {};
  const upSeconds = secondsOf(() => engine.keep(weights).free(), 0);
  const kept = engine.keep(weights);
  const into = new Float32Array(weights.length);
  const downSeconds = secondsOf(() => kept.read(into), 0);
  kept.free();
  return { upSeconds, downSeconds };
}

/** Mean of at least three. */
function secondsOf(work: () => unknown, least: number): number {
  const start = performance.now();
  let runs = 0;
  while (runs < 3 || performance.now() - start < least * 1000) {
    work();
    runs++;
  }
  return (performance.now() - start) / 1000 / runs;
}
