// Vectors that TensorFlow keeps: in the host's memory, from where each run is fed. On a GPU every run copies
// them there, because a session has no memory of its own between runs.

import { FleetError } from '../../errors.ts';
import { type EngineInput, isArray, type Resident } from './engine.ts';
import type { GraphArray } from './session.ts';

const arrays = new WeakMap<Resident, Float32Array>();

/** A copy of the values as a vector of the engine `tensorflow`. */
export function keepOnHost(values: Float32Array): Resident {
  const own = Float32Array.from(values);
  const vector: Resident = {
    length: own.length,
    devices: [0],
    read: (into) => into.set(own),
    free: () => void arrays.delete(vector),
  };
  arrays.set(vector, own);
  return vector;
}

/** The arrays behind inputs. Throws where a vector was freed or belongs to another engine. */
export const plainArrays = (inputs: readonly EngineInput[]): GraphArray[] =>
  inputs.map((input) => {
    const found = isArray(input) ? input : arrays.get(input);
    if (found !== undefined) return found;
    throw new FleetError('failedPrecondition', 'this vector was freed, or is kept by another engine');
  });
