// Texts that a person gives as a file or through a pipe. Decides how much is read, so that /dev/zero ends
// with a sentence, and that a text is UTF-8.

import { createReadStream } from 'node:fs';
import { FleetError, toFleetError } from '../errors.ts';
import { TEXT_BYTES_MAX } from './yaml-text.ts';

/** The whole of a file or of an open stream, at most `bytesMax` bytes. */
export async function readTextBounded(
  source: string | AsyncIterable<Uint8Array>,
  name: string,
  bytesMax: number = TEXT_BYTES_MAX,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of typeof source === 'string' ? createReadStream(source) : source) {
      bytes += (chunk as Uint8Array).length;
      if (bytes > bytesMax)
        throw new FleetError(
          'invalidArgument',
          `${name} has more than ${bytesMax} bytes, the most that are taken`,
        );
      chunks.push(chunk as Uint8Array);
    }
  } catch (caught) {
    throw caught instanceof FleetError ? caught : toFleetError(caught, name);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch (cause) {
    throw new FleetError('invalidArgument', `${name} is not UTF-8 text`, { cause });
  }
}
