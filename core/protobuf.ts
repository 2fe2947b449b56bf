// Reads stored protobuf messages. Bytes that are none become an error of the family with one sentence,
// instead of the library's error.

import { FleetError } from './errors.ts';

/** The message. Throws `dataLoss` with a sentence in which `what` names the damaged thing. */
export function decodeOrLost<T>(type: { decode(bytes: Uint8Array): T }, bytes: Uint8Array, what: string): T {
  try {
    return type.decode(bytes);
  } catch (cause) {
    throw new FleetError('dataLoss', `${what} is damaged: its ${bytes.length} bytes cannot be read`, {
      cause,
    });
  }
}
