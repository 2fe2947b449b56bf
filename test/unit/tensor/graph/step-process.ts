// Compiles and runs the small step, in this process and then in a worker thread of it, and prints the SHA-256
// of both results as one JSON array. The cache folder is the first argument.

import { once } from 'node:events';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { sha256Hex } from '../../../../core/digest.ts';
import { compileGraph } from '../../../../core/tensor/graph/compiled.ts';
import { startThread } from '../../../../core/thread.ts';
import { smallStep } from '../../../support/tensors.ts';

export interface StepResult {
  readonly sha256: string;
  readonly digest: string;
  readonly recorded: boolean;
}

function runStep(cacheDir: string): StepResult {
  const graph = compileGraph({
    key: 'small step',
    inputs: smallStep.inputs,
    build: smallStep.build,
    cacheDir,
  });
  try {
    const vector = graph.run(smallStep.arrays())[0]!;
    const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
    return { sha256: sha256Hex(bytes), digest: graph.digest, recorded: graph.recorded };
  } finally {
    graph.dispose();
  }
}

async function runInThread(cacheDir: string): Promise<StepResult> {
  const worker = startThread(new URL(import.meta.url), { workerData: cacheDir });
  const [[result]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
  return result as StepResult;
}

if (isMainThread) {
  const cacheDir = process.argv[2] ?? '';
  console.log(JSON.stringify([runStep(cacheDir), await runInThread(cacheDir)]));
} else parentPort?.postMessage(runStep(workerData as string));
