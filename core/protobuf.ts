// Stored protobuf messages read back: bytes that are none become one sentence of the error family instead of the library's.

import { FleetError } from './errors.ts';

/** The message, or `dataLoss` that names what is damaged. */
export function decodeOrLost<T>(type: { decode(bytes: Uint8Array): T }, bytes: Uint8Array, what: string): T {
  try {
    return type.decode(bytes);
  } catch (cause) {
    throw new FleetError('dataLoss', `${what} is damaged: its ${bytes.length} bytes cannot be read`, {
      cause,
    });
  }
}
