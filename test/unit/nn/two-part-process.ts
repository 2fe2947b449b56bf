// Runs the backbone's two parts for several networks, kept and computed again, with the kernels and threads
// that the environment sets, and prints the SHA-256 of the results as one JSON array. A process of its own,
// because both are read when TensorFlow is loaded.

import { sha256Hex } from '../../../core/digest.ts';
import { buildNetwork } from '../../../core/nn/build.ts';
import { initialWeights } from '../../../core/nn/init.ts';
import { layoutOf } from '../../../core/nn/layout.ts';
import { backboneFunction } from '../../../core/nn/step-function.ts';
import { uniforms } from '../../../core/rng.ts';
import { networkSchema } from '../../../core/spec/network.ts';
import type { TwoPartGraph } from '../../../core/tensor/graph/engine.ts';
import { compileTwoPart } from '../../../core/tensor/graph/two-part.ts';
import { hasOwnKernels, nativeBackend } from '../../../core/tensor/tf.ts';
import { OWN_CELLS } from '../../support/genotypes.ts';

/** Together they have every kind of layer. */
const NETWORKS = [
  { kind: 'pocketnet', channels: 4, layers: 6, embedding: 8, genotype: 'casia' },
  { kind: 'pocketnet', channels: 2, layers: 6, embedding: 4, genotype: OWN_CELLS },
  { kind: 'iresnet', blocks: [1, 2, 1, 1], widths: [4, 4, 8, 8], stem: 4, embedding: 4 },
  { kind: 'mobilefacenet', embedding: 4 },
];
/** Those of which a step that computes activations again is run too. */
const RECOMPUTED = [NETWORKS[0], NETWORKS[2]];
const BATCH = 3;

export interface TwoPartResult {
  readonly name: string;
  readonly ownKernels: boolean;
  readonly keptBytes: number | undefined;
  /** SHA-256 of unit embeddings and vector, with the forward pass kept and computed again. */
  readonly kept: readonly string[];
  readonly again: readonly string[];
  /** Kept, with activations computed again in the backward pass; absent where that was not tried. */
  readonly recomputed?: readonly string[];
  readonly recomputedBytes?: number | undefined;
  /** Tensors in the library after the graph was disposed. */
  readonly tensors: number;
}

const floats = (stream: string, count: number) =>
  Float32Array.from(uniforms(5, stream, count), (x) => x - 0.5);
const images = Uint8Array.from(uniforms(5, 'images', BATCH * 112 * 112 * 3), (x) => Math.floor(x * 256));
const sha = (values: Float32Array) =>
  sha256Hex(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));

const results = NETWORKS.flatMap((spec) =>
  [false, true].map((distils): TwoPartResult => {
    const network = buildNetwork(networkSchema.parse(spec));
    const layout = layoutOf(network);
    const twoPart = backboneFunction({ network, layout, batch: BATCH, distils });
    const name = `${spec.kind} of ${layout.parameterCount}, ${distils ? 'with' : 'without'} a teacher`;
    let graph = compileTwoPart({ key: name, ...twoPart });
    const size = BATCH * network.embedding;
    const late = [floats('slopes', size), Float32Array.of(2), floats('teacher', size), Float32Array.of(100)];
    const run = (keep: boolean) => {
      const begun = graph.begin([initialWeights(layout, 4), images], keep);
      const [vector] = begun.finish(late.slice(0, twoPart.inputs.length - 2));
      return [sha(begun.outputs[0]!), sha(vector!)];
    };
    const result = resultOf(graph, run);
    graph.dispose();
    const more = !distils && RECOMPUTED.includes(spec) ? recomputedOf(name) : {};
    return { name, ...result, ...more, tensors: nativeBackend().binding.getNumOfTensors() };

    function recomputedOf(key: string) {
      graph = compileTwoPart({ key, ...twoPart, recompute: true });
      const found = { recomputed: run(true), recomputedBytes: graph.keptBytes };
      graph.dispose();
      return found;
    }
  }),
);
console.log(JSON.stringify(results));

function resultOf(graph: TwoPartGraph, run: (keep: boolean) => string[]) {
  return {
    ownKernels: hasOwnKernels(),
    keptBytes: graph.keptBytes,
    kept: run(true),
    again: run(false),
  };
}
