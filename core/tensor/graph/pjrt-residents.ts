// Vectors that an engine of PJRT keeps on its devices: which buffers each has, and on which devices. Decides what is
// refused: a vector that was freed or is another engine's, and a device that has none of it.

import { FleetError } from '../../errors.ts';
import type { DeviceBuffer } from '../pjrt/client.ts';
import type { Resident } from './engine.ts';

/** The buffers of a vector by place of their device among the engine's. */
type Replicas = ReadonlyMap<number, DeviceBuffer>;

export interface Residents {
  /** Makes a vector of these buffers, at least one, which are freed with it. */
  adopt(replicas: Replicas, length: number): Resident;
  bufferAt(vector: Resident, device: number): DeviceBuffer;
}

export function createResidents(): Residents {
  const known = new WeakMap<Resident, Replicas>();
  const replicasOf = (vector: Resident): Replicas => {
    const found = known.get(vector);
    if (found !== undefined) return found;
    throw new FleetError('failedPrecondition', 'this vector was freed, or is kept by another engine');
  };
  const bufferAt = (vector: Resident, device: number): DeviceBuffer => {
    const found = replicasOf(vector).get(device);
    if (found !== undefined) return found;
    throw new FleetError(
      'internal',
      `device ${device} of this worker does not have the vector that it is to read`,
    );
  };
  return {
    adopt(replicas, length) {
      const devices = [...replicas.keys()];
      const vector: Resident = {
        length,
        devices,
        read: (into, device = devices[0]!) => bufferAt(vector, device).read(into),
        free() {
          for (const buffer of replicas.values()) buffer.free();
          known.delete(vector);
        },
      };
      known.set(vector, replicas);
      return vector;
    },
    bufferAt,
  };
}
