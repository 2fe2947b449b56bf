// Compiles and runs the small step in a process or a worker thread of its own and tells the SHA-256 of what came out,
// as JSON on stdout or as a message. The cache folder is the first argument or the thread's data.

import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { sha256Hex } from '../../../core/digest.ts';
import { compileGraph } from '../../../core/tensor/compiled.ts';
import { smallStep } from '../../support/tensors.ts';

const cacheDir = isMainThread ? process.argv[2] : (workerData as string);
const graph = compileGraph({
  key: 'small step',
  inputs: smallStep.inputs,
  build: smallStep.build,
  ...(cacheDir === undefined ? {} : { cacheDir }),
});
const [vector] = graph.run(smallStep.arrays());
const bytes = new Uint8Array(vector!.buffer, vector!.byteOffset, vector!.byteLength);
const result = { sha256: sha256Hex(bytes), digest: graph.digest, recorded: graph.recorded };
graph.dispose();
if (isMainThread) console.log(JSON.stringify(result));
else parentPort?.postMessage(result);
