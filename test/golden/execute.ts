// Runs a function of tensors in one of the ways that the product runs it, on plain arrays: operation by operation on the
// native kernels, operation by operation on composed ones (what backends without native kernels run), or as one
// compiled graph of an engine. Fixtures are checked on each, because each is a computation of its own.

import type { FunctionInput, TensorFunction } from '../../core/nn/step-function.ts';
import { tf } from '../../core/tensor/tf.ts';
import { goldenEngine } from './engine.ts';

export type Way = 'eager' | 'composed' | 'compiled';

export type InputArray = Float32Array | Int32Array | Uint8Array;

export interface Execution {
  run(inputs: readonly InputArray[]): Float32Array[];
  close(): void;
}

/** The ways in which a check computes; with the engine `pjrt` the compiled one alone, since no other one uses it. */
export const waysOf = (ways: readonly Way[]): readonly Way[] =>
  goldenEngine().name === 'pjrt' ? ways.filter((way) => way === 'compiled') : ways;

export async function prepare(way: Way, key: string, { inputs, build }: TensorFunction): Promise<Execution> {
  switch (way) {
    case 'compiled': {
      const graph = goldenEngine().compile({ key: `golden/${key}`, inputs, build });
      return { run: (arrays) => graph.run([...arrays]), close: () => graph.dispose() };
    }
    case 'eager':
    case 'composed': {
      const backend = way === 'eager' ? 'tensorflow' : 'cpu';
      return {
        run: (arrays) => withBackend(backend, () => runEagerly(inputs, build, arrays)),
        close: () => {},
      };
    }
  }
}

function runEagerly(
  inputs: readonly FunctionInput[],
  build: TensorFunction['build'],
  arrays: readonly InputArray[],
): Float32Array[] {
  let outputs: Float32Array[] = [];
  // Not returned from tidy, which would search each array for tensors, number by number.
  tf.tidy(() => {
    const tensors = inputs.map(({ dtype, shape }, i) => {
      const values = arrays[i] ?? new Float32Array();
      // tfjs has no bytes; the compiled graph casts them where eager code gets integers.
      return tf.tensor(
        values instanceof Uint8Array ? Int32Array.from(values) : values,
        shape,
        dtype === 'float32' ? 'float32' : 'int32',
      );
    });
    outputs = build(tensors).map((tensor) => new Float32Array(tensor.dataSync()));
  });
  return outputs;
}

function withBackend<R>(backend: string, work: () => R): R {
  const before = tf.getBackend();
  // Both backends initialise without waiting, which setBackend cannot tell; getBackend does.
  void tf.setBackend(backend);
  if (tf.getBackend() !== backend) throw new Error(`the ${backend} backend is not there`);
  try {
    return work();
  } finally {
    void tf.setBackend(before);
  }
}
