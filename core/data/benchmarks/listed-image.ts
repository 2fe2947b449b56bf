// An image that the list of a benchmark names. Decides that a list leads only into its own folder of images,
// and how large an encoded image may be.

import { join, resolve, sep } from 'node:path';
import { FleetError } from '../../errors.ts';
import { ANYWHERE, readRegular } from '../../system/file-access.ts';
import { foundText } from '../../text/printable.ts';

const IMAGE_BYTES_MAX = 64 << 20;
/** Linux takes no longer paths. */
const NAME_BYTES_MAX = 4096;

/** The encoded bytes of `folder`/`name`. */
export async function readListedImage(folder: string, name: string): Promise<Uint8Array> {
  if (!resolve(folder, name).startsWith(resolve(folder) + sep))
    throw new FleetError('invalidArgument', `a list names ${foundText(name)}, which leads out of ${folder}`);
  if (Buffer.byteLength(name) > NAME_BYTES_MAX)
    throw new FleetError('invalidArgument', `a list names ${foundText(name)}, which is longer than any path`);
  return readRegular(join(folder, name), { roots: ANYWHERE, what: 'image', bytesMax: IMAGE_BYTES_MAX });
}
