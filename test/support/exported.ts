// Exported networks loaded by the runtimes that they are for: ONNX Runtime, and TensorFlow.js' own loader.
// Embeddings [N, E].

import { InferenceSession, Tensor } from 'onnxruntime-node';
import { type Tensor as TfTensor, tf } from '../../core/tensor/tf.ts';
import { normalisedPlanes } from './models.ts';

/** Of an ONNX file that takes bytes or normalised planes; `images` are bytes [N, 112, 112, 3]. */
export async function onnxEmbeddings(
  file: string,
  images: Uint8Array,
  input: 'bytes' | 'planes',
): Promise<Float32Array> {
  const count = images.length / (112 * 112 * 3);
  const tensor =
    input === 'bytes'
      ? new Tensor('uint8', images, [count, 112, 112, 3])
      : new Tensor('float32', normalisedPlanes(images), [count, 3, 112, 112]);
  const session = await InferenceSession.create(file, { intraOpNumThreads: 1 });
  try {
    return (await session.run({ input: tensor })).embedding!.data as Float32Array;
  } finally {
    await session.release();
  }
}

/** Of a folder with a graph model. */
export async function tfjsEmbeddings(folder: string, images: Uint8Array): Promise<Float32Array> {
  const count = images.length / (112 * 112 * 3);
  const loaded = await tf.loadGraphModel(`file://${folder}/model.json`);
  try {
    return tf.tidy(() => {
      const values = Float32Array.from(images, (x) => (x / 255 - 0.5) / 0.5);
      const output = loaded.predict({ input: tf.tensor4d(values, [count, 112, 112, 3]) }) as TfTensor;
      return output.dataSync() as Float32Array;
    });
  } finally {
    loaded.dispose();
  }
}
